import StrictJSON

/// The names of what a type reads and writes, found by letting it read from nothing: for the description of a method's
/// result, which so says what the type says.
///
///     task, experts [{name, version}], scores {metric, base {fit, eval {value, n}}, uniform (as base)}
package struct MemberNames {
  private let shape = Shape()

  package init<Value: Decodable>(of type: Value.Type) {
    do { _ = try shape.value(type) } catch {
      preconditionFailure("\(type) cannot be described: its reader refuses an example, \(error)")
    }
  }

  /// Those of the type itself, without what is within them.
  var names: [String] {
    guard case .object(let members) = shape.content else { return [] }
    return members.map(\.name)
  }

  package var text: String {
    guard case .object(let members) = shape.content else { return "" }
    var writer = ShapeWriter()
    return writer.list(members)
  }
}

/// What was asked for at one place.
final class Shape {
  enum Content {
    case plain
    case object([(name: String, shape: Shape)])
    case list(Shape)
    case byName(Shape)
  }
  var content = Content.plain
  /// Of the struct that is read there.
  var type: ObjectIdentifier?

  /// Reads a value, and notes what is asked for meanwhile.
  func value<Value: Decodable>(_ type: Value.Type) throws -> Value {
    // As for RecordReader, what is cast back was made of `type` itself.
    if type == JSONValue.self { return JSONValue.null as! Value }
    if type == JSONObject.self { return JSONObject() as! Value }
    if let choice = type as? any Choice.Type { return choice.anExample as! Value }
    if let record = type as? any Record.Type {
      content = .object(record.members.map { ($0.name, Shape()) })
      return record.init() as! Value
    }
    self.type = ObjectIdentifier(type)
    return try Value(from: ShapeDecoder(shape: self))
  }

  func member(_ name: String) -> Shape {
    if case .plain = content { content = .object([]) }
    guard case .object(var members) = content else { preconditionFailure("'\(name)' of what is no object") }
    if let known = members.first(where: { $0.name == name }) { return known.shape }
    let shape = Shape()
    members.append((name, shape))
    content = .object(members)
    return shape
  }

  func element() -> Shape {
    let shape = Shape()
    content = .list(shape)
    return shape
  }
}

extension Choice {
  fileprivate static var anExample: Self {
    guard let first = allCases.first else { preconditionFailure("\(Self.self) has no words") }
    return first
  }
}

/// Writes a type in full where it comes first, and after that refers to there.
private struct ShapeWriter {
  private var known: [ObjectIdentifier: String] = [:]

  mutating func list(_ members: [(name: String, shape: Shape)]) -> String {
    members.map { name, shape in name + detail(shape, of: name) }.joined(separator: ", ")
  }

  private mutating func detail(_ shape: Shape, of name: String) -> String {
    switch shape.content {
    case .plain: return ""
    case .object(let members):
      if let type = shape.type {
        if let first = known[type] { return first == name ? "" : " (as \(first))" }
        known[type] = name
      }
      return members.isEmpty ? "" : " {\(list(members))}"
    case .list(let element), .byName(let element):
      let isList = if case .list = shape.content { true } else { false }
      var inner = String(detail(element, of: name).dropFirst())
      if inner.hasPrefix("("), inner.hasSuffix(")") { inner = String(inner.dropFirst().dropLast()) }
      guard !inner.isEmpty else { return isList ? "" : " {NAME}" }
      return isList ? " [\(inner)]" : " {NAME \(inner)}"
    }
  }
}

struct ShapeDecoder: Decoder, SingleValueDecodingContainer {
  let shape: Shape

  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(ShapeMembers<Key>(shape: shape))
  }
  func unkeyedContainer() -> any UnkeyedDecodingContainer { ShapeElements(shape: shape.element()) }
  func singleValueContainer() -> any SingleValueDecodingContainer { self }

  func decodeNil() -> Bool { false }
  func decode(_ type: Bool.Type) -> Bool { false }
  func decode(_ type: String.Type) -> String { "" }
  func decode(_ type: Double.Type) -> Double { 1 }
  func decode(_ type: Float.Type) -> Float { 1 }
  func decode(_ type: Int.Type) -> Int { 1 }
  func decode(_ type: Int8.Type) -> Int8 { 1 }
  func decode(_ type: Int16.Type) -> Int16 { 1 }
  func decode(_ type: Int32.Type) -> Int32 { 1 }
  func decode(_ type: Int64.Type) -> Int64 { 1 }
  func decode(_ type: UInt.Type) -> UInt { 1 }
  func decode(_ type: UInt8.Type) -> UInt8 { 1 }
  func decode(_ type: UInt16.Type) -> UInt16 { 1 }
  func decode(_ type: UInt32.Type) -> UInt32 { 1 }
  func decode(_ type: UInt64.Type) -> UInt64 { 1 }
  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try shape.value(type) }
}

/// Everything is there.
private struct ShapeMembers<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let shape: Shape

  var codingPath: [any CodingKey] { [] }
  var allKeys: [Key] { [] }

  private func decoder(_ key: Key) -> ShapeDecoder { ShapeDecoder(shape: shape.member(snakeCase(key.stringValue))) }

  func contains(_ key: Key) -> Bool { true }
  func decodeNil(forKey key: Key) -> Bool { false }
  func decode(_ type: Bool.Type, forKey key: Key) -> Bool { decoder(key).decode(type) }
  func decode(_ type: String.Type, forKey key: Key) -> String { decoder(key).decode(type) }
  func decode(_ type: Double.Type, forKey key: Key) -> Double { decoder(key).decode(type) }
  func decode(_ type: Float.Type, forKey key: Key) -> Float { decoder(key).decode(type) }
  func decode(_ type: Int.Type, forKey key: Key) -> Int { decoder(key).decode(type) }
  func decode(_ type: Int8.Type, forKey key: Key) -> Int8 { decoder(key).decode(type) }
  func decode(_ type: Int16.Type, forKey key: Key) -> Int16 { decoder(key).decode(type) }
  func decode(_ type: Int32.Type, forKey key: Key) -> Int32 { decoder(key).decode(type) }
  func decode(_ type: Int64.Type, forKey key: Key) -> Int64 { decoder(key).decode(type) }
  func decode(_ type: UInt.Type, forKey key: Key) -> UInt { decoder(key).decode(type) }
  func decode(_ type: UInt8.Type, forKey key: Key) -> UInt8 { decoder(key).decode(type) }
  func decode(_ type: UInt16.Type, forKey key: Key) -> UInt16 { decoder(key).decode(type) }
  func decode(_ type: UInt32.Type, forKey key: Key) -> UInt32 { decoder(key).decode(type) }
  func decode(_ type: UInt64.Type, forKey key: Key) -> UInt64 { decoder(key).decode(type) }
  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
    if let flattened = type as? any FlattenedReadable.Type {
      // Made of `type` itself, as above: the cast cannot fail.
      return try flattened.init(from: ShapeDecoder(shape: shape)) as! Value
    }
    return try decoder(key).decode(type)
  }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedDecodingContainer<Nested>
  { decoder(key).container(keyedBy: type) }
  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedDecodingContainer { decoder(key).unkeyedContainer() }
  func superDecoder() -> any Decoder { ShapeDecoder(shape: shape) }
  func superDecoder(forKey key: Key) -> any Decoder { decoder(key) }
}

/// A list of one.
private struct ShapeElements: UnkeyedDecodingContainer {
  let shape: Shape
  private(set) var currentIndex = 0

  init(shape: Shape) { self.shape = shape }

  var codingPath: [any CodingKey] { [] }
  var count: Int? { 1 }
  var isAtEnd: Bool { currentIndex > 0 }

  private mutating func next() -> ShapeDecoder {
    currentIndex += 1
    return ShapeDecoder(shape: shape)
  }

  mutating func decodeNil() -> Bool { false }
  mutating func decode(_ type: Bool.Type) -> Bool { next().decode(type) }
  mutating func decode(_ type: String.Type) -> String { next().decode(type) }
  mutating func decode(_ type: Double.Type) -> Double { next().decode(type) }
  mutating func decode(_ type: Float.Type) -> Float { next().decode(type) }
  mutating func decode(_ type: Int.Type) -> Int { next().decode(type) }
  mutating func decode(_ type: Int8.Type) -> Int8 { next().decode(type) }
  mutating func decode(_ type: Int16.Type) -> Int16 { next().decode(type) }
  mutating func decode(_ type: Int32.Type) -> Int32 { next().decode(type) }
  mutating func decode(_ type: Int64.Type) -> Int64 { next().decode(type) }
  mutating func decode(_ type: UInt.Type) -> UInt { next().decode(type) }
  mutating func decode(_ type: UInt8.Type) -> UInt8 { next().decode(type) }
  mutating func decode(_ type: UInt16.Type) -> UInt16 { next().decode(type) }
  mutating func decode(_ type: UInt32.Type) -> UInt32 { next().decode(type) }
  mutating func decode(_ type: UInt64.Type) -> UInt64 { next().decode(type) }
  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try next().decode(type) }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedDecodingContainer<Nested> {
    next().container(keyedBy: type)
  }
  mutating func nestedUnkeyedContainer() -> any UnkeyedDecodingContainer { next().unkeyedContainer() }
  mutating func superDecoder() -> any Decoder { next() }
}
