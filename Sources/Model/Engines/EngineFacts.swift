package import Multipliers
package import Tokenizer

/// What computes. Scores are compared within one engine only: another program, number type or division of the work over
/// devices has other last bits, and a search decides by them.
package struct EngineTag: Sendable, Hashable, CustomStringConvertible {
  /// `built-in`, `torch`, `vllm`.
  package var name: String
  package var version: String
  /// Of the numbers that it computes with, such as `float32`.
  package var type: String
  /// How many devices or processes share one model.
  package var parallelism: Int

  package init(name: String, version: String, type: String, parallelism: Int = 1) {
    self.name = name
    self.version = version
    self.type = type
    self.parallelism = parallelism
  }

  /// It has no version of its own: what it computes changes with t2d's.
  package static let builtIn = EngineTag(name: "built-in", version: "", type: "float32")

  package var description: String {
    "\(name) (\(version)), \(type)" + (parallelism == 1 ? "" : ", \(parallelism) ranks")
  }
}

/// What is known of a model, whatever computes it. It does not change as long as the model is loaded.
package struct EngineFacts: Sendable {
  package var tag: EngineTag
  /// Where it is: a file, a directory, or the addresses of an engine.
  package var path: String
  package var modelID: String
  package var architecture: String
  package var parameters: Int64
  package var layers: Int
  package var hidden: Int
  package var vocabulary: Int
  /// Positions that sequences may have.
  package var context: Int
  /// How its file stores the weights, such as "Q4_1".
  package var quantization: String
  /// "sha256:..." of the target matrices, as `modelDigest` makes it.
  package var digest: String
  /// The target matrices of every layer, those too that are not factored.
  package var layout: MultiplierLayout
  /// The singular values, flat by the layout.
  package var sigma: [Float]
  /// Nil where it takes token ids only.
  package var tokenizer: Tokenizer?
  /// The model's template, or the reason why there is none to use.
  package var chatTemplate: Result<ChatTemplate, ChatTemplateError>
  /// Tokens after which a generation ends, by the configuration.
  package var eosIDs: [Int32]
  /// Whether it can say how a loss changes with each multiplier.
  package var hasGradients: Bool
  /// What was found when it was read, for people.
  package var warnings: [String]

  package init(
    tag: EngineTag, path: String, modelID: String, architecture: String, parameters: Int64, layers: Int, hidden: Int,
    vocabulary: Int, context: Int, quantization: String, digest: String, layout: MultiplierLayout, sigma: [Float],
    tokenizer: Tokenizer?, chatTemplate: Result<ChatTemplate, ChatTemplateError>, eosIDs: [Int32], hasGradients: Bool,
    warnings: [String]
  ) {
    self.tag = tag
    self.path = path
    self.modelID = modelID
    self.architecture = architecture
    self.parameters = parameters
    self.layers = layers
    self.hidden = hidden
    self.vocabulary = vocabulary
    self.context = context
    self.quantization = quantization
    self.digest = digest
    self.layout = layout
    self.sigma = sigma
    self.tokenizer = tokenizer
    self.chatTemplate = chatTemplate
    self.eosIDs = eosIDs
    self.hasGradients = hasGradients
    self.warnings = warnings
  }

  /// What scores of it belong to: its digest, and what computes it where that is not t2d itself. Scores of another one are
  /// not gone on with.
  package var identity: String { tag == .builtIn ? digest : "\(digest) by \(tag)" }

  /// Tokens after which a generation ends: those that end a turn by their name, and those that the configuration says.
  package var endIDs: [Int32] {
    let named = tokenizer?.endOfTurn ?? []
    return named + eosIDs.filter { !named.contains($0) }
  }

  /// The token that ends an answer in a chat: the first of those that the template writes behind one; nil where it
  /// writes none.
  package var endOfAnswer: Int32? {
    guard let tokenizer, case .success(let template) = chatTemplate, let text = template.endOfAnswer else { return nil }
    let ends = endIDs
    return tokenizer.encode(text, recognizeSpecial: true).first { ends.contains($0) }
  }
}
