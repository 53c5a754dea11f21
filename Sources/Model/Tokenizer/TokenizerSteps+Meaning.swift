import StrictJSON

// What the steps of each part mean here; what they could mean elsewhere is an error that names it.

extension TokenizerSteps {
  private static let blankMarks = "Replace of ' ' by '\(BlankMark.text)'"

  func normalizer() throws -> TextNormalizer {
    var normalizer = TextNormalizer()
    switch names {
    case []: break
    case ["NFC"]: normalizer.composes = true
    case ["Replace"]: normalizer.marksBlanks = true
    case ["Prepend", "Replace"]: (normalizer.prependsBlank, normalizer.marksBlanks) = (true, true)
    default:
      throw unsupported(
        "NFC (Qwen), \(Self.blankMarks) (Gemma), that behind Prepend of '\(BlankMark.text)' (Llama 2), none")
    }
    for index in values.indices {
      var step = try reader(index)
      switch names[index] {
      case "Prepend":
        let text = try step.string("prepend")
        guard text == BlankMark.text else { throw unsupported("Prepend of '\(text.excerpt)'", BlankMark.text) }
      case "Replace": try requireReplace(&step, " ", by: BlankMark.text)
      default: break
      }
      try step.finish()
    }
    return normalizer
  }

  private func requireReplace(_ step: inout ObjectReader, _ old: String, by new: String) throws {
    let pattern = try step.value("pattern")
    let content = try step.string("content")
    guard pattern == ["String": .string(old)], content == new else {
      throw unsupported("Replace of \(pattern.excerpt) by '\(content.excerpt)'", "Replace of '\(old)' by '\(new)'")
    }
  }

  private static let supportedPreTokenizers =
    "ByteLevel with its own expression (GPT-2), alone, before or after Digits with individual_digits (SmolLM), or behind a "
    + "Split by the expression of Llama 3, Qwen2, Tekken or GPT-2; Metaspace; Split at ' ' where the normalizer replaces it (Gemma)"

  func cut(_ normalizer: TextNormalizer) throws -> TokenizerParts.Cut {
    switch names {
    case [] where normalizer.marksBlanks: return .stretches(nil)
    case ["Split"] where normalizer.marksBlanks:
      // There is nothing left to split at.
      var step = try reader(0)
      let pattern = try step.value("pattern")
      guard pattern == ["String": " "] else { throw unsupported("Split by \(pattern.excerpt)", "Split at ' '") }
      _ = try step.optionalString("behavior")
      _ = try step.optionalBool("invert")
      try step.finish()
      return .stretches(nil)
    case ["Metaspace"]: return .stretches(try metaspace())
    case ["ByteLevel"]:
      try requireByteLevel(0, usesExpression: true)
      return .words(.gpt2)
    case ["ByteLevel", "Digits"]:
      try requireByteLevel(0, usesExpression: true)
      try requireDigits(1)
      return .words(.gpt2ThenDigits)
    case ["Digits", "ByteLevel"]:
      try requireDigits(0)
      try requireByteLevel(1, usesExpression: true)
      return .words(.digitsThenGPT2)
    case ["Split", "ByteLevel"]:
      let preTokenizer = try expression(0)
      try requireByteLevel(1, usesExpression: false)
      return .words(preTokenizer)
    default: throw unsupported(Self.supportedPreTokenizers)
    }
  }

  private func metaspace() throws -> Metaspace {
    var step = try reader(0)
    let replacement = try step.optionalString("replacement") ?? BlankMark.text
    guard replacement == BlankMark.text else {
      throw unsupported("Metaspace with the replacement '\(replacement.excerpt)'", "'\(BlankMark.text)'")
    }
    // Before `prepend_scheme` there was `add_prefix_space`.
    let addsPrefix = try step.optionalBool("add_prefix_space") ?? true
    let scheme = try step.optionalString("prepend_scheme") ?? (addsPrefix ? "always" : "never")
    _ = try step.optionalString("str_rep")
    guard let front = Metaspace.Front(rawValue: scheme) else {
      throw unsupported("Metaspace with prepend_scheme '\(scheme.excerpt)'", "first, always, never")
    }
    let splits = try step.optionalBool("split") ?? true
    try step.finish()
    return Metaspace(front: front, splits: splits)
  }

  private func expression(_ index: Int) throws -> PreTokenizer {
    var step = try reader(index)
    let pattern = try step.value("pattern")
    let behavior = try step.optionalString("behavior") ?? "Isolated"
    let isInverted = try step.optionalBool("invert") ?? false
    try step.finish()
    // The expressions match all of a text: either way its words are the matches.
    guard behavior == "Isolated" || (behavior == "Removed" && isInverted) else {
      throw unsupported(
        "Split with behavior '\(behavior.excerpt)', invert \(isInverted)", "behavior 'Isolated', invert false")
    }
    guard let text = pattern["Regex"]?.stringValue, let found = PreTokenizer(expression: text) else {
      throw TokenizerError.unknownExpression(pattern["Regex"]?.stringValue ?? pattern.jsonText)
    }
    return found
  }

  private func requireDigits(_ index: Int) throws {
    var step = try reader(index)
    guard try step.optionalBool("individual_digits") == true else {
      throw unsupported("Digits without individual_digits", Self.supportedPreTokenizers)
    }
    try step.finish()
  }

  private func requireByteLevel(_ index: Int, usesExpression: Bool) throws {
    var step = try reader(index)
    _ = try step.optionalBool("trim_offsets")  // offsets only
    let prefix = try step.optionalBool("add_prefix_space") ?? true
    let regex = try step.optionalBool("use_regex") ?? true
    guard !prefix, regex == usesExpression else {
      throw unsupported(
        "ByteLevel with add_prefix_space \(prefix), use_regex \(regex)"
          + (usesExpression ? "" : " behind a Split"),
        "add_prefix_space false, use_regex \(usesExpression)")
    }
    try step.finish()
  }

  /// The ids that a template puts in front of a text.
  func beginning() throws -> [Int] {
    let supported = "a TemplateProcessing that puts tokens in front of the text, or what changes nothing"
    if names.isEmpty { return [] }
    guard names == ["TemplateProcessing"] else { throw unsupported(supported) }
    var step = try reader(0)
    let pieces = try step.array("single")
    _ = step.optionalValue("pair")
    let tokens = try step.optionalObject("special_tokens") ?? [:]
    try step.finish()
    let added = pieces.filter { $0["Sequence"] == nil }.map { $0["SpecialToken"]?["id"]?.stringValue ?? $0.jsonText }
    guard pieces.count == added.count + 1, pieces.last?["Sequence"]?["id"] == "A" else {
      let found = added.isEmpty ? "" : ", which adds \(added.map { "'\($0)'" }.excerpt)"
      throw unsupported("TemplateProcessing" + found, supported)
    }
    return try added.flatMap { name in
      guard let ids = tokens[name]?["ids"]?.arrayValue?.map(\.intValue), !ids.isEmpty, !ids.contains(nil) else {
        throw unsupported(
          "TemplateProcessing with '\(name.excerpt)' and without its ids", "ids of each token in special_tokens")
      }
      return ids.compactMap(\.self)
    }
  }

  /// How tokens write text, and whether a blank at the beginning is dropped.
  func decoder() throws -> (Vocabulary.Writing, dropsFirstBlank: Bool) {
    switch names {
    case ["ByteLevel"]: return (.byteAlphabet, false)
    case ["Replace", "ByteFallback"], ["Replace", "ByteFallback", "Strip"]: break
    default: throw unsupported("ByteLevel; Replace then ByteFallback, with Strip or without (SentencePiece)")
    }
    var replace = try reader(0)
    try requireReplace(&replace, BlankMark.text, by: " ")
    try replace.finish()
    guard names.count == 3 else { return (.sentencePiece, false) }
    var strip = try reader(2)
    let content = try strip.string("content")
    let start = try strip.int("start")
    let stop = try strip.int("stop")
    try strip.finish()
    guard content == " ", start == 1, stop == 0 else {
      throw unsupported("Strip of '\(content.excerpt)', start \(start), stop \(stop)", "Strip of ' ', start 1, stop 0")
    }
    return (.sentencePiece, true)
  }
}
