/// One JSON value.
///
/// Integers and numbers with a fraction or an exponent are kept apart, so an identifier of 64 bits survives a round trip.
/// Equality is exact: strings and keys compare as UTF-8 bytes (Swift's `==` on strings is canonical equivalence, under
/// which two different names can be "equal"), the order of an object's members does not count, and `1` is not `1.0`.
package enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  package static func == (left: JSONValue, right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): UTF8Key(a) == UTF8Key(b)
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)): a == b
    case (.null, _), (.bool, _), (.integer, _), (.number, _), (.string, _), (.array, _), (.object, _): false
    }
  }

  /// A float by its own shortest decimal: `0.1`, and not `0.10000000149011612`.
  package static func float(_ value: Float) -> JSONValue {
    .number(Double(value.description) ?? Double(value))
  }

  package var isNull: Bool {
    if case .null = self { true } else { false }
  }

  package var boolValue: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// The exact integer; `1.0` is not one.
  package var integerValue: Int64? {
    if case .integer(let value) = self { value } else { nil }
  }

  /// The integer as an `Int`.
  package var intValue: Int? {
    integerValue.flatMap { Int(exactly: $0) }
  }

  /// An integer or a number. An integer above 2^53 is rounded.
  package var doubleValue: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    case .null, .bool, .string, .array, .object: nil
    }
  }

  package var stringValue: String? {
    if case .string(let value) = self { value } else { nil }
  }

  package var arrayValue: [JSONValue]? {
    if case .array(let value) = self { value } else { nil }
  }

  package var objectValue: JSONObject? {
    if case .object(let value) = self { value } else { nil }
  }

  /// The member of an object; nil for another kind of value and for a missing key.
  package subscript(_ key: String) -> JSONValue? { objectValue?[key] }

  /// "a string", "an integer": for messages that say what was found.
  package var kindName: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByStringInterpolation,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  package init(nilLiteral: ()) { self = .null }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(integerLiteral value: Int64) { self = .integer(value) }
  package init(floatLiteral value: Double) { self = .number(value) }
  package init(stringLiteral value: String) { self = .string(value) }
  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(literalMembers: elements))
  }
}

extension JSONValue {
  package init(_ value: Int) { self = .integer(Int64(value)) }
  package init(_ value: Bool) { self = .bool(value) }
  package init(_ value: Double) { self = .number(value) }
  package init(_ value: String) { self = .string(value) }
  package init(_ values: [String]) { self = .array(values.map { .string($0) }) }
  package init(_ value: JSONObject) { self = .object(value) }

  /// The value, or null where there is none.
  package init(_ value: String?) { self = value.map { .string($0) } ?? .null }
}
