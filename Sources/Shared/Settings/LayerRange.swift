package import Records
package import StrictJSON

/// Layers from the first to the last, both included; written `4` or `0-9`.
package struct LayerRange: RecordValue {
  package var range: ClosedRange<Int>

  package init(_ range: ClosedRange<Int>) { self.range = range }

  package static var valueType: ValueType { .custom("string") }

  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    // Jobs that t2d 0.1 stored have [0, 9].
    if case .array(let ends) = json, ends.count == 2, let first = ends[0].intValue, let last = ends[1].intValue,
      0 <= first, first <= last
    {
      return Self(first...last)
    }
    guard case .string(let text) = json else {
      throw RecordError(
        .invalid, at: place, "must be a layer or a range of them, and is \(json.asFound)", hint: example)
    }
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard let first = ends[0], let last = ends.count == 2 ? ends[1] : first, ends.count <= 2, first >= 0, first <= last
    else {
      throw RecordError(
        .invalid, at: place, "must be a layer or a range of them, and is \(quoted(text))", hint: example)
    }
    return Self(first...last)
  }

  private static let example = "such as 4 or 0-9"

  private var text: String {
    range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
  }

  package init(from decoder: any Decoder) throws {
    self = try Self.read(
      JSONValue(from: decoder), over: nil, at: "layers", by: RecordReader(unknownMembers: .refused))
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }
}
