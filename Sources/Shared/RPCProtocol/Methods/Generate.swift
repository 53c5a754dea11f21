package import Records
package import Settings

package enum Generate: RPCMethodDeclaration {
  package static let name = "generate"
  package static let access = RPCMethod.Access.read
  package static let verb = "ask"
  package static let summary = "Answers a prompt under a strategy."
  package static let resultNotes =
    "stop is eos, stop, length or context; mixture_digest is null for the base; with stream, notifications `part` come "
    + "before it"

  package struct Parameters: Record {
    @Setting("the user's words; or messages, or prompt_ids") package var prompt: TextOrTokens?
    @Setting("a whole chat, instead of a prompt", as: .messages) package var messages: [ChatMessage]?
    @Setting(
      "token ids, continued as they are; all that a model without tokenizer takes", as: .tokens, name: "prompt_ids")
    package var promptIDs: [Int32]?
    @Setting("which weights answer; default by expert, task or alpha") package var strategy: DispatchStrategy?
    @Setting("for mixture: the task whose mixture answers") package var task: String?
    @Included package var decision = DecisionParameters()
    @Included(without: ["mixture"]) package var weights = WeightParameters()
    @Setting("the system message of the chat template") package var system: String?
    @Setting("use the model's chat template; default true where it has one") package var chat: Bool?
    @Included package var chatOptions = ChatOptions()
    @Setting("maximum number of new tokens", 1...65_536) package var maxTokens = 256
    @Setting("sampling temperature; 0 is greedy", 0...100) package var temperature = 0.0
    @Setting("sample from the smallest set of tokens with this probability", 0...1) package var topP = 1.0
    @Setting("seed of the sampling", 0...UInt64(Int64.max)) package var seed: UInt64 = 0
    @Setting("texts that end the answer") package var stop: [String] = []
    @Setting("send the answer in parts, as it is written") package var stream = false
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package struct Tokens: Codable, Sendable, Equatable {
      package var prompt: Int
      package var generated: Int
    }

    /// How long it waited, and its passes took.
    package struct Seconds: Codable, Sendable, Equatable {
      package var queue: Double
      package var dispatch: Double
      package var prefill: Double
      package var decode: Double

      package init(queue: Double, dispatch: Double, prefill: Double, decode: Double) {
        self.queue = queue
        self.dispatch = dispatch
        self.prefill = prefill
        self.decode = decode
      }
    }

    package var text: String
    package var ids: [Int32]
    /// `eos`, `stop`, `length` or `context`.
    package var stop: String
    /// As in the request, or `alpha`.
    package var strategy: String
    package var model: String
    package var weights: ShownWeights
    /// Of the multipliers under which the text was made; nil for the base.
    @NullWhenAbsent package var mixtureDigest: String?
    /// Where there was a first pass.
    package var decision: ShownDecision?
    package var dispatcher: String?
    package var tokens: Tokens
    package var seconds: Seconds

    package init(
      text: String, ids: [Int32], stop: String, strategy: String, model: String, weights: ShownWeights,
      mixtureDigest: String?, decision: ShownDecision?, dispatcher: String?, promptTokens: Int, seconds: Seconds
    ) {
      self.text = text
      self.ids = ids
      self.stop = stop
      self.strategy = strategy
      self.model = model
      self.weights = weights
      self.mixtureDigest = mixtureDigest
      self.decision = decision
      self.dispatcher = dispatcher
      tokens = Tokens(prompt: promptTokens, generated: ids.count)
      self.seconds = seconds
    }
  }

  /// The params of a notification `part`.
  package struct Part: Codable, Sendable, Equatable {
    /// Of the request, and its own from 0; the server sets both.
    package var id: Int64?
    package var part: Int?
    /// First, where there was a first pass.
    package var decision: ShownDecision?
    package var text: String?
    package var ids: [Int32]?

    package init(decision: ShownDecision) { self.decision = decision }

    package init(text: String, ids: [Int32]) {
      self.text = text
      self.ids = ids
    }
  }
}
