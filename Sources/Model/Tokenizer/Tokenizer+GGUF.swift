package import ModelFormats

extension Tokenizer {
  package static func gguf(_ file: GGUFTokenizer) throws(TokenizerError) -> Tokenizer {
    var parts: TokenizerParts
    switch file.model {
    case "gpt2": parts = try byteLevel(file)
    case "llama": parts = try sentencePiece(file)
    default: throw .unsupportedModel(found: file.model)
    }
    parts.bos = file.bos
    parts.eos = file.eos
    return try Tokenizer(parts)
  }

  private static func byteLevel(_ file: GGUFTokenizer) throws(TokenizerError) -> TokenizerParts {
    let preTokenizer = try PreTokenizer(ggufName: file.pre)
    let vocabulary = try Vocabulary(tokens: file.tokens, kinds: kinds(file))
    var parts = TokenizerParts(
      vocabulary: vocabulary, merges: try MergeTable(merges: file.merges, vocabulary: vocabulary),
      cut: .words(preTokenizer))
    let hasFirstToken = PreTokenizer.namesWithFirstToken.contains(file.pre)
    parts.ignoresMerges = hasFirstToken
    parts.normalizer.composes = PreTokenizer.qwen2Names.contains(file.pre)
    if file.addBOS ?? hasFirstToken, let bos = file.bos { parts.beginning = [bos] }
    return parts
  }

  private static func sentencePiece(_ file: GGUFTokenizer) throws(TokenizerError) -> TokenizerParts {
    let vocabulary = try Vocabulary(tokens: file.tokens, kinds: kinds(file), writing: .sentencePiece)
    var parts = TokenizerParts(
      vocabulary: vocabulary, merges: try MergeTable(scores: file.scores, vocabulary: vocabulary),
      cut: .stretches(nil))
    let hasPrefix = file.addSpacePrefix ?? true
    parts.normalizer.marksBlanks = true
    parts.normalizer.prependsBlank = hasPrefix
    parts.dropsFirstBlank = hasPrefix
    parts.countsBlanksOfChats = hasPrefix
    parts.fallsBackToBytes = true
    parts.fusesUnknown = true
    parts.unknown = file.unknown ?? vocabulary.kinds.firstIndex(of: .unknown)
    if file.addBOS ?? true, let bos = file.bos { parts.beginning = [bos] }
    if file.marksTakeBlanks { parts.flags = flagsOfMarks(file) }
    return parts
  }

  /// As Phi-3's tokenizer.json has them, and llama.cpp by the model's name. Its `<|endoftext|>` is none of its template's.
  private static func flagsOfMarks(_ file: GGUFTokenizer) -> [Int32: AddedTokens.Flags] {
    var flags: [Int32: AddedTokens.Flags] = [:]
    for (index, token) in file.tokens.enumerated()
    where token.hasPrefix("<|") && token.hasSuffix("|>") && token != "<|endoftext|>" {
      flags[Int32(index)] = AddedTokens.Flags(takesBlanksAfter: true)
    }
    return flags
  }

  private static func kinds(_ file: GGUFTokenizer) throws(TokenizerError) -> [Vocabulary.Kind] {
    guard file.types.count == file.tokens.count else {
      throw .typeCount(types: file.types.count, tokens: file.tokens.count)
    }
    var kinds: [Vocabulary.Kind] = []
    kinds.reserveCapacity(file.types.count)
    for (index, type) in file.types.enumerated() {
      guard let kind = Vocabulary.Kind(rawValue: type) else { throw .tokenType(index: index, found: Int(type)) }
      kinds.append(kind)
    }
    return kinds
  }
}
