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

  fileprivate static func encoded<Value: Encodable>(_ value: Value) throws -> JSONValue {
    if Value.self == JSONValue.self { return value as! JSONValue }
    if Value.self == JSONObject.self { return .object(value as! JSONObject) }
    if Value.self == [JSONValue].self { return .array(value as! [JSONValue]) }
    if let list = value as? any QuickWritten { return list.json }
    let encoder = ValueEncoder()
    try value.encode(to: encoder)
    return encoder.slot.json
  }
}

/// Lists of numbers, written without an encoder for each.
private protocol QuickWritten { var json: JSONValue { get } }
extension Array: QuickWritten where Element: QuickNumberWritten {
  var json: JSONValue { .array(map { $0.json }) }
}
private protocol QuickNumberWritten { var json: JSONValue { get } }
extension Int: QuickNumberWritten { fileprivate var json: JSONValue { .integer(Int64(self)) } }
extension Int32: QuickNumberWritten { fileprivate var json: JSONValue { .integer(Int64(self)) } }
extension Int64: QuickNumberWritten { fileprivate var json: JSONValue { .integer(self) } }
/// By its bits, above Int64.max.
extension UInt64: QuickNumberWritten { fileprivate var json: JSONValue { .integer(Int64(bitPattern: self)) } }
extension Double: QuickNumberWritten { fileprivate var json: JSONValue { isFinite ? .number(self) : .null } }
extension Float: QuickNumberWritten { fileprivate var json: JSONValue { isFinite ? .float(self) : .null } }

/// Where a value is put together: containers fill it while their encoder is alive.
private final class Slot {
  enum Content {
    case empty
    case value(JSONValue)
    case object([(key: String, slot: Slot)])
    case list([Slot])
  }
  var content = Content.empty

  /// Nothing was written: an empty object, as a struct without members is.
  var json: JSONValue {
    switch content {
    case .empty: return .object([:])
    case .value(let value): return value
    case .object(let members):
      var object = JSONObject()
      for (key, slot) in members { object[key] = slot.json }
      return .object(object)
    case .list(let items): return .array(items.map(\.json))
    }
  }

  func append(_ key: String, _ slot: Slot) {
    guard case .object(var members) = content else { preconditionFailure("a member of what is no object") }
    content = .empty
    members.append((key, slot))
    content = .object(members)
  }

  func append(_ slot: Slot) {
    guard case .list(var items) = content else { preconditionFailure("an item of what is no list") }
    content = .empty
    items.append(slot)
    content = .list(items)
  }
}

private struct ValueEncoder: Encoder, SingleValueEncodingContainer {
  let slot = Slot()
  init() {}

  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    if case .empty = slot.content { slot.content = .object([]) }
    return KeyedEncodingContainer(KeyedWriter<Key>(slot: slot))
  }
  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    if case .empty = slot.content { slot.content = .list([]) }
    return ListWriter(slot: slot)
  }
  func singleValueContainer() -> any SingleValueEncodingContainer { self }

  private func put(_ json: JSONValue) { slot.content = .value(json) }
  func encodeNil() { put(.null) }
  func encode(_ value: Bool) { put(.bool(value)) }
  func encode(_ value: String) { put(.string(value)) }
  func encode(_ value: Double) { put(value.json) }
  func encode(_ value: Float) { put(value.json) }
  func encode(_ value: Int) { put(value.json) }
  func encode(_ value: Int8) { put(.integer(Int64(value))) }
  func encode(_ value: Int16) { put(.integer(Int64(value))) }
  func encode(_ value: Int32) { put(value.json) }
  func encode(_ value: Int64) { put(value.json) }
  func encode(_ value: UInt) { put(.integer(Int64(bitPattern: UInt64(value)))) }
  func encode(_ value: UInt8) { put(.integer(Int64(value))) }
  func encode(_ value: UInt16) { put(.integer(Int64(value))) }
  func encode(_ value: UInt32) { put(.integer(Int64(value))) }
  func encode(_ value: UInt64) { put(.integer(Int64(bitPattern: value))) }
  func encode(_ value: some Encodable) throws { put(try RecordWriter.encoded(value)) }
}

private struct KeyedWriter<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let slot: Slot
  var codingPath: [any CodingKey] { [] }

  private func put(_ json: JSONValue, _ key: Key) { put(json, named: snakeCase(key.stringValue)) }
  private func put(_ json: JSONValue, named name: String) {
    let member = Slot()
    member.content = .value(json)
    slot.append(name, member)
  }

  func encodeNil(forKey key: Key) { put(.null, key) }
  func encode(_ value: Bool, forKey key: Key) { put(.bool(value), key) }
  func encode(_ value: String, forKey key: Key) { put(.string(value), key) }
  func encode(_ value: Double, forKey key: Key) { put(value.json, key) }
  func encode(_ value: Float, forKey key: Key) { put(value.json, key) }
  func encode(_ value: Int, forKey key: Key) { put(value.json, key) }
  func encode(_ value: Int8, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: Int16, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: Int32, forKey key: Key) { put(value.json, key) }
  func encode(_ value: Int64, forKey key: Key) { put(value.json, key) }
  func encode(_ value: UInt, forKey key: Key) { put(.integer(Int64(bitPattern: UInt64(value))), key) }
  func encode(_ value: UInt8, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: UInt16, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: UInt32, forKey key: Key) { put(.integer(Int64(value)), key) }
  func encode(_ value: UInt64, forKey key: Key) { put(.integer(Int64(bitPattern: value)), key) }

  func encode(_ value: some Encodable, forKey key: Key) throws {
    if let part = value as? any RecordPart {
      for (name, json) in part.written(declaredAs: snakeCase(key.stringValue)) { put(json, named: name) }
      return
    }
    put(try RecordWriter.encoded(value), key)
  }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) -> KeyedEncodingContainer<Nested> {
    let encoder = ValueEncoder()
    slot.append(snakeCase(key.stringValue), encoder.slot)
    return encoder.container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    let encoder = ValueEncoder()
    slot.append(snakeCase(key.stringValue), encoder.slot)
    return encoder.unkeyedContainer()
  }
  func superEncoder() -> any Encoder { preconditionFailure("records have no superclass") }
  func superEncoder(forKey key: Key) -> any Encoder {
    let encoder = ValueEncoder()
    slot.append(snakeCase(key.stringValue), encoder.slot)
    return encoder
  }
}

private struct ListWriter: UnkeyedEncodingContainer {
  let slot: Slot
  var codingPath: [any CodingKey] { [] }
  var count: Int {
    if case .list(let items) = slot.content { items.count } else { 0 }
  }

  private func put(_ json: JSONValue) {
    let item = Slot()
    item.content = .value(json)
    slot.append(item)
  }

  func encodeNil() { put(.null) }
  func encode(_ value: Bool) { put(.bool(value)) }
  func encode(_ value: String) { put(.string(value)) }
  func encode(_ value: Double) { put(value.json) }
  func encode(_ value: Float) { put(value.json) }
  func encode(_ value: Int) { put(value.json) }
  func encode(_ value: Int8) { put(.integer(Int64(value))) }
  func encode(_ value: Int16) { put(.integer(Int64(value))) }
  func encode(_ value: Int32) { put(value.json) }
  func encode(_ value: Int64) { put(value.json) }
  func encode(_ value: UInt) { put(.integer(Int64(bitPattern: UInt64(value)))) }
  func encode(_ value: UInt8) { put(.integer(Int64(value))) }
  func encode(_ value: UInt16) { put(.integer(Int64(value))) }
  func encode(_ value: UInt32) { put(.integer(Int64(value))) }
  func encode(_ value: UInt64) { put(.integer(Int64(bitPattern: value))) }
  func encode(_ value: some Encodable) throws { put(try RecordWriter.encoded(value)) }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
    let encoder = ValueEncoder()
    slot.append(encoder.slot)
    return encoder.container(keyedBy: type)
  }
  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
    let encoder = ValueEncoder()
    slot.append(encoder.slot)
    return encoder.unkeyedContainer()
  }
  func superEncoder() -> any Encoder { preconditionFailure("records have no superclass") }
}
