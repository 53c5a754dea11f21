package import StrictJSON
import Synchronization

/// A struct each member of which is a `@Setting`: one description that reads, writes, validates and documents.
///
/// Members are named after the properties, in snake_case. What is read may be laid over another value of the record, of
/// which the members that are not given stay: a task's search settings over the configuration's, for example.
package protocol Record: RecordValue {
  init()
  /// What holds between members; called after reading. The message is the rest of a sentence that begins with the place.
  func validate() throws(RecordError)
}

extension Record {
  package static var valueType: ValueType { .record }

  package func validate() throws(RecordError) {}

  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    try reader.record(Self.self, json, over: base ?? Self(), at: place)
  }

  /// The members in the order of their declaration.
  package static var members: [MemberDefinition] { RecordMembers.of(Self.self).map(\.definition) }

  /// The names of the members that were given, and not taken from a default.
  package var given: Set<String> {
    var names: Set<String> = []
    for (label, setting) in settings(of: self) where setting.isGivenMember {
      names.insert(setting.definition.name.isEmpty ? snakeCase(label) : setting.definition.name)
    }
    return names
  }
}

extension AnySetting {
  fileprivate var isGivenMember: Bool { (self as? any GivenMember)?.isGiven ?? false }
}

private protocol GivenMember { var isGiven: Bool { get } }
extension Setting: GivenMember {}

/// The declarations of a record by the names of its properties: found once for each type.
struct RecordMembers {
  let label: String
  let definition: MemberDefinition

  private static let known = Mutex<[ObjectIdentifier: [RecordMembers]]>([:])

  static func of<R: Record>(_ type: R.Type) -> [RecordMembers] {
    if let members = known.withLock({ $0[ObjectIdentifier(type)] }) { return members }
    let members = settings(of: R()).map { label, setting in
      var definition = setting.definition
      if definition.name.isEmpty { definition.name = snakeCase(label) }
      return RecordMembers(label: label, definition: definition)
    }
    known.withLock { $0[ObjectIdentifier(type)] = members }
    return members
  }
}

/// The settings of a record by property name. A member that is none is our own mistake.
func settings<R: Record>(of record: R) -> [(label: String, setting: any AnySetting)] {
  Mirror(reflecting: record).children.map { child in
    // The storage of a wrapped property `steps` is called `_steps`.
    guard let label = child.label, label.hasPrefix("_"), let setting = child.value as? any AnySetting else {
      preconditionFailure("\(R.self).\(child.label ?? "?") is no @Setting: a record has no other members")
    }
    return (String(label.dropFirst()), setting)
  }
}

/// `learningRate` as the wire spells it, `learning_rate`; `modelID` is `model_id`, and `ci95` stays.
func snakeCase(_ name: String) -> String {
  let bytes = Array(name.utf8)
  guard bytes.contains(where: { isUpper($0) }) else { return name }
  var result: [UInt8] = []
  for (index, byte) in bytes.enumerated() {
    guard isUpper(byte) else {
      result.append(byte)
      continue
    }
    let startsWord = index > 0 && (!isUpper(bytes[index - 1]) || (index + 1 < bytes.count && isLower(bytes[index + 1])))
    if startsWord { result.append(UInt8(ascii: "_")) }
    result.append(byte | 0x20)
  }
  return String(decoding: result, as: UTF8.self)
}

private func isUpper(_ byte: UInt8) -> Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) }
private func isLower(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
