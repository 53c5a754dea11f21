import StrictJSON

/// What one part of `tokenizer.json` does, step by step. Nested sequences are one list, and a step that changes nothing
/// is none: `{"type": "Sequence", "decoders": [{"type": "ByteLevel"}, {"type": "Fuse"}]}` is ByteLevel.
struct TokenizerSteps {
  enum Part: String {
    case normalizer
    case preTokenizer = "pre_tokenizer"
    case postProcessor = "post_processor"
    case decoder

    /// Where a sequence of this part has its steps.
    var list: String {
      switch self {
      case .normalizer: "normalizers"
      case .preTokenizer: "pretokenizers"
      case .postProcessor: "processors"
      case .decoder: "decoders"
      }
    }
  }

  let part: Part
  private(set) var values: [JSONValue] = []

  /// `value` is nil where the file has none or null.
  init(_ value: JSONValue?, of part: Part) throws {
    self.part = part
    if let value, !value.isNull { try add(value) }
  }

  private mutating func add(_ value: JSONValue) throws {
    if Self.typeName(value) == "Sequence" {
      var sequence = try ObjectReader(reading: value, path: part.rawValue)
      _ = try sequence.string("type")
      let steps = try sequence.array(part.list)
      try sequence.finish()
      for step in steps { try add(step) }
    } else if try !changesNothing(value) {
      values.append(value)
    }
  }

  private func changesNothing(_ value: JSONValue) throws -> Bool {
    switch (part, Self.typeName(value)) {
    case (.normalizer, "Strip"): value["strip_left"] == false && value["strip_right"] == false
    // It is about offsets, which nobody asks for here.
    case (.postProcessor, "ByteLevel"): true
    case (.postProcessor, "TemplateProcessing"): addedTokens(value)?.isEmpty == true
    // The bytes of all tokens are one text here.
    case (.decoder, "Fuse"): true
    case (.decoder, "Strip"): value["start"] == 0 && value["stop"] == 0
    default: false
    }
  }

  /// What a template puts around a single text; nil where the text is not in it once.
  private func addedTokens(_ template: JSONValue) -> [String]? {
    guard let pieces = template["single"]?.arrayValue else { return nil }
    let added = pieces.filter { $0["Sequence"] == nil }.map { $0["SpecialToken"]?["id"]?.stringValue ?? $0.jsonText }
    guard pieces.count - added.count == 1, pieces.contains(where: { $0["Sequence"]?["id"] == "A" }) else { return nil }
    return added
  }

  var names: [String] { values.map(Self.typeName) }

  func requireNone() throws(TokenizerError) {
    guard values.isEmpty else { throw unsupported("none, or what changes nothing") }
  }

  func unsupported(_ supported: String) -> TokenizerError {
    let found = values.map { value in
      let added = addedTokens(value) ?? []
      return Self.typeName(value) + (added.isEmpty ? "" : ", which adds \(added.map { "'\($0)'" }.excerpt)")
    }
    return .unsupportedFeature(
      place: part.rawValue, found: found.isEmpty ? "a sequence without a step" : found.joined(separator: " then "),
      supported: supported)
  }

  private static func typeName(_ value: JSONValue) -> String { value["type"]?.stringValue ?? value.jsonText }
}
