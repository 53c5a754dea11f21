package import StrictJSON

/// A member that is written as null where there is no value, and not left out: the answer "none" is an answer.
@propertyWrapper
package struct NullWhenAbsent<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable, AbsentReadable,
  OwnWriting
{
  package var wrappedValue: Value?

  package init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    wrappedValue = container.decodeNil() ? nil : try container.decode(Value.self)
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
  }

  package var written: JSONValue { get throws { try wrappedValue.map { try RecordWriter.encoded($0) } ?? .null } }

  package static var whenAbsent: Self { Self(wrappedValue: nil) }
}

/// A number that may be −∞, for which JSON has no word: null.
@propertyWrapper
package struct Logarithm: Codable, Sendable, Equatable, AbsentReadable, OwnWriting {
  package var wrappedValue: Double

  package init(wrappedValue: Double) { self.wrappedValue = wrappedValue }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    wrappedValue = container.decodeNil() ? -.infinity : try container.decode(Double.self)
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(wrappedValue)
  }

  package var written: JSONValue { wrappedValue.written }

  package static var whenAbsent: Self { Self(wrappedValue: -.infinity) }
}

/// A member that an older peer does not write: where it is absent it is empty, zero or false.
@propertyWrapper
package struct EmptyWhenAbsent<Value: Emptiable>: Codable, Sendable, Equatable, AbsentReadable, OwnWriting {
  package var wrappedValue: Value

  package init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
  package init(from decoder: any Decoder) throws {
    wrappedValue = try decoder.singleValueContainer().decode(Value.self)
  }
  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(wrappedValue)
  }
  package var written: JSONValue { get throws { try RecordWriter.encoded(wrappedValue) } }

  package static var whenAbsent: Self { Self(wrappedValue: Value.empty) }
  package static func read(_ json: JSONValue, at place: String, by reader: RecordReader) throws -> Self {
    Self(wrappedValue: try Value.read(json, at: place, by: reader))
  }
}

extension EmptyWhenAbsent: Hashable where Value: Hashable {}

package protocol Emptiable: RecordValue { static var empty: Self { get } }
extension String: Emptiable { package static var empty: String { "" } }
extension Bool: Emptiable { package static var empty: Bool { false } }
extension Int: Emptiable { package static var empty: Int { 0 } }
extension [String]: Emptiable { package static var empty: [String] { [] } }

/// A list that has something in it.
@propertyWrapper
package struct NotEmpty<Element: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
  package var wrappedValue: [Element]

  package init(wrappedValue: [Element]) { self.wrappedValue = wrappedValue }
  package init(from decoder: any Decoder) throws {
    wrappedValue = try decoder.singleValueContainer().decode([Element].self)
    guard !wrappedValue.isEmpty else { throw RecordError(.invalid, in: decoder, "is an empty list") }
  }
  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(wrappedValue)
  }
}

/// Puts the members of a member into the object that it is a member of: the costs of a search into its summary.
@propertyWrapper
package struct Flattened<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
  package var wrappedValue: Value

  package init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
  package init(from decoder: any Decoder) throws { wrappedValue = try Value(from: decoder) }
  package func encode(to encoder: any Encoder) throws { try wrappedValue.encode(to: encoder) }
}

extension Flattened: RecordPart {
  /// From the members of the object around it.
  package static func read(_ member: ObjectMember) throws -> Self {
    let values = member.values
    if let part = try member.part(Self.self) { return part }
    return Self(
      wrappedValue: try Value(
        from: ValueDecoder(json: .object(values.object), place: values.place, reader: values.reader, source: nil)))
  }

  /// Not those of a record, so none that a description could name: `Included` is for these.
  func definitions(declaredAs name: String) -> [MemberDefinition] { [] }
  func givenNames(declaredAs name: String) -> Set<String> { [] }
  func read(
    declaredAs name: String, from object: JSONObject, at place: String, by reader: RecordReader
  ) throws -> Self {
    try Self(from: ValueDecoder(json: .object(object), place: place, reader: reader, source: nil))
  }
  package func write(as label: String, to content: RecordContent) throws {
    try wrappedValue.encode(to: ValueEncoder(content: content))
  }
}

/// The same of members that may all be missing; where some of them are there, one that is missing is an error.
@propertyWrapper
package struct FlattenedIfPresent<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
  package var wrappedValue: Value?

  package init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }
  package init(from decoder: any Decoder) throws {
    do {
      wrappedValue = try Value(from: decoder)
    } catch let error as RecordError where error.kind == .missing {
      guard let decoder = decoder as? ValueDecoder, case .object(let object) = decoder.json,
        !MemberNames(of: Value.self).names.contains(where: { object[$0] != nil })
      else { throw error }
      wrappedValue = nil
    }
  }
  package func encode(to encoder: any Encoder) throws { try wrappedValue?.encode(to: encoder) }
}

extension FlattenedIfPresent: RecordPart {
  package static func read(_ member: ObjectMember) throws -> Self {
    let values = member.values
    if let part = try member.part(Self.self) { return part }
    return try Self(
      from: ValueDecoder(json: .object(values.object), place: values.place, reader: values.reader, source: nil))
  }

  func definitions(declaredAs name: String) -> [MemberDefinition] { [] }
  func givenNames(declaredAs name: String) -> Set<String> { [] }
  func read(
    declaredAs name: String, from object: JSONObject, at place: String, by reader: RecordReader
  ) throws -> Self {
    try Self(from: ValueDecoder(json: .object(object), place: place, reader: reader, source: nil))
  }
  package func write(as label: String, to content: RecordContent) throws {
    try wrappedValue?.encode(to: ValueEncoder(content: content))
  }
}

/// What is read from the members of the object around it.
protocol FlattenedReadable: Decodable {}
extension Flattened: FlattenedReadable {}
extension FlattenedIfPresent: FlattenedReadable {}

// Members of records whose JSON is shown as it is. The reader and the writer hand them through; another encoder, such as
// that of a test's arguments, gets their parts.
extension JSONValue: Codable {
  package init(from decoder: any Decoder) throws {
    guard let decoder = decoder as? ValueDecoder else {
      throw RecordError(.invalid, at: "", "is read by RecordReader only")
    }
    self = decoder.json
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let values): try container.encode(values)
    case .object(let object): try object.encode(to: encoder)
    }
  }
}

extension JSONObject: Codable {
  private struct Name: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  package init(from decoder: any Decoder) throws {
    guard let decoder = decoder as? ValueDecoder, case .object(let object) = decoder.json else {
      throw RecordError(.invalid, at: "", "is read by RecordReader only")
    }
    self = object
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Name.self)
    for (name, value) in members { try container.encode(value, forKey: Name(stringValue: name)) }
  }
}

// Handed through, in a job's journal by the megabyte, they cost nothing.
extension JSONValue: RecordValue {
  package static var valueType: ValueType { .any }
  package static func read(_ json: Self, over base: Self?, at place: String, by reader: RecordReader) -> Self { json }
  package static func readList(_ items: [Self], at place: String, by reader: RecordReader) -> [Self] { items }
}

extension JSONObject: RecordValue {
  package static var valueType: ValueType { .record }
  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    guard case .object(let object) = json else {
      throw RecordError(.invalid, at: place, "must be an object, and is \(json.asFound)")
    }
    return object
  }
}
