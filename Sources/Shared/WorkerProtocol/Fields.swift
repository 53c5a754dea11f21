import Records
import StrictJSON

/// Reads the members of one object of a message and names the place of what is wrong.
struct Fields {
  let object: JSONObject
  let path: String

  init(_ value: JSONValue, _ path: String) throws(WorkerProtocolError) {
    guard case .object(let object) = value else { throw .notAnObject(path: path) }
    self.object = object
    self.path = path
  }

  private func place(_ key: String) -> String { path.isEmpty ? key : path + "." + key }

  /// The member, with JSON's null taken for absence.
  func optional(_ key: String) -> JSONValue? {
    guard let value = object[key], value != .null else { return nil }
    return value
  }

  func value(_ key: String) throws(WorkerProtocolError) -> JSONValue {
    guard let value = optional(key) else { throw .missing(path: place(key)) }
    return value
  }

  func fields(_ key: String) throws(WorkerProtocolError) -> Fields { try Fields(value(key), place(key)) }

  func string(_ key: String) throws(WorkerProtocolError) -> String { try Self.string(value(key), place(key)) }
  func optionalString(_ key: String) throws(WorkerProtocolError) -> String? {
    guard let value = optional(key) else { return nil }
    return try Self.string(value, place(key))
  }

  func integer(_ key: String) throws(WorkerProtocolError) -> Int { try Self.integer(value(key), place(key)) }
  func optionalInteger(_ key: String) throws(WorkerProtocolError) -> Int? {
    guard let value = optional(key) else { return nil }
    return try Self.integer(value, place(key))
  }

  func double(_ key: String) throws(WorkerProtocolError) -> Double { try Self.double(value(key), place(key)) }
  func optionalDouble(_ key: String) throws(WorkerProtocolError) -> Double? {
    guard let value = optional(key) else { return nil }
    return try Self.double(value, place(key))
  }

  func bool(_ key: String) throws(WorkerProtocolError) -> Bool { try Self.bool(value(key), place(key)) }
  func optionalBool(_ key: String) throws(WorkerProtocolError) -> Bool? {
    guard let value = optional(key) else { return nil }
    return try Self.bool(value, place(key))
  }

  func array(_ key: String) throws(WorkerProtocolError) -> [JSONValue] {
    guard case .array(let values) = try value(key) else { throw .wrongType(path: place(key), expected: "a list") }
    return values
  }

  func strings(_ key: String) throws(WorkerProtocolError) -> [String] {
    try each(key) { (value, path) throws(WorkerProtocolError) in try Self.string(value, path) }
  }
  func doubles(_ key: String) throws(WorkerProtocolError) -> [Double] {
    try each(key) { (value, path) throws(WorkerProtocolError) in try Self.double(value, path) }
  }
  func floats(_ key: String) throws(WorkerProtocolError) -> [Float] { try doubles(key).map { Float($0) } }
  func tokens(_ key: String) throws(WorkerProtocolError) -> [Int32] {
    try each(key) { (value, path) throws(WorkerProtocolError) in
      guard let token = Int32(exactly: try Self.integer(value, path)) else {
        throw .wrongType(path: path, expected: "a token id")
      }
      return token
    }
  }

  func each<Element>(
    _ key: String, _ read: (JSONValue, String) throws(WorkerProtocolError) -> Element
  ) throws(WorkerProtocolError) -> [Element] {
    var elements: [Element] = []
    for (index, value) in try array(key).enumerated() {
      elements.append(try read(value, place(key) + "[\(index)]"))
    }
    return elements
  }

  /// A record; what an older version did not write has its default.
  func record<R: Record>(_ key: String, _ type: R.Type = R.self) throws(WorkerProtocolError) -> R {
    do throws(RecordError) {
      return try RecordReader(unknownMembers: .ignored).read(optional(key) ?? [:], as: type, at: place(key))
    } catch {
      throw .wrongType(path: error.place, expected: "as declared: it " + error.problem)
    }
  }

  /// One of the cases of an enum whose raw values are its wire names.
  func name<Name: RawRepresentable & CaseIterable>(
    _ key: String, _ type: Name.Type = Name.self
  ) throws(WorkerProtocolError) -> Name where Name.RawValue == String {
    let text = try string(key)
    guard let name = Name(rawValue: text) else {
      throw .unknownValue(path: place(key), found: text, known: Name.allCases.map(\.rawValue))
    }
    return name
  }

  // MARK: - single values

  static func string(_ value: JSONValue, _ path: String) throws(WorkerProtocolError) -> String {
    guard case .string(let text) = value else { throw .wrongType(path: path, expected: "a string") }
    return text
  }
  static func integer(_ value: JSONValue, _ path: String) throws(WorkerProtocolError) -> Int {
    guard case .integer(let number) = value, let small = Int(exactly: number) else {
      throw .wrongType(path: path, expected: "an integer")
    }
    return small
  }
  static func double(_ value: JSONValue, _ path: String) throws(WorkerProtocolError) -> Double {
    switch value {
    case .integer(let number): return Double(number)
    case .number(let number): return number
    case .null, .bool, .string, .array, .object: throw .wrongType(path: path, expected: "a number")
    }
  }
  static func bool(_ value: JSONValue, _ path: String) throws(WorkerProtocolError) -> Bool {
    guard case .bool(let truth) = value else { throw .wrongType(path: path, expected: "true or false") }
    return truth
  }
}

/// Builds an object, leaving out what is absent.
func object(_ members: [(String, JSONValue?)]) -> JSONValue {
  var object: JSONObject = [:]
  for (key, value) in members {
    if let value { object[key] = value }
  }
  return .object(object)
}

func list<Element>(_ elements: [Element], _ json: (Element) -> JSONValue) -> JSONValue { .array(elements.map(json)) }

/// A logarithm for the wire, which has no −∞: that one is null.
func finite(_ value: Double) -> JSONValue { value.isFinite ? .number(value) : .null }
