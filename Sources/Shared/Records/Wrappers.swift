package import StrictJSON

/// A member that is written as null where there is no value, and not left out: the answer "none" is an answer.
@propertyWrapper
package struct NullWhenAbsent<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable, AbsentReadable {
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

  static var whenAbsent: Self { Self(wrappedValue: nil) }
}

/// A number that may be −∞, for which JSON has no word: null.
@propertyWrapper
package struct Logarithm: Codable, Sendable, Equatable, AbsentReadable {
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

  static var whenAbsent: Self { Self(wrappedValue: -.infinity) }
}

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

extension JSONValue: RecordValue {
  package static var valueType: ValueType { .any }
}

extension JSONObject: RecordValue {
  package static var valueType: ValueType { .record }
}
