extension Tokenizer {
  /// A tokenizer from the metadata of a GGUF file: `tokenizer.ggml.model`, `.pre`, `.tokens`, `.token_type`, `.merges` and the ids.
  package static func gguf(
    model: String = "gpt2", pre: String, tokens: [String], types: [Int32], merges: [String], bos: Int? = nil,
    eos: Int? = nil, addBOS: Bool = false
  ) throws(TokenizerError) -> Tokenizer {
    guard model == "gpt2" else {
      throw .unsupportedModel(found: model == "llama" ? "llama (SentencePiece)" : model)
    }
    let preTokenizer = try PreTokenizer(ggufName: pre)
    guard types.count == tokens.count else { throw .typeCount(types: types.count, tokens: tokens.count) }
    var kinds: [Vocabulary.Kind] = []
    kinds.reserveCapacity(types.count)
    for (index, type) in types.enumerated() {
      guard let kind = Vocabulary.Kind(rawValue: type) else { throw .tokenType(index: index, found: Int(type)) }
      kinds.append(kind)
    }
    let vocabulary = try Vocabulary(tokens: tokens, kinds: kinds)
    let table = try MergeTable(merges: merges, vocabulary: vocabulary)
    return try Tokenizer(
      vocabulary: vocabulary, merges: table, preTokenizer: preTokenizer, bos: bos, eos: eos, addsBOS: addBOS,
      unknown: nil)
  }
}
