package import StrictJSON

/// What a member of a record may be.
package protocol RecordValue: OwnReading, Encodable, Sendable, Equatable {
  /// What a member of this type accepts, before a declaration narrows it.
  static var valueType: ValueType { get }
  /// The value of an absent member; nil where there is none.
  static var absent: Self? { get }
  /// As it is written; nil where the member is left out.
  var memberJSON: JSONValue? { get }
  /// - Parameter base: what the value is laid over, where records are nested.
  static func read(_ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader) throws -> Self
  /// A list of such values. Those that come by the ten thousand need no place and no decoder for each.
  static func readList(_ items: [JSONValue], at place: String, by reader: RecordReader) throws -> [Self]
}

extension RecordValue {
  package static var absent: Self? { nil }
  package var memberJSON: JSONValue? { RecordWriter.json(self) }
  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    try Self(from: ValueDecoder(json: json, place: place, reader: reader, source: nil))
  }
  package static func readList(_ items: [JSONValue], at place: String, by reader: RecordReader) throws -> [Self] {
    var values: [Self] = []
    values.reserveCapacity(items.count)
    for (index, item) in items.enumerated() {
      values.append(try read(item, over: nil, at: "\(place)[\(index)]", by: reader))
    }
    return values
  }

  package static func read(_ json: JSONValue, at place: String, by reader: RecordReader) throws -> Self {
    try read(json, over: nil, at: place, by: reader)
  }
}

extension RecordValue where Self: PlainValue {
  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self { try plain(json, at: place) }

  package static func readList(_ items: [JSONValue], at place: String, by reader: RecordReader) throws -> [Self] {
    var values: [Self] = []
    values.reserveCapacity(items.count)
    for (index, item) in items.enumerated() { values.append(try plain(item, at: "\(place)[\(index)]")) }
    return values
  }
}

extension Bool: RecordValue { package static var valueType: ValueType { .boolean } }
extension String: RecordValue { package static var valueType: ValueType { .string } }

extension Int: RangedValue {
  package static var valueType: ValueType { .integer(Int64.min...Int64.max) }
  package static func valueType(in range: ClosedRange<Int>) -> ValueType {
    .integer(Int64(range.lowerBound)...Int64(range.upperBound))
  }
}
extension Int64: RangedValue {
  package static var valueType: ValueType { .integer(min...max) }
  package static func valueType(in range: ClosedRange<Int64>) -> ValueType { .integer(range) }
}
/// Token ids.
extension Int32: RecordValue {
  package static var valueType: ValueType { .integer(0...Int64(max)) }
}
/// Seeds. JSON's integers are signed: what is above Int64.max is written by its bits, and read again.
extension UInt64: RangedValue {
  package static var valueType: ValueType { .integer(Int64.min...Int64.max) }
  package static func valueType(in range: ClosedRange<UInt64>) -> ValueType {
    .integer(Int64(clamping: range.lowerBound)...Int64(clamping: range.upperBound))
  }
}
extension Double: RangedValue {
  package static var valueType: ValueType { .number(-Double.infinity...Double.infinity) }
  package static func valueType(in range: ClosedRange<Double>) -> ValueType { .number(range) }
}

/// Log-probabilities and coefficients.
extension Float: RecordValue {
  package static var valueType: ValueType { .number(-Double.infinity...Double.infinity) }
}

extension Optional: OwnReading where Wrapped: RecordValue {}
extension Optional: RecordValue where Wrapped: RecordValue {
  package static var valueType: ValueType { Wrapped.valueType }
  package static var absent: Self? { .some(nil) }
  package var memberJSON: JSONValue? { self?.memberJSON }
  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    try Wrapped.read(json, over: base ?? nil, at: place, by: reader)
  }
}
extension Optional: RangedValue where Wrapped: RangedValue {
  package static func valueType(in range: ClosedRange<Wrapped.Bound>) -> ValueType { Wrapped.valueType(in: range) }
}

extension Array: OwnReading where Element: RecordValue {}
extension Array: RecordValue where Element: RecordValue {
  package static var valueType: ValueType { .list(Element.valueType, atLeast: 0) }
  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    guard case .array(let items) = json else {
      throw RecordError(.invalid, at: place, "must be a list, and is \(json.asFound)")
    }
    return try Element.readList(items, at: place, by: reader)
  }
}
/// A list whose numbers have a range has at least one of them.
extension Array: RangedValue where Element: RangedValue {
  package static func valueType(in range: ClosedRange<Element.Bound>) -> ValueType {
    .list(Element.valueType(in: range), atLeast: 1)
  }
}

/// A word of the vocabulary: an enum whose raw values are its names on the wire.
package protocol Choice: RecordValue, OwnWriting, RawRepresentable<String>, CaseIterable {}

extension Choice {
  package static var valueType: ValueType { .choice(allCases.map(\.rawValue)) }
  package var written: JSONValue { .string(rawValue) }

  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    // The list of what is known is put together for an error only.
    if case .string(let text) = json, let word = Self(rawValue: text) { return word }
    throw RecordError(.invalid, at: place, valueType.problem(with: json) ?? "is not known")
  }
}
