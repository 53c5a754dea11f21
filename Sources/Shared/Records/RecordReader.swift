package import StrictJSON

/// Reads records, and whatever else the compiler's own Codable can describe, from JSON: the counterpart of
/// ``RecordWriter``.
///
/// Every error names its place and what was expected there. Member names are the snake_case of property names. A member
/// whose value is null counts as absent.
package struct RecordReader: Sendable {
  /// What becomes of a member that nobody asked for.
  package enum UnknownMembers: Sendable {
    /// Named, with the nearest known one: what a person wrote.
    case refused
    /// What a newer version of a peer may say.
    case ignored
  }

  package var unknownMembers: UnknownMembers

  package init(unknownMembers: UnknownMembers) { self.unknownMembers = unknownMembers }

  /// - Parameter place: where the value stands, for errors; empty for a whole message.
  package func read<Value: Decodable>(
    _ json: JSONValue, as type: Value.Type = Value.self, at place: String = ""
  ) throws(RecordError) -> Value {
    try typed(place) { try value(type, json, at: place) }
  }

  /// Reads a record of which the members that are not given are those of `base`.
  package func read<R: Record>(_ json: JSONValue, over base: R, at place: String = "") throws(RecordError) -> R {
    try typed(place) { try record(R.self, json, over: base, at: place) }
  }

  /// Codable throws without a type; what it throws here is a RecordError, or one of the standard library's own readers.
  private func typed<Value>(_ place: String, _ body: () throws -> Value) throws(RecordError) -> Value {
    do {
      return try body()
    } catch let error as RecordError {
      throw error
    } catch {
      throw RecordError(.invalid, at: place, "cannot be read: \(error)")
    }
  }

  // MARK: - For the containers

  func record<R: Record>(_ type: R.Type, _ json: JSONValue, over base: R, at place: String) throws -> R {
    guard case .object(let object) = json else {
      throw RecordError(.invalid, at: place, "must be an object, and is \(json.asFound)")
    }
    let definitions = RecordMembers.of(type).flatMap(\.definitions)
    if unknownMembers == .refused {
      for (key, _) in object.members {
        guard !definitions.contains(where: { $0.isCalled(key) }) else { continue }
        throw unknown(key, among: definitions.map(\.name), at: place)
      }
    }
    var byLabel: [String: any RecordPart] = [:]
    for (label, part) in parts(of: base) { byLabel[label] = part }
    let source = RecordSource(object: object, parts: byLabel, place: place, reader: self)
    var record = try R(from: ValueDecoder(json: json, place: place, reader: self, source: source))
    do throws(RecordError) {
      try record.validate()
    } catch {
      let inner = error.place.isEmpty ? place : place.isEmpty ? error.place : place + "." + error.place
      throw RecordError(error.kind, at: inner, error.problem, hint: error.hint)
    }
    return record
  }

  func value<Value: Decodable>(_ type: Value.Type, _ json: JSONValue, at place: String) throws -> Value {
    guard let own = type as? any OwnReading.Type else {
      return try Value(from: ValueDecoder(json: json, place: place, reader: self, source: nil))
    }
    // What was read is of the very type that `type` was just seen to be, of which the compiler only remembers the
    // protocol: the cast cannot fail.
    return try own.read(json, at: place, by: self) as! Value
  }

  func unknown(_ key: String, among names: [String], at place: String) -> RecordError {
    let near = key.utf8.count <= 64 ? nearestName(to: key, among: names) : nil
    let hint =
      near.map { "did you mean '\($0)'?" }
      ?? (names.isEmpty ? "none is allowed here" : "known are \(names.joined(separator: ", "))")
    return RecordError(.unknown, at: place, "has no member \(quoted(key))", hint: hint)
  }
}

extension MemberDefinition {
  package func isCalled(_ key: String) -> Bool {
    name.utf8.elementsEqual(key.utf8) || formerNames.contains { $0.utf8.elementsEqual(key.utf8) }
  }
}

/// The object of a record, with the parts that its members are read into.
final class RecordSource {
  let object: JSONObject
  let parts: [String: any RecordPart]
  let place: String
  let reader: RecordReader

  init(object: JSONObject, parts: [String: any RecordPart], place: String, reader: RecordReader) {
    self.object = object
    self.parts = parts
    self.place = place
    self.reader = reader
  }

  func part(_ label: String) throws -> any RecordPart {
    guard let part = parts[label] else { preconditionFailure("the record has no member '\(label)'") }
    return try part.read(declaredAs: snakeCase(label), from: object, at: place, by: reader)
  }
}
