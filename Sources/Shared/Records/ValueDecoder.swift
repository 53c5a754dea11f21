import StrictJSON

/// The reading half of Codable over JSONValue, for RecordReader.
struct ValueDecoder: Decoder {
  let json: JSONValue
  let place: String
  let reader: RecordReader
  /// Of a record, whose members know more than Codable does.
  let source: RecordSource?

  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard case .object(let object) = json else {
      throw RecordError(.invalid, at: place, "must be an object, and is \(json.asFound)")
    }
    return KeyedDecodingContainer(
      KeyedValues<Key>(object: object, place: place, reader: reader, source: source))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard case .array(let items) = json else {
      throw RecordError(.invalid, at: place, "must be a list, and is \(json.asFound)")
    }
    return ListedValues(items: items, place: place, reader: reader)
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }
}

extension ValueDecoder: SingleValueDecodingContainer {
  func decodeNil() -> Bool { json.isNull }

  func decode(_ type: Bool.Type) throws -> Bool {
    guard case .bool(let value) = json else { throw wrong("true or false") }
    return value
  }
  func decode(_ type: String.Type) throws -> String {
    guard case .string(let value) = json else { throw wrong("a string") }
    return value
  }
  func decode(_ type: Double.Type) throws -> Double { try number() }
  func decode(_ type: Float.Type) throws -> Float { try number() }
  func decode(_ type: Int.Type) throws -> Int { try number() }
  func decode(_ type: Int64.Type) throws -> Int64 { try number() }
  func decode(_ type: Int32.Type) throws -> Int32 { try number() }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try number() }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try number() }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try number() }
  func decode(_ type: Int8.Type) throws -> Int8 { throw wrong("of a type that records have") }
  func decode(_ type: Int16.Type) throws -> Int16 { throw wrong("of a type that records have") }
  func decode(_ type: UInt.Type) throws -> UInt { throw wrong("of a type that records have") }
  func decode(_ type: UInt16.Type) throws -> UInt16 { throw wrong("of a type that records have") }
  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try reader.value(type, json, at: place) }

  private func number<Number: QuickNumber>() throws -> Number {
    guard let number = Number(exactlyFrom: json) else { throw wrong(Number.expected) }
    return number
  }

  private func wrong(_ expected: String) -> RecordError {
    RecordError(.invalid, at: place, "must be \(expected), and is \(json.asFound)")
  }
}

private struct KeyedValues<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let object: JSONObject
  let place: String
  let reader: RecordReader
  let source: RecordSource?

  var codingPath: [any CodingKey] { [] }
  var allKeys: [Key] { object.keys.compactMap { Key(stringValue: $0) } }

  private func inner(_ name: String) -> String { place.isEmpty ? name : place + "." + name }

  private func decoder(_ key: Key) throws -> ValueDecoder {
    let name = snakeCase(key.stringValue)
    guard let value = object[name], !value.isNull else {
      throw RecordError(.missing, at: inner(name), "is missing")
    }
    return ValueDecoder(json: value, place: inner(name), reader: reader, source: nil)
  }

  func contains(_ key: Key) -> Bool { object[snakeCase(key.stringValue)] != nil }
  func decodeNil(forKey key: Key) throws -> Bool { object[snakeCase(key.stringValue)]?.isNull ?? true }

  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try decoder(key).decode(type) }
  func decode(_ type: String.Type, forKey key: Key) throws -> String { try decoder(key).decode(type) }
  func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try decoder(key).decode(type) }
  func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try decoder(key).decode(type) }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try decoder(key).decode(type) }
  func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try decoder(key).decode(type) }
  func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try decoder(key).decode(type) }
  func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try decoder(key).decode(type) }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try decoder(key).decode(type) }
  func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try decoder(key).decode(type) }
  func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try decoder(key).decode(type) }
  func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try decoder(key).decode(type) }
  func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try decoder(key).decode(type) }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try decoder(key).decode(type) }

  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
    if let source, type is any RecordPart.Type { return try source.part(key.stringValue) as! Value }
    if let flattened = type as? any FlattenedReadable.Type {
      let decoder = ValueDecoder(json: .object(object), place: place, reader: reader, source: nil)
      return try flattened.init(from: decoder) as! Value
    }
    // A wrapper that may be absent answers for itself, as Optional does.
    if let wrapper = type as? any AbsentReadable.Type, object[snakeCase(key.stringValue)]?.isNull ?? true {
      return wrapper.whenAbsent as! Value
    }
    return try decoder(key).decode(type)
  }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> { try decoder(key).container(keyedBy: type) }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try decoder(key).unkeyedContainer()
  }
  func superDecoder() throws -> any Decoder {
    ValueDecoder(json: .object(object), place: place, reader: reader, source: nil)
  }
  func superDecoder(forKey key: Key) throws -> any Decoder { try decoder(key) }
}

private struct ListedValues: UnkeyedDecodingContainer {
  let items: [JSONValue]
  let place: String
  let reader: RecordReader
  private(set) var currentIndex = 0

  init(items: [JSONValue], place: String, reader: RecordReader) {
    self.items = items
    self.place = place
    self.reader = reader
  }

  var codingPath: [any CodingKey] { [] }
  var count: Int? { items.count }
  var isAtEnd: Bool { currentIndex >= items.count }

  private mutating func next() throws -> ValueDecoder {
    guard currentIndex < items.count else {
      throw RecordError(.missing, at: "\(place)[\(currentIndex)]", "is missing")
    }
    defer { currentIndex += 1 }
    return ValueDecoder(json: items[currentIndex], place: "\(place)[\(currentIndex)]", reader: reader, source: nil)
  }

  mutating func decodeNil() throws -> Bool {
    guard currentIndex < items.count, items[currentIndex].isNull else { return false }
    currentIndex += 1
    return true
  }
  mutating func decode(_ type: Bool.Type) throws -> Bool { try next().decode(type) }
  mutating func decode(_ type: String.Type) throws -> String { try next().decode(type) }
  mutating func decode(_ type: Double.Type) throws -> Double { try next().decode(type) }
  mutating func decode(_ type: Float.Type) throws -> Float { try next().decode(type) }
  mutating func decode(_ type: Int.Type) throws -> Int { try next().decode(type) }
  mutating func decode(_ type: Int8.Type) throws -> Int8 { try next().decode(type) }
  mutating func decode(_ type: Int16.Type) throws -> Int16 { try next().decode(type) }
  mutating func decode(_ type: Int32.Type) throws -> Int32 { try next().decode(type) }
  mutating func decode(_ type: Int64.Type) throws -> Int64 { try next().decode(type) }
  mutating func decode(_ type: UInt.Type) throws -> UInt { try next().decode(type) }
  mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try next().decode(type) }
  mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try next().decode(type) }
  mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try next().decode(type) }
  mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try next().decode(type) }
  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try next().decode(type) }

  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> { try next().container(keyedBy: type) }
  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
  mutating func superDecoder() throws -> any Decoder { try next() }
}

/// What has a value where it is absent.
package protocol AbsentReadable {
  static var whenAbsent: Self { get }
}
