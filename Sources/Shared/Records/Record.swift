package import StrictJSON
import SystemSupport

/// A struct each member of which is a `@Setting`: one description that reads, writes, validates and documents.
///
/// Members are named after the properties, in snake_case. What is read may be laid over another value of the record, of
/// which the members that are not given stay: a task's search settings over the configuration's, for example.
package protocol Record: RecordValue {
  init()
  /// Called after reading: sets what follows from what was given, and refuses what contradicts it. The problem is the rest
  /// of a sentence that begins with the place.
  mutating func validate() throws(RecordError)
}

extension Record {
  package static var valueType: ValueType { .record }
  package static var nestedMembers: [MemberDefinition] { members }

  package mutating func validate() throws(RecordError) {}

  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    try reader.record(Self.self, json, over: base ?? Self(), at: place)
  }

  /// The members in the order of their declaration, those of included records in their place.
  package static var members: [MemberDefinition] { RecordMembers.of(Self.self).flatMap(\.definitions) }

  /// The same with the members of each nested record in its place, under dotted names: all that a file can set.
  package static var leaves: [MemberDefinition] { members.flatMap(\.leaves) }

  /// The names of the members that were given, and not taken from a default.
  package var given: Set<String> {
    var names: Set<String> = []
    for (label, member) in parts(of: self) { names.formUnion(member.givenNames(declaredAs: snakeCase(label))) }
    return names
  }
}

extension Record {
  /// What a reader would say of the values as they are now; nil where it would take them. For a record whose members the
  /// program has set itself.
  package var problem: RecordError? {
    let written = RecordWriter.object(self)
    for definition in Self.members {
      guard let value = written[definition.name], let problem = definition.type.problem(with: value) else { continue }
      return RecordError(.invalid, at: definition.name, problem, hint: definition.summary)
    }
    var copy = self
    do throws(RecordError) { try copy.validate() } catch { return error }
    return nil
  }

  /// What was given, as it is written: to be laid over another value of the record later.
  package var givenMembers: JSONObject {
    let given = given
    var members = JSONObject()
    for (name, value) in RecordWriter.object(self).members where given.contains(name) { members[name] = value }
    return members
  }
}

/// Takes the members of another record into this one: the settings of a search into the parameters of the methods that
/// begin one.
@propertyWrapper
package struct Included<Part: Record>: Sendable, Equatable {
  package var wrappedValue: Part
  /// From the name in the included record to the name here.
  private let renaming: [String: String]
  /// Members of the included record that are none of this one.
  private let omitted: Set<String>

  package init(wrappedValue: Part, renaming: [String: String] = [:], without omitted: Set<String> = []) {
    self.wrappedValue = wrappedValue
    self.renaming = renaming
    self.omitted = omitted
  }
}

extension Included: Codable {
  package init(from decoder: any Decoder) throws {
    throw RecordError(.invalid, at: "", "is read with the record that includes it, by RecordReader")
  }
  package func encode(to encoder: any Encoder) throws { try wrappedValue.encode(to: encoder) }
}

/// A stored property of a record: a setting, or an included record.
protocol RecordPart: OwnReading, OwnWriting {
  /// - Parameter name: the property's, in snake_case.
  func definitions(declaredAs name: String) -> [MemberDefinition]
  func givenNames(declaredAs name: String) -> Set<String>
  func read(declaredAs name: String, from object: JSONObject, at place: String, by reader: RecordReader) throws -> Self
}

extension Included: RecordPart {
  package static func read(_ member: ObjectMember) throws -> Self {
    try member.part(Self.self) ?? read(try member.json, at: member.place, by: member.values.reader)
  }

  private func outer(_ name: String) -> String { renaming[name] ?? name }

  func definitions(declaredAs name: String) -> [MemberDefinition] {
    // The defaults are those that hold here, not those of the included record alone.
    let defaults = RecordWriter.object(wrappedValue)
    return Part.members.compactMap { member in
      guard !omitted.contains(member.name) else { return nil }
      var renamed = member
      renamed.name = outer(member.name)
      renamed.standard = defaults[member.name]
      return renamed
    }
  }

  func givenNames(declaredAs name: String) -> Set<String> { Set(wrappedValue.given.map(outer)) }

  func read(
    declaredAs name: String, from object: JSONObject, at place: String, by reader: RecordReader
  ) throws -> Self {
    var own = JSONObject()
    for member in Part.members where !omitted.contains(member.name) {
      for name in [member.name] + member.formerNames {
        if let value = object[name == member.name ? outer(name) : name] { own[name] = value }
      }
    }
    var copy = self
    copy.wrappedValue = try reader.record(Part.self, .object(own), over: wrappedValue, at: place)
    return copy
  }

  package func write(as label: String, to content: RecordContent) {
    for (name, json) in RecordWriter.object(wrappedValue).members where !omitted.contains(name) {
      content.set(outer(name), json)
    }
  }
}

/// The declarations of a record by the names of its properties: found once for each type.
struct RecordMembers {
  let label: String
  let definitions: [MemberDefinition]

  private static let known = Mutex<[ObjectIdentifier: [RecordMembers]]>([:])

  static func of<R: Record>(_ type: R.Type) -> [RecordMembers] {
    if let members = known.withLock({ $0[ObjectIdentifier(type)] }) { return members }
    let members = parts(of: R()).map { label, part in
      RecordMembers(label: label, definitions: part.definitions(declaredAs: snakeCase(label)))
    }
    let names = members.flatMap { $0.definitions.map(\.name) }
    precondition(Set(names).count == names.count, "\(type) declares a member twice: \(names)")
    known.withLock { $0[ObjectIdentifier(type)] = members }
    return members
  }
}

/// The parts of a record by property name. A member that is none is our own mistake.
func parts<R: Record>(of record: R) -> [(label: String, part: any RecordPart)] {
  Mirror(reflecting: record).children.map { child in
    // The storage of a wrapped property `steps` is called `_steps`.
    guard let label = child.label, label.hasPrefix("_"), let part = child.value as? any RecordPart else {
      preconditionFailure("\(R.self).\(child.label ?? "?") is no @Setting: a record has no other members")
    }
    return (String(label.dropFirst()), part)
  }
}

/// `learningRate` as the wire spells it, `learning_rate`; `modelID` is `model_id`, `promptIDs` is `prompt_ids`, and `ci95`
/// stays.
func snakeCase(_ name: String) -> String {
  guard name.utf8.contains(where: { isUpper($0) }) else { return name }
  let bytes = Array(name.utf8)
  var result: [UInt8] = []
  for (index, byte) in bytes.enumerated() {
    guard isUpper(byte) else {
      result.append(byte)
      continue
    }
    let endsPlural = index + 2 == bytes.count && bytes[index + 1] == UInt8(ascii: "s")
    let startsWord =
      index > 0
      && (!isUpper(bytes[index - 1]) || (index + 1 < bytes.count && isLower(bytes[index + 1]) && !endsPlural))
    if startsWord { result.append(UInt8(ascii: "_")) }
    result.append(byte | 0x20)
  }
  return String(decoding: result, as: UTF8.self)
}

private func isUpper(_ byte: UInt8) -> Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) }
private func isLower(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
