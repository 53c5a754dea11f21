package import StrictJSON

/// Writes records, and whatever else the compiler's own Codable can describe, as JSON. Members come in the order of
/// their declaration, in snake_case; what is absent is left out.
package enum RecordWriter {
  /// What is written this way always can be: an error is a mistake in the type, and traps.
  package static func json(_ value: some Encodable) -> JSONValue {
    do {
      return try encoded(value)
    } catch {
      preconditionFailure("\(type(of: value)) cannot be written as JSON: \(error)")
    }
  }

  package static func object(_ value: some Encodable) -> JSONObject {
    guard case .object(let object) = json(value) else {
      preconditionFailure("\(type(of: value)) is not written as an object")
    }
    return object
  }

  static func encoded<Value: Encodable>(_ value: Value) throws -> JSONValue {
    // What the type is costs a look; the cast of the value itself costs a copy.
    if Value.self is any OwnWriting.Type, let own = value as? any OwnWriting { return try own.written }
    return try encodedByParts(value)
  }

  fileprivate static func encodedByParts(_ value: some Encodable) throws -> JSONValue {
    let content = RecordContent()
    try value.encode(to: ValueEncoder(content: content))
    return content.json
  }
}

/// A type that has a way of its own to be written, beside the compiler's `encode(to:)`: the counterpart of ``OwnReading``.
package protocol OwnWriting: Encodable {
  var written: JSONValue { get throws }
  /// As the member that a property is.
  func write(as label: String, to content: RecordContent) throws
}

extension OwnWriting {
  package var written: JSONValue { get throws { try RecordWriter.encodedByParts(self) } }
  package func write(as label: String, to content: RecordContent) throws {
    content.set(snakeCase(label), try written)
  }
}

extension JSONValue: OwnWriting { package var written: JSONValue { self } }
extension JSONObject: OwnWriting { package var written: JSONValue { .object(self) } }
extension Bool: OwnWriting { package var written: JSONValue { .bool(self) } }
extension String: OwnWriting { package var written: JSONValue { .string(self) } }
extension Int: OwnWriting { package var written: JSONValue { .integer(Int64(self)) } }
extension Int32: OwnWriting { package var written: JSONValue { .integer(Int64(self)) } }
extension Int64: OwnWriting { package var written: JSONValue { .integer(self) } }
/// By its bits, above Int64.max.
extension UInt64: OwnWriting { package var written: JSONValue { .integer(Int64(bitPattern: self)) } }
extension Double: OwnWriting { package var written: JSONValue { isFinite ? .number(self) : .null } }
extension Float: OwnWriting { package var written: JSONValue { isFinite ? .float(self) : .null } }
extension Array: OwnWriting where Element: OwnWriting {
  package var written: JSONValue { get throws { .array(try map { try $0.written }) } }
}

/// What an encoder has written so far; containers fill it while their encoder is alive.
package final class RecordContent {
  private var value: JSONValue?
  private var members = JSONObject()
  private(set) var items: [JSONValue]?

  /// Nothing was written: an empty object, as a struct without members is.
  var json: JSONValue { value ?? items.map { .array($0) } ?? .object(members) }

  func set(_ json: JSONValue) { value = json }
  func set(_ name: String, _ json: JSONValue) { members[name] = json }
  func beginList() { items = [] }
  func append(_ json: JSONValue) { items?.append(json) }
}

/// Nobody nests containers by hand: what has parts is a member of its own type.
private func unsupported() -> Never { preconditionFailure("records are written member by member") }

struct ValueEncoder: Encoder, SingleValueEncodingContainer {
  let content: RecordContent

  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(KeyedWriter<Key>(content: content))
  }
  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    content.beginList()
    return ListWriter(content: content)
  }
  func singleValueContainer() -> any SingleValueEncodingContainer { self }

  func encodeNil() { content.set(.null) }
  func encode(_ value: Bool) { content.set(.bool(value)) }
  func encode(_ value: String) { content.set(.string(value)) }
  func encode(_ value: Double) { content.set(value.written) }
  func encode(_ value: Float) { content.set(value.written) }
  func encode(_ value: Int) { content.set(value.written) }
  func encode(_ value: Int8) { content.set(.integer(Int64(value))) }
  func encode(_ value: Int16) { content.set(.integer(Int64(value))) }
  func encode(_ value: Int32) { content.set(value.written) }
  func encode(_ value: Int64) { content.set(value.written) }
  func encode(_ value: UInt) { content.set(.integer(Int64(bitPattern: UInt64(value)))) }
  func encode(_ value: UInt8) { content.set(.integer(Int64(value))) }
  func encode(_ value: UInt16) { content.set(.integer(Int64(value))) }
  func encode(_ value: UInt32) { content.set(.integer(Int64(value))) }
  func encode(_ value: UInt64) { content.set(value.written) }
  func encode(_ value: some Encodable) throws { content.set(try RecordWriter.encoded(value)) }
}

private struct KeyedWriter<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let content: RecordContent
  var codingPath: [any CodingKey] { [] }

  private func put(_ json: JSONValue, _ key: Key) { content.set(snakeCase(key.stringValue), json) }

  func encodeNil(forKey key: Key) { put(.null, key) }
  func encode(_ value: Bool, forKey key: Key) { put(.bool(value), key) }
  func encode(_ value: String, forKey key: Key) { put(.string(value), key) }
  func encode(_ value: Double, forKey key: Key) { put(value.written, key) }
  func encode(_ value: Float, forKey key: Key) { put(value.written, key) }
  func encode(_ value: Int, forKey key: Key) { put(value.written, key) }
  func encode(_ value: Int8, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: Int16, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: Int32, forKey key: Key) { put(value.written, key) }
  func encode(_ value: Int64, forKey key: Key) { put(value.written, key) }
  func encode(_ value: UInt, forKey key: Key) { put(.integer(Int64(bitPattern: UInt64(value))), key) }
  func encode(_ value: UInt8, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: UInt16, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: UInt32, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: UInt64, forKey key: Key) { put(value.written, key) }

  func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
    if Value.self is any OwnWriting.Type, let own = value as? any OwnWriting {
      try own.write(as: key.stringValue, to: content)
    } else {
      put(try RecordWriter.encodedByParts(value), key)
    }
  }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) -> KeyedEncodingContainer<Nested> { unsupported() }
  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { unsupported() }
  func superEncoder() -> any Encoder { unsupported() }
  func superEncoder(forKey key: Key) -> any Encoder { unsupported() }
}

private struct ListWriter: UnkeyedEncodingContainer {
  let content: RecordContent
  var codingPath: [any CodingKey] { [] }
  var count: Int { content.items?.count ?? 0 }

  func encodeNil() { content.append(.null) }
  func encode(_ value: Bool) { content.append(.bool(value)) }
  func encode(_ value: String) { content.append(.string(value)) }
  func encode(_ value: Double) { content.append(value.written) }
  func encode(_ value: Float) { content.append(value.written) }
  func encode(_ value: Int) { content.append(value.written) }
  func encode(_ value: Int8) { content.append(.integer(Int64(value))) }
  func encode(_ value: Int16) { content.append(.integer(Int64(value))) }
  func encode(_ value: Int32) { content.append(value.written) }
  func encode(_ value: Int64) { content.append(value.written) }
  func encode(_ value: UInt) { content.append(.integer(Int64(bitPattern: UInt64(value)))) }
  func encode(_ value: UInt8) { content.append(.integer(Int64(value))) }
  func encode(_ value: UInt16) { content.append(.integer(Int64(value))) }
  func encode(_ value: UInt32) { content.append(.integer(Int64(value))) }
  func encode(_ value: UInt64) { content.append(value.written) }
  func encode(_ value: some Encodable) throws { content.append(try RecordWriter.encoded(value)) }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> { unsupported() }
  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { unsupported() }
  func superEncoder() -> any Encoder { unsupported() }
}
