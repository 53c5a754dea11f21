extension Tokenizer {
  /// The lists of a GGUF file's metadata and its ids; what is nil or empty is not in the file.
  package struct GGUFLists: Sendable {
    /// `tokenizer.ggml.model` and `.pre`.
    package var model: String
    package var pre: String
    package var tokens: [String]
    /// As many as tokens.
    package var types: [Int32]
    /// Of the model `gpt2`: "left right".
    package var merges: [String]
    /// Of the model `llama`: as many as tokens.
    package var scores: [Double]
    package var bos: Int?
    package var eos: Int?
    package var unknown: Int?
    package var addBOS: Bool?
    package var addSpacePrefix: Bool?

    package init(
      model: String = "gpt2", pre: String = "", tokens: [String], types: [Int32], merges: [String] = [],
      scores: [Double] = [], bos: Int? = nil, eos: Int? = nil, unknown: Int? = nil, addBOS: Bool? = nil,
      addSpacePrefix: Bool? = nil
    ) {
      (self.model, self.pre, self.tokens, self.types) = (model, pre, tokens, types)
      (self.merges, self.scores, self.bos, self.eos, self.unknown) = (merges, scores, bos, eos, unknown)
      (self.addBOS, self.addSpacePrefix) = (addBOS, addSpacePrefix)
    }
  }

  package static func gguf(_ lists: GGUFLists) throws(TokenizerError) -> Tokenizer {
    var parts: TokenizerParts
    switch lists.model {
    case "gpt2": parts = try byteLevel(lists)
    case "llama": parts = try sentencePiece(lists)
    default: throw .unsupportedModel(found: lists.model)
    }
    parts.bos = lists.bos
    parts.eos = lists.eos
    return try Tokenizer(parts)
  }

  private static func byteLevel(_ lists: GGUFLists) throws(TokenizerError) -> TokenizerParts {
    let preTokenizer = try PreTokenizer(ggufName: lists.pre)
    let vocabulary = try Vocabulary(tokens: lists.tokens, kinds: kinds(lists))
    var parts = TokenizerParts(
      vocabulary: vocabulary, merges: try MergeTable(merges: lists.merges, vocabulary: vocabulary),
      cut: .words(preTokenizer))
    let hasFirstToken = PreTokenizer.namesWithFirstToken.contains(lists.pre)
    parts.ignoresMerges = hasFirstToken
    parts.normalizer.composes = PreTokenizer.qwen2Names.contains(lists.pre)
    if lists.addBOS ?? hasFirstToken, let bos = lists.bos { parts.beginning = [bos] }
    return parts
  }

  private static func sentencePiece(_ lists: GGUFLists) throws(TokenizerError) -> TokenizerParts {
    let vocabulary = try Vocabulary(tokens: lists.tokens, kinds: kinds(lists), writing: .sentencePiece)
    var parts = TokenizerParts(
      vocabulary: vocabulary, merges: try MergeTable(scores: lists.scores, vocabulary: vocabulary),
      cut: .stretches(nil))
    let hasPrefix = lists.addSpacePrefix ?? true
    parts.normalizer.marksBlanks = true
    parts.normalizer.prependsBlank = hasPrefix
    parts.dropsFirstBlank = hasPrefix
    parts.countsBlanksOfChats = hasPrefix
    parts.fallsBackToBytes = true
    parts.fusesUnknown = true
    parts.unknown = lists.unknown ?? vocabulary.kinds.firstIndex(of: .unknown)
    if lists.addBOS ?? true, let bos = lists.bos { parts.beginning = [bos] }
    return parts
  }

  private static func kinds(_ lists: GGUFLists) throws(TokenizerError) -> [Vocabulary.Kind] {
    guard lists.types.count == lists.tokens.count else {
      throw .typeCount(types: lists.types.count, tokens: lists.tokens.count)
    }
    var kinds: [Vocabulary.Kind] = []
    kinds.reserveCapacity(lists.types.count)
    for (index, type) in lists.types.enumerated() {
      guard let kind = Vocabulary.Kind(rawValue: type) else { throw .tokenType(index: index, found: Int(type)) }
      kinds.append(kind)
    }
    return kinds
  }
}
