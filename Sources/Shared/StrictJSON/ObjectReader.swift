/// What is wrong with an object that is correct JSON.
package struct ObjectReaderError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable { case missing, wrongKind, outOfRange, unknownKey }

  package let kind: Kind
  /// Where the object stands, such as `params` or `task.json5: search`; empty at the top.
  package let path: String
  package let key: String
  package let problem: String

  package init(kind: Kind, path: String, key: String, problem: String) {
    self.kind = kind
    self.path = path
    self.key = key
    self.problem = problem
  }

  package var description: String { path.isEmpty ? problem : "\(path): \(problem)" }
}

/// Typed reading of an object of someone else's format, such as a tokenizer or the header of a safetensors file. What is
/// ours is a record; see the target `Records`.
///
/// Take every member that is known, then call `finish()`: a member that nobody took is an error that names it and the
/// nearest known one, so that a mistyped option is never silently a default. An optional member may be absent or null.
package struct ObjectReader {
  package let object: JSONObject
  package let path: String
  private var known: [String] = []

  package init(_ object: JSONObject, path: String = "") {
    self.object = object
    self.path = path
  }

  /// Reads a value that must be an object.
  package init(reading value: JSONValue, path: String = "") throws(ObjectReaderError) {
    guard case .object(let object) = value else {
      throw ObjectReaderError(
        kind: .wrongKind, path: path, key: "", problem: "expected an object, found \(value.kindName)")
    }
    self.init(object, path: path)
  }

  package func finish() throws(ObjectReaderError) {
    let taken = Set(known.map { UTF8Key($0) })
    for (key, _) in object.members where !taken.contains(UTF8Key(key)) {
      let hint =
        if let near = nearestName(to: key, among: known) {
          "did you mean \"\(near)\"?"
        } else if known.isEmpty {
          "none is allowed here"
        } else {
          "known are \(known.joined(separator: ", "))"
        }
      throw ObjectReaderError(
        kind: .unknownKey, path: path, key: key, problem: "unknown key \"\(key.excerpt)\"; \(hint)")
    }
  }

  // MARK: Any value

  package mutating func optionalValue(_ key: String) -> JSONValue? {
    known.append(key)
    guard let value = object[key], value != .null else { return nil }
    return value
  }

  package mutating func value(_ key: String) throws(ObjectReaderError) -> JSONValue {
    try required(key, optionalValue(key))
  }

  // MARK: Scalars

  package mutating func optionalString(_ key: String) throws(ObjectReaderError) -> String? {
    try optional(key, "a string", \.stringValue)
  }

  package mutating func string(_ key: String) throws(ObjectReaderError) -> String {
    try required(key, optionalString(key))
  }

  package mutating func optionalInteger(
    _ key: String, in range: ClosedRange<Int64> = Int64.min...Int64.max
  ) throws(ObjectReaderError) -> Int64? {
    guard let value = try optional(key, "an integer", \.integerValue) else { return nil }
    guard range.contains(value) else {
      throw error(.outOfRange, key, "is \(value), allowed is \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  package mutating func optionalInt(_ key: String, in range: ClosedRange<Int> = Int.min...Int.max)
    throws(ObjectReaderError) -> Int?
  {
    try optionalInteger(key, in: Int64(range.lowerBound)...Int64(range.upperBound)).map { Int($0) }
  }

  package mutating func int(_ key: String, in range: ClosedRange<Int> = Int.min...Int.max)
    throws(ObjectReaderError) -> Int
  {
    try required(key, optionalInt(key, in: range))
  }

  package mutating func optionalDouble(
    _ key: String, in range: ClosedRange<Double> = -Double.infinity...Double.infinity
  ) throws(ObjectReaderError) -> Double? {
    guard let value = try optional(key, "a number", \.doubleValue) else { return nil }
    guard range.contains(value) else {
      throw error(.outOfRange, key, "is \(value), allowed is \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  package mutating func optionalBool(_ key: String) throws(ObjectReaderError) -> Bool? {
    try optional(key, "true or false", \.boolValue)
  }

  // MARK: Containers

  package mutating func optionalArray(_ key: String) throws(ObjectReaderError) -> [JSONValue]? {
    try optional(key, "an array", \.arrayValue)
  }

  package mutating func array(_ key: String) throws(ObjectReaderError) -> [JSONValue] {
    try required(key, optionalArray(key))
  }

  package mutating func optionalObject(_ key: String) throws(ObjectReaderError) -> JSONObject? {
    try optional(key, "an object", \.objectValue)
  }

  package mutating func object(_ key: String) throws(ObjectReaderError) -> JSONObject {
    try required(key, optionalObject(key))
  }

  /// A reader for a nested object, with its own `finish()`.
  package mutating func optionalReader(_ key: String) throws(ObjectReaderError) -> ObjectReader? {
    try optionalObject(key).map { ObjectReader($0, path: path.isEmpty ? key.excerpt : "\(path).\(key.excerpt)") }
  }

  package mutating func reader(_ key: String) throws(ObjectReaderError) -> ObjectReader {
    try required(key, optionalReader(key))
  }

  // MARK: Parts

  private mutating func optional<Value>(
    _ key: String, _ expected: String, _ convert: (JSONValue) -> Value?
  ) throws(ObjectReaderError) -> Value? {
    guard let value = optionalValue(key) else { return nil }
    guard let converted = convert(value) else {
      throw error(.wrongKind, key, "must be \(expected), found \(value.kindName)")
    }
    return converted
  }

  private func required<Value>(_ key: String, _ value: Value?) throws(ObjectReaderError) -> Value {
    guard let value else { throw error(.missing, key, "is missing") }
    return value
  }

  private func error(_ kind: ObjectReaderError.Kind, _ key: String, _ problem: String) -> ObjectReaderError {
    ObjectReaderError(kind: kind, path: path, key: key, problem: "\"\(key.excerpt)\" \(problem)")
  }
}
