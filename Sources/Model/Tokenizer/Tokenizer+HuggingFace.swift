import StrictJSON

extension Tokenizer {
  /// A tokenizer from `tokenizer.json`, and the names of its first and last token from `tokenizer_config.json` where there is one.
  ///
  /// Every member of the file is known or an error: what is not understood here would change ids silently.
  package static func huggingFace(tokenizerJSON: [UInt8], configJSON: [UInt8]? = nil) throws(TokenizerError)
    -> Tokenizer
  {
    do {
      var limits = JSONLimits()
      limits.maximumBytes = 128 << 20
      let value = try parseJSON(tokenizerJSON, limits: limits)
      var file = try ObjectReader(reading: value)
      let config = try TokenizerConfiguration(configJSON)
      return try read(&file, config)
    } catch let error as TokenizerError {
      throw error
    } catch {
      throw .json("\(error)")
    }
  }

  private static func read(_ file: inout ObjectReader, _ config: TokenizerConfiguration) throws -> Tokenizer {
    // First, since the other parts of another kind would be refused by a name that says less.
    var model = try file.reader("model")
    let type = try model.optionalString("type") ?? "BPE"
    guard type == "BPE" else { throw TokenizerError.unsupportedModel(found: type) }
    _ = try file.optionalString("version")
    _ = file.optionalValue("truncation")  // these two are about batches, not about what a text's ids are
    _ = file.optionalValue("padding")
    let normalizer = try TokenizerSteps(file.optionalValue("normalizer"), of: .normalizer).normalizer()
    let cut = try TokenizerSteps(file.optionalValue("pre_tokenizer"), of: .preTokenizer).cut(normalizer)
    let beginning = try TokenizerSteps(file.optionalValue("post_processor"), of: .postProcessor).beginning()
    let decoder = try TokenizerSteps(file.value("decoder"), of: .decoder)
    let (writing, dropsFirstBlank) = try decoder.decoder()
    let added = try file.optionalArray("added_tokens") ?? []
    try file.finish()

    let isByteLevel = if case .words = cut { true } else { false }
    guard isByteLevel == (writing == .byteAlphabet), !isByteLevel || !normalizer.marksBlanks else {
      throw decoder.unsupported(
        "\(decoder.names.joined(separator: " then ")) behind \(isByteLevel ? "ByteLevel" : "blanks that are marked")",
        "ByteLevel in both, or blanks marked and unmarked again")
    }
    for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
      guard let value = model.optionalValue(key), value != .string(""), value.doubleValue != 0 else { continue }
      throw TokenizerError.unsupportedFeature(place: "model.\(key)", found: value.jsonText, supported: "none")
    }
    let fallsBackToBytes = try model.optionalBool("byte_fallback") ?? false
    guard !fallsBackToBytes || !isByteLevel else {
      throw TokenizerError.unsupportedFeature(
        place: "model.byte_fallback", found: "true", supported: "false behind ByteLevel")
    }
    let ignoresMerges = try model.optionalBool("ignore_merges") ?? false
    let unknownToken = try model.optionalString("unk_token")
    let fusesUnknown = try model.optionalBool("fuse_unk") ?? false
    let vocabularyObject = try model.object("vocab")
    let mergeValues = try model.array("merges")
    try model.finish()

    let (vocabulary, flags) = try vocabulary(vocabularyObject, added, writing)
    func id(_ text: String?, _ name: String) throws -> Int? {
      guard let text else { return nil }
      guard let id = vocabulary.id(ofText: text) else {
        throw TokenizerError.json("\(name) is \"\(text.excerpt)\", which is not in the vocabulary")
      }
      return Int(id)
    }
    let merges = try MergeTable(parts: mergeParts(mergeValues), vocabulary: vocabulary)
    var parts = TokenizerParts(vocabulary: vocabulary, merges: merges, normalizer: normalizer, cut: cut)
    parts.ignoresMerges = ignoresMerges
    parts.flags = flags
    parts.beginning = beginning
    parts.bos = try id(config.bos, "bos_token") ?? beginning.first
    parts.eos = try id(config.eos, "eos_token")
    parts.unknown = try id(unknownToken, "model.unk_token")
    parts.fusesUnknown = fusesUnknown
    parts.fallsBackToBytes = fallsBackToBytes
    parts.dropsFirstBlank = dropsFirstBlank
    return try Tokenizer(parts)
  }

  /// The vocabulary of the model and the added tokens, in order of their ids, which must be 0 to n - 1.
  private static func vocabulary(
    _ object: JSONObject, _ added: [JSONValue], _ writing: Vocabulary.Writing
  ) throws -> (Vocabulary, [Int32: AddedTokens.Flags]) {
    let bound = object.count + added.count
    guard bound <= Vocabulary.maximumTokens else {
      throw TokenizerError.tooMany(what: "tokens", found: bound, allowed: Vocabulary.maximumTokens)
    }
    var tokens = [String?](repeating: nil, count: bound)
    var kinds = [Vocabulary.Kind](repeating: .normal, count: bound)
    // The first of those that lie behind a gap, since there are not as many tokens as its id says.
    var beyond: (text: String, id: Int)?
    func place(_ text: String, at id: Int, _ kind: Vocabulary.Kind) throws {
      guard id >= 0 else {
        throw TokenizerError.idOutOfRange(name: "\"\(text.excerpt)\"", found: id, vocabulary: bound)
      }
      guard id < bound else {
        if id < beyond?.id ?? .max { beyond = (text, id) }
        return
      }
      if let other = tokens[id], UTF8Key(other) != UTF8Key(text) {
        throw TokenizerError.json("the id \(id) is of both \"\(other.excerpt)\" and \"\(text.excerpt)\"")
      }
      tokens[id] = text
      kinds[id] = kind
    }
    for (text, value) in object.members {
      guard let id = value.intValue else {
        throw TokenizerError.json("model.vocab: the id of \"\(text.excerpt)\" is \(value.excerpt), expected an integer")
      }
      let isByte = writing == .sentencePiece && Vocabulary.byte(ofText: Array(text.utf8)[...]) != nil
      try place(text, at: id, isByte ? .byte : .normal)
    }
    var allFlags: [Int32: AddedTokens.Flags] = [:]
    for (index, value) in added.enumerated() {
      var token = try ObjectReader(reading: value, path: "added_tokens[\(index)]")
      let id = try token.int("id", in: 0...Int(Int32.max))
      let content = try token.string("content")
      var flags = AddedTokens.Flags()
      flags.isWord = try token.optionalBool("single_word") ?? false
      flags.takesBlanksBefore = try token.optionalBool("lstrip") ?? false
      flags.takesBlanksAfter = try token.optionalBool("rstrip") ?? false
      flags.isNormalized = try token.optionalBool("normalized") ?? false
      if flags != AddedTokens.Flags() { allFlags[Int32(id)] = flags }
      let special = try token.optionalBool("special") ?? false
      try token.finish()
      try place(content, at: id, special ? .control : .userDefined)
    }
    let texts = Array(tokens.prefix { $0 != nil }.compactMap(\.self))
    let next = tokens[texts.count...].firstIndex { $0 != nil }
    if let next, let text = tokens[next] { beyond = (text, next) }
    if let beyond {
      throw TokenizerError.missingIDs(first: texts.count, last: beyond.id - 1, next: beyond.text)
    }
    return (try Vocabulary(tokens: texts, kinds: Array(kinds.prefix(texts.count)), writing: writing), allFlags)
  }

  /// The parts of the merges, two and two. Merges are "a b", or ["a", "b"] since tokenizers 0.20.
  private static func mergeParts(_ values: [JSONValue]) throws -> [String] {
    var parts: [String] = []
    parts.reserveCapacity(values.count * 2)
    for (index, value) in values.enumerated() {
      if case .array(let pair) = value, pair.count == 2, let left = pair[0].stringValue, let right = pair[1].stringValue
      {
        parts.append(left)
        parts.append(right)
      } else if let text = value.stringValue, let space = text.utf8.firstIndex(of: 0x20) {
        parts.append(String(text[..<space]))
        parts.append(String(text[text.utf8.index(after: space)...]))
      } else {
        throw TokenizerError.malformedMerge(index: index, text: value.stringValue ?? value.jsonText)
      }
    }
    return parts
  }
}

/// What is used of `tokenizer_config.json`; the rest of that file is for other programs. Whether a text begins with the first
/// token is not: that is what `tokenizer.json` does, and older files of Llama 3 do not say `add_bos_token`.
private struct TokenizerConfiguration {
  var bos: String?
  var eos: String?

  init(_ bytes: [UInt8]?) throws {
    guard let bytes else { return }
    var limits = JSONLimits()
    limits.oddNumbers = .integersRounded  // "model_max_length": 1000000000000000019884624838656
    let object: JSONValue
    do { object = try parseJSON(bytes, limits: limits) } catch { throw TokenizerError.configuration("\(error)") }
    func token(_ key: String) -> String? { object[key]?.stringValue ?? object[key]?["content"]?.stringValue }
    bos = token("bos_token")
    eos = token("eos_token")
  }
}
