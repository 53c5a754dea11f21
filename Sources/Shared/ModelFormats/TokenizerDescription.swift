/// What a model file says about its tokenizer, as it says it; the tokenizer itself is made elsewhere.
package struct TokenizerDescription: Sendable, Equatable {
  package enum Kind: Sendable, Equatable {
    /// Byte-level BPE of GGUF metadata (`tokenizer.ggml.model` = "gpt2").
    case ggufBPE(
      pre: String, tokens: [String], types: [Int32], merges: [String], addBOS: Bool, bos: Int?, eos: Int?,
      unknown: Int?, padding: Int?)
    /// Another kind of GGUF tokenizer ("llama", "bert", …), by its name.
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
