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
      KeyedValues<Key>(values: ObjectValues(object: object, place: place, reader: reader, source: source)))
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

  func decode(_ type: Bool.Type) throws -> Bool { try .plain(json, at: place) }
  func decode(_ type: String.Type) throws -> String { try .plain(json, at: place) }
  func decode(_ type: Double.Type) throws -> Double { try .plain(json, at: place) }
  func decode(_ type: Float.Type) throws -> Float { try .plain(json, at: place) }
  func decode(_ type: Int.Type) throws -> Int { try .plain(json, at: place) }
  func decode(_ type: Int64.Type) throws -> Int64 { try .plain(json, at: place) }
  func decode(_ type: Int32.Type) throws -> Int32 { try .plain(json, at: place) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try .plain(json, at: place) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try .plain(json, at: place) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try .plain(json, at: place) }
  func decode(_ type: Int8.Type) throws -> Int8 { throw unsupported() }
  func decode(_ type: Int16.Type) throws -> Int16 { throw unsupported() }
  func decode(_ type: UInt.Type) throws -> UInt { throw unsupported() }
  func decode(_ type: UInt16.Type) throws -> UInt16 { throw unsupported() }
  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try reader.value(type, json, at: place) }

  private func unsupported() -> RecordError {
    RecordError(.invalid, at: place, "must be of a type that records have, and is \(json.asFound)")
  }
}

private struct KeyedValues<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let values: ObjectValues

  var codingPath: [any CodingKey] { [] }
  var allKeys: [Key] { values.object.keys.compactMap { Key(stringValue: $0) } }

  private func member(_ key: Key) -> ObjectMember { values.member(key.stringValue) }

  private func plain<Value: PlainValue>(_ key: Key) throws -> Value {
    let member = member(key)
    return try .plain(try member.json, at: member.place)
  }
  private func plainIfPresent<Value: PlainValue>(_ key: Key) throws -> Value? {
    let member = member(key)
    return try member.found.map { try .plain($0, at: member.place) }
  }
  private func value<Value: Decodable>(_ type: Value.Type, _ member: ObjectMember) throws -> Value {
    if let own = type as? any OwnReading.Type { return try own.read(member) as! Value }
    return try Value(from: try decoder(member))
  }
  private func decoder(_ member: ObjectMember) throws -> ValueDecoder {
    ValueDecoder(json: try member.json, place: member.place, reader: values.reader, source: nil)
  }

  func contains(_ key: Key) -> Bool { values.object[snakeCase(key.stringValue)] != nil }
  func decodeNil(forKey key: Key) throws -> Bool { member(key).found == nil }

  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try plain(key) }
  func decode(_ type: String.Type, forKey key: Key) throws -> String { try plain(key) }
  func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try plain(key) }
  func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try plain(key) }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try plain(key) }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try plain(key) }
  func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try plain(key) }
  func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try plain(key) }
  func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try plain(key) }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try plain(key) }
  func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try decoder(member(key)).decode(type) }
  func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try decoder(member(key)).decode(type) }
  func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try decoder(member(key)).decode(type) }
  func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try decoder(member(key)).decode(type) }
  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value { try value(type, member(key)) }

  // Those that messages have, which are looked up once; the others are by default, thrice.
  func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? { try plainIfPresent(key) }
  func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? { try plainIfPresent(key) }
  func decodeIfPresent(_ type: Double.Type, forKey key: Key) throws -> Double? { try plainIfPresent(key) }
  func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? { try plainIfPresent(key) }
  func decodeIfPresent<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value? {
    let member = member(key)
    return member.found == nil ? nil : try value(type, member)
  }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> { try decoder(member(key)).container(keyedBy: type) }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try decoder(member(key)).unkeyedContainer()
  }
  func superDecoder() throws -> any Decoder {
    ValueDecoder(json: .object(values.object), place: values.place, reader: values.reader, source: nil)
  }
  func superDecoder(forKey key: Key) throws -> any Decoder { try decoder(member(key)) }
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
