package import Records
package import Settings
package import StrictJSON

package enum Score: RPCMethodDeclaration {
  package static let name = "score"
  package static let access = RPCMethod.Access.read
  package static let verb = "score"
  package static let summary = "Log-probabilities of a continuation, token by token."

  package struct Parameters: Record {
    @Setting("what stands before, behind the first token that the model has; or prompt_ids")
    package var prompt: TextOrTokens?
    @Setting("what is scored; or continuation_ids") package var continuation: TextOrTokens?
    @Setting("instead of prompt; all that a model without tokenizer takes", as: .tokens, name: "prompt_ids")
    package var promptIDs: [Int32]?
    @Setting("instead of continuation", as: .tokens, name: "continuation_ids") package var continuationIDs: [Int32]?
    @Included package var weights = WeightParameters()
    @Setting("return the N largest logits at the first continuation position", 0...1_000) package var top = 0
    @Setting("recognise the text of special tokens") package var special = false
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package struct Top: Codable, Sendable, Equatable {
      package var id: Int32
      package var logit: Float

      package init(id: Int32, logit: Float) {
        self.id = id
        self.logit = logit
      }
    }

    package var promptIDs: [Int32]
    package var continuationIDs: [Int32]
    /// One for each continuation token.
    package var logprobs: [Float]
    /// The largest logits at the first continuation position, descending.
    package var top: [Top]
    package var sum: Double
    package var model: String
    package var weights: ShownWeights

    package init(
      promptIDs: [Int32], continuationIDs: [Int32], logprobs: [Float], top: [Top], model: String, weights: ShownWeights
    ) {
      self.promptIDs = promptIDs
      self.continuationIDs = continuationIDs
      self.logprobs = logprobs
      self.top = top
      sum = logprobs.reduce(0) { $0 + Double($1) }
      self.model = model
      self.weights = weights
    }
  }
}

/// Which weights answered: the base, an expert, a task's mixture as it was then, or a mixture of one's own.
package struct ShownWeights: Codable, Sendable, Equatable {
  package var base: Bool?
  /// `science@2`
  package var expert: String?
  /// The task's name.
  package var mixture: String?
  package var digest: String?
  package var generation: Int64?
  /// As it was asked for.
  package var alpha: JSONObject?

  private init() {}

  package static func of(expert: String?) -> Self {
    var weights = Self()
    if let expert { weights.expert = expert } else { weights.base = true }
    return weights
  }

  package static func of(mixture task: String, digest: String, generation: Int64) -> Self {
    var weights = Self()
    (weights.mixture, weights.digest, weights.generation) = (task, digest, generation)
    return weights
  }

  package static func of(alpha: JSONObject) -> Self {
    var weights = Self()
    weights.alpha = alpha
    return weights
  }
}
