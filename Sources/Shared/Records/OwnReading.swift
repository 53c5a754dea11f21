package import StrictJSON

/// A type of which the reader knows more than that it is Decodable. One cast per value finds it out, which is most of what a
/// value costs; so all that is special is said here: values of records, and the wrappers of members.
package protocol OwnReading: Decodable {
  static func read(_ json: JSONValue, at place: String, by reader: RecordReader) throws -> Self
  /// As a member of an object; unless a type says otherwise it must be there.
  static func read(_ member: ObjectMember) throws -> Self
}

extension OwnReading {
  package static func read(_ json: JSONValue, at place: String, by reader: RecordReader) throws -> Self {
    try Self(from: ValueDecoder(json: json, place: place, reader: reader, source: nil))
  }

  package static func read(_ member: ObjectMember) throws -> Self {
    try read(try member.json, at: member.place, by: member.values.reader)
  }
}

/// What has a value where it is absent.
package protocol AbsentReadable: OwnReading {
  static var whenAbsent: Self { get }
}

extension AbsentReadable {
  package static func read(_ member: ObjectMember) throws -> Self {
    guard let json = member.found else { return whenAbsent }
    return try read(json, at: member.place, by: member.values.reader)
  }
}

/// An object that is read, and where it stands.
package struct ObjectValues {
  let object: JSONObject
  let place: String
  let reader: RecordReader
  /// Of a record, whose members know more than Codable does.
  let source: RecordSource?

  func member(_ label: String) -> ObjectMember { ObjectMember(of: self, label: label) }
}

/// A member of it, by the name of the property that it is read into.
package struct ObjectMember {
  let values: ObjectValues
  let label: String
  let name: String
  /// Nil for JSON's null too.
  let found: JSONValue?

  fileprivate init(of values: ObjectValues, label: String) {
    self.values = values
    self.label = label
    name = snakeCase(label)
    found = if let json = values.object[name], !json.isNull { json } else { nil }
  }

  var json: JSONValue {
    get throws {
      guard let found else { throw RecordError(.missing, at: place, "is missing") }
      return found
    }
  }

  /// Put together where it is wanted only.
  var place: String { values.place.isEmpty ? name : values.place + "." + name }

  /// Of a type that only its record can read.
  func part<Part: RecordPart>(_ type: Part.Type) throws -> Part? { try values.source?.part(label) as? Part }
}

/// A value without parts: one that JSON holds exactly, or a number to the nearest float.
package protocol PlainValue {
  static var expected: String { get }
  init?(exactlyFrom json: JSONValue)
}

extension PlainValue {
  static func plain(_ json: JSONValue, at place: @autoclosure () -> String) throws -> Self {
    guard let value = Self(exactlyFrom: json) else {
      throw RecordError(.invalid, at: place(), "must be \(expected), and is \(json.asFound)")
    }
    return value
  }
}

extension Bool: PlainValue {
  package static var expected: String { "true or false" }
  package init?(exactlyFrom json: JSONValue) {
    guard case .bool(let value) = json else { return nil }
    self = value
  }
}
extension String: PlainValue {
  package static var expected: String { "a string" }
  package init?(exactlyFrom json: JSONValue) {
    guard case .string(let value) = json else { return nil }
    self = value
  }
}

extension PlainValue where Self: FixedWidthInteger {
  package static var expected: String {
    Self.bitWidth < 64 ? "an integer from \(Self.min) to \(Self.max)" : "an integer"
  }
  package init?(exactlyFrom json: JSONValue) {
    guard case .integer(let value) = json, let exact = Self(exactly: value) else { return nil }
    self = exact
  }
}
extension Int: PlainValue {}
extension Int64: PlainValue {}
extension Int32: PlainValue {}
extension UInt8: PlainValue {}
extension UInt32: PlainValue {}
extension UInt64: PlainValue {
  package static var expected: String { "an integer" }
  package init?(exactlyFrom json: JSONValue) {
    guard case .integer(let value) = json else { return nil }
    self = UInt64(bitPattern: value)
  }
}
extension Double: PlainValue {
  package static var expected: String { "a number" }
  package init?(exactlyFrom json: JSONValue) {
    guard let value = json.doubleValue else { return nil }
    self = value
  }
}
extension Float: PlainValue {
  package static var expected: String { "a number" }
  package init?(exactlyFrom json: JSONValue) {
    guard let value = json.doubleValue else { return nil }
    self = Float(value)
  }
}
