/// What a model file says about its tokenizer, as it says it; the tokenizer itself is made elsewhere.
package struct TokenizerDescription: Sendable, Equatable {
  package enum Kind: Sendable, Equatable {
    /// BPE of GGUF metadata, byte-level (`tokenizer.ggml.model` = "gpt2") or SentencePiece's ("llama").
    case gguf(GGUFTokenizer)
    /// Another kind of GGUF tokenizer ("bert", "t5", …), by its name.
    case ggufOther(model: String)
    /// The bytes of `tokenizer.json`, and of `tokenizer_config.json` where there is one.
    case huggingFace(tokenizerJSON: [UInt8], configJSON: [UInt8]?)
  }

  package let kind: Kind
  /// The model's own Jinja text, nil where it has none.
  package let chatTemplate: String?

  package init(kind: Kind, chatTemplate: String?) {
    self.kind = kind
    self.chatTemplate = chatTemplate
  }
}

/// Members of `tokenizer.ggml`; what is nil or empty is not in the file.
package struct GGUFTokenizer: Sendable, Equatable {
  package var model: String
  package var pre: String
  /// At most as many as the embedding has rows.
  package var tokens: [String]
  /// As many as tokens.
  package var types: [Int32]
  /// Of the model "gpt2": "left right".
  package var merges: [String]
  /// Of the model "llama": as many as tokens.
  package var scores: [Double]
  package var bos: Int?
  package var eos: Int?
  package var unknown: Int?
  package var addBOS: Bool?
  package var addSpacePrefix: Bool?
  /// The blanks behind a mark of the template belong to the mark, which no key says: in Phi-3. Marks are `<|user|>` and
  /// others of that form.
  package var marksTakeBlanks: Bool

  package init(
    model: String = "gpt2", pre: String = "default", tokens: [String], types: [Int32], merges: [String] = [],
    scores: [Double] = [], bos: Int? = nil, eos: Int? = nil, unknown: Int? = nil, addBOS: Bool? = nil,
    addSpacePrefix: Bool? = nil, marksTakeBlanks: Bool = false
  ) {
    (self.model, self.pre, self.tokens, self.types) = (model, pre, tokens, types)
    (self.merges, self.scores, self.bos, self.eos, self.unknown) = (merges, scores, bos, eos, unknown)
    (self.addBOS, self.addSpacePrefix, self.marksTakeBlanks) = (addBOS, addSpacePrefix, marksTakeBlanks)
  }
}
