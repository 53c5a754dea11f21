import StrictJSON

/// Two bounds, written as a list of two numbers: a confidence interval.
package struct Interval: Codable, Sendable, Equatable {
  package var lower: Double
  package var upper: Double

  package init(_ lower: Double, _ upper: Double) {
    self.lower = lower
    self.upper = upper
  }

  package init(from decoder: any Decoder) throws {
    // Where only names are asked for, there are no two numbers.
    let ends = decoder is ShapeDecoder ? [0, 0] : try decoder.singleValueContainer().decode([Double].self)
    guard ends.count == 2 else {
      throw RecordError(.invalid, in: decoder, "must be a list of two numbers, and has \(ends.count)")
    }
    self.init(ends[0], ends[1])
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode([lower, upper])
  }
}

/// Values by names from outside, such as experts or phases of a job: an object whose members keep their order and, unlike
/// those of a struct, their spelling.
package struct ByName<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package var name: String
    package var value: Value
  }

  package var entries: [Entry]

  /// The names are different ones.
  package init(_ entries: [(String, Value)]) { self.entries = entries.map { Entry(name: $0.0, value: $0.1) } }

  package subscript(name: String) -> Value? {
    entries.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
  }

  package init(from decoder: any Decoder) throws {
    if let decoder = decoder as? ShapeDecoder {
      let value = Shape()
      decoder.shape.content = .byName(value)
      entries = [Entry(name: "NAME", value: try value.value(Value.self))]
      return
    }
    guard let decoder = decoder as? ValueDecoder else {
      throw RecordError(.invalid, at: "", "is read by RecordReader only")
    }
    guard case .object(let object) = decoder.json else {
      throw RecordError(.invalid, in: decoder, "must be an object, and is \(decoder.json.asFound)")
    }
    entries = try object.members.map { name, json in
      Entry(
        name: name, value: try decoder.reader.value(Value.self, json, at: "\(decoder.place).\(escapedName(name))"))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var object = JSONObject()
    for entry in entries { object[entry.name] = RecordWriter.json(entry.value) }
    var container = encoder.singleValueContainer()
    try container.encode(object)
  }
}

extension ByName: OwnReading where Value == String {}
extension ByName: RecordValue where Value == String {
  package static var valueType: ValueType { .custom("object of strings") }
}

/// A name from outside as part of a place.
private func escapedName(_ name: String) -> String { String(quoted(name).dropFirst().dropLast()) }
