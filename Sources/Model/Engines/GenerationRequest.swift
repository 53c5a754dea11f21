/// A prompt to continue.
package struct GenerationRequest: Sendable {
  package var prompt: [Int32]
  package var view: WeightView
  package var sampling: Sampling
  package var maximumTokens: Int
  /// Tokens that end the answer, such as the end of a turn.
  package var stopIDs: [Int32]
  /// Texts that end the answer and are not part of it. They need the model's tokenizer.
  package var stopStrings: [String]

  package init(
    prompt: [Int32], view: WeightView = .base, sampling: Sampling = .greedy, maximumTokens: Int = 256,
    stopIDs: [Int32] = [], stopStrings: [String] = []
  ) {
    self.prompt = prompt
    self.view = view
    self.sampling = sampling
    self.maximumTokens = maximumTokens
    self.stopIDs = stopIDs
    self.stopStrings = stopStrings
  }
}

/// An answer.
package struct Generation: Sendable, Equatable {
  package enum Ending: Sendable, Equatable {
    case stopToken(Int32)
    case stopString
    case maximumTokens
    /// The context is full.
    case context
    /// `onToken` said so.
    case cancelled
  }

  /// The tokens chosen, the stop token included.
  package var tokens: [Int32]
  /// The text without special tokens and without the stop string; empty without a tokenizer.
  package var text: String
  package var ending: Ending

  package init(tokens: [Int32], text: String, ending: Ending) {
    self.tokens = tokens
    self.text = text
    self.ending = ending
  }
}

/// A token on its way to whoever reads along.
package struct GeneratedToken: Sendable, Equatable {
  /// The index of its request.
  package var request: Int
  package var id: Int32
  /// Text that is complete with this token: nothing in the middle of a character or of a possible stop string.
  package var text: String
  /// Set with the last token; what was held back is in `text` then.
  package var ending: Generation.Ending?
}
