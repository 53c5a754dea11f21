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
    _ = try file.optionalString("version")
    _ = file.optionalValue("truncation")  // these two are about batches, not about what a text's ids are
    _ = file.optionalValue("padding")
    try TokenizerSteps(file.optionalValue("normalizer"), of: .normalizer).requireNone()
    let preTokenizer = try preTokenizer(TokenizerSteps(file.value("pre_tokenizer"), of: .preTokenizer))
    try TokenizerSteps(file.optionalValue("post_processor"), of: .postProcessor).requireNone()
    let decoder = try TokenizerSteps(file.value("decoder"), of: .decoder)
    guard decoder.names == ["ByteLevel"] else { throw decoder.unsupported("ByteLevel") }
    let added = try file.optionalArray("added_tokens") ?? []
    var model = try file.reader("model")
    try file.finish()

    let type = try model.optionalString("type") ?? "BPE"
    guard type == "BPE" else { throw TokenizerError.unsupportedModel(found: type) }
    for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
      guard let value = model.optionalValue(key), value != .string(""), value.doubleValue != 0 else { continue }
      throw TokenizerError.unsupportedFeature(place: "model.\(key)", found: value.jsonText, supported: "none")
    }
    for key in ["byte_fallback", "ignore_merges"] where try model.optionalBool(key) == true {
      throw TokenizerError.unsupportedFeature(place: "model.\(key)", found: "true", supported: "false")
    }
    let unknownToken = try model.optionalString("unk_token")
    if try model.optionalBool("fuse_unk") == true, unknownToken != nil {
      throw TokenizerError.unsupportedFeature(place: "model.fuse_unk", found: "true", supported: "false")
    }
    let vocabularyObject = try model.object("vocab")
    let mergeValues = try model.array("merges")
    try model.finish()

    let vocabulary = try vocabulary(vocabularyObject, added)
    let merges = try MergeTable(merges: mergeTexts(mergeValues), vocabulary: vocabulary)
    func id(_ text: String?, _ name: String) throws -> Int? {
      guard let text else { return nil }
      guard let id = vocabulary.id(ofText: [UInt8](text.utf8)[...]) else {
        throw TokenizerError.json("\(name) is \"\(text.excerpt)\", which is not in the vocabulary")
      }
      return Int(id)
    }
    return try Tokenizer(
      vocabulary: vocabulary, merges: merges, preTokenizer: preTokenizer, bos: id(config.bos, "bos_token"),
      eos: id(config.eos, "eos_token"), addsBOS: config.addsBOS, unknown: id(unknownToken, "model.unk_token"))
  }

  private static let supportedPreTokenizers =
    "ByteLevel with its own expression (GPT-2), alone, before or after Digits with individual_digits (SmolLM)"

  private static func preTokenizer(_ steps: TokenizerSteps) throws -> PreTokenizer {
    let found: PreTokenizer
    switch steps.names {
    case ["ByteLevel"]: found = .gpt2
    case ["ByteLevel", "Digits"]: found = .gpt2ThenDigits
    case ["Digits", "ByteLevel"]: found = .digitsThenGPT2
    default: throw steps.unsupported(supportedPreTokenizers)
    }
    for (name, step) in zip(steps.names, steps.values) {
      var step = try ObjectReader(reading: step, path: "pre_tokenizer.\(name)")
      _ = try step.string("type")
      if name == "Digits" {
        let individual = try step.optionalBool("individual_digits") ?? false
        guard individual else {
          throw TokenizerError.unsupportedFeature(
            place: "pre_tokenizer", found: "Digits without individual_digits", supported: supportedPreTokenizers)
        }
      } else {
        _ = try step.optionalBool("trim_offsets")  // offsets only
        let prefix = try step.optionalBool("add_prefix_space") ?? true
        let regex = try step.optionalBool("use_regex") ?? true
        guard !prefix, regex else {
          throw TokenizerError.unsupportedFeature(
            place: "pre_tokenizer", found: "ByteLevel with add_prefix_space \(prefix), use_regex \(regex)",
            supported: "add_prefix_space false, use_regex true")
        }
      }
      try step.finish()
    }
    return found
  }

  /// The vocabulary of the model and the added tokens, in order of their ids, which must be 0 to n - 1.
  private static func vocabulary(_ object: JSONObject, _ added: [JSONValue]) throws -> Vocabulary {
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
      try place(text, at: id, .normal)
    }
    for (index, value) in added.enumerated() {
      var token = try ObjectReader(reading: value, path: "added_tokens[\(index)]")
      let id = try token.int("id", in: 0...Int(Int32.max))
      let content = try token.string("content")
      for key in ["single_word", "lstrip", "rstrip"] where try token.optionalBool(key) == true {
        throw TokenizerError.unsupportedFeature(
          place: "added_tokens[\(index)].\(key)", found: "true (\(content))", supported: "false")
      }
      _ = try token.optionalBool("normalized")  // there is no normalizer
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
    return try Vocabulary(tokens: texts, kinds: Array(kinds.prefix(texts.count)))
  }

  /// Merges are "a b", or ["a", "b"] since tokenizers 0.20.
  private static func mergeTexts(_ values: [JSONValue]) throws -> [String] {
    var merges: [String] = []
    merges.reserveCapacity(values.count)
    for (index, value) in values.enumerated() {
      if let text = value.stringValue {
        merges.append(text)
      } else if let pair = value.arrayValue, pair.count == 2, let left = pair[0].stringValue,
        let right = pair[1].stringValue,
        !left.utf8.contains(0x20)
      {
        merges.append(left + " " + right)
      } else {
        throw TokenizerError.malformedMerge(index: index, text: value.jsonText)
      }
    }
    return merges
  }
}

/// What is used of `tokenizer_config.json`; the rest of that file is for other programs.
private struct TokenizerConfiguration {
  var bos: String?
  var eos: String?
  var addsBOS = false

  init(_ bytes: [UInt8]?) throws {
    guard let bytes else { return }
    var limits = JSONLimits()
    limits.oddNumbers = .integersRounded  // "model_max_length": 1000000000000000019884624838656
    let object: JSONValue
    do { object = try parseJSON(bytes, limits: limits) } catch { throw TokenizerError.configuration("\(error)") }
    func token(_ key: String) -> String? { object[key]?.stringValue ?? object[key]?["content"]?.stringValue }
    bos = token("bos_token")
    eos = token("eos_token")
    addsBOS = object["add_bos_token"]?.boolValue ?? false
  }
}
