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
    // The bytes of all tokens are one text here.
    case (.decoder, "Fuse"): true
    case (.decoder, "Strip"): value["start"] == 0 && value["stop"] == 0
    default: false
    }
  }

  var names: [String] { values.map(Self.typeName) }

  /// A reader of a step's members besides its type.
  func reader(_ index: Int) throws -> ObjectReader {
    var reader = try ObjectReader(reading: values[index], path: "\(part.rawValue).\(names[index].excerpt)")
    _ = try reader.optionalString("type")
    return reader
  }

  /// A step that is known and has members which are not.
  func unsupported(_ found: String, _ supported: String) -> TokenizerError {
    .unsupportedFeature(place: part.rawValue, found: found, supported: supported)
  }

  func unsupported(_ supported: String) -> TokenizerError {
    unsupported(names.isEmpty ? "a sequence without a step" : names.joined(separator: " then "), supported)
  }

  private static func typeName(_ value: JSONValue) -> String { value["type"]?.stringValue ?? value.jsonText }
}
