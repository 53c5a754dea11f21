package import StrictJSON

/// What a member of a record may be.
package protocol RecordValue: OwnReading, Encodable, Sendable, Equatable {
  /// What a member of this type accepts, before a declaration narrows it.
  static var valueType: ValueType { get }
  /// Those of a record; of any other value none.
  static var nestedMembers: [MemberDefinition] { get }
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
  package static var nestedMembers: [MemberDefinition] { [] }
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

/// Seconds, whole or not.
extension Duration: RangedValue {
  /// 30 years: what is given without a range fits too.
  package static var valueType: ValueType { .number(-1e9...1e9) }
  package static func valueType(in range: ClosedRange<Double>) -> ValueType { .number(range) }
  package var memberJSON: JSONValue? { .number(self / .seconds(1)) }
  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    .seconds(try reader.value(Double.self, json, at: place))
  }
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

/// A list that may be written as its only item.
package struct OneOrMore<Element: RecordValue>: RecordValue, ExpressibleByArrayLiteral {
  package var items: [Element]

  package init(_ items: [Element]) { self.items = items }
  package init(arrayLiteral items: Element...) { self.init(items) }

  package static var valueType: ValueType {
    .custom("\(Element.valueType.name), or list of \(Element.valueType.name)s")
  }
  package var memberJSON: JSONValue? { .array(items.compactMap(\.memberJSON)) }
  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    func item(_ json: JSONValue, at place: String) throws -> Element {
      if let problem = Element.valueType.problem(with: json) { throw RecordError(.invalid, at: place, problem) }
      return try Element.read(json, over: nil, at: place, by: reader)
    }
    guard case .array(let items) = json else { return [try item(json, at: place)] }
    return Self(try items.enumerated().map { try item($1, at: "\(place)[\($0)]") })
  }
}

/// A value that is written as a text in a form of its own: the mode of a file, the template of a prompt.
package protocol TextValue: RecordValue {
  /// The problem that it throws is the rest of a sentence that begins with the place.
  init(text: String) throws(RecordError)
  var text: String { get }
}

extension TextValue {
  package static var valueType: ValueType { .string }

  package init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    do throws(RecordError) { try self.init(text: text) } catch {
      throw RecordError(.invalid, in: decoder, error.problem, hint: error.hint)
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
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
