import StrictJSON

/// Declares a member of a record, once: its default, its range, and its one-line summary. Reading, writing, validation,
/// the table of methods, the options of t2ctl and the checks of the manual are all made of this declaration.
///
///     package struct Example: Record {
///       @Setting("the task's name") package var task: String                     // required
///       @Setting("rows of a step", 1...4_096) package var batch = 10             // "rows of a step; default 10"
///       @Setting("only these experts") package var experts: [String]?            // optional, without a default
///       package init() {}
///     }
///
/// A value type; equality is that of the values.
@propertyWrapper
package struct Setting<Value: RecordValue>: Sendable {
  private var value: Value?
  /// Shared by all copies: a setting is passed around more often than it is declared.
  private let declared: Declared
  /// Whether the value was read, and not the default or the value of what it was laid over.
  package private(set) var isGiven = false

  private final class Declared: Sendable {
    let definition: MemberDefinition
    init(_ definition: MemberDefinition) { self.definition = definition }
  }

  package var wrappedValue: Value {
    get {
      guard let value else { preconditionFailure("a required member was read before it was set") }
      return value
    }
    set { value = newValue }
  }

  /// `$batch.isGiven`.
  package var projectedValue: Self { self }

  private init(
    _ value: Value?, type: ValueType?, summary: String, name: String?, formerly: [String],
    option: MemberDefinition.Option
  ) {
    self.value = value
    declared = Declared(
      MemberDefinition(
        name: name ?? "", formerNames: formerly, type: type ?? Value.valueType,
        nested: Value.nestedMembers, isRequired: value == nil, standard: value.flatMap { $0.memberJSON },
        summary: summary, option: option))
  }

  /// Any value of its type.
  package init(
    wrappedValue: Value, _ summary: String = "", name: String? = nil, formerly: [String] = [],
    option: MemberDefinition.Option = .init()
  ) {
    self.init(wrappedValue, type: nil, summary: summary, name: name, formerly: formerly, option: option)
  }

  /// A member that must be there.
  package init(
    _ summary: String = "", name: String? = nil, formerly: [String] = [], option: MemberDefinition.Option = .init()
  ) {
    self.init(nil, type: nil, summary: summary, name: name, formerly: formerly, option: option)
  }

  /// A member of which the type does not say all: `[SearchBudget]` that is written as texts, for example.
  package init(
    wrappedValue: Value, _ summary: String, as type: ValueType, name: String? = nil, formerly: [String] = [],
    option: MemberDefinition.Option = .init()
  ) {
    self.init(wrappedValue, type: type, summary: summary, name: name, formerly: formerly, option: option)
  }
}

extension Setting where Value: ExpressibleByNilLiteral {
  /// A member that may be absent.
  package init(
    _ summary: String = "", name: String? = nil, formerly: [String] = [], option: MemberDefinition.Option = .init()
  ) {
    let none: Value = nil
    self.init(none, type: nil, summary: summary, name: name, formerly: formerly, option: option)
  }

  /// A member that may be absent, of a type that does not say all.
  package init(
    _ summary: String, as type: ValueType, name: String? = nil, formerly: [String] = [],
    option: MemberDefinition.Option = .init()
  ) {
    let none: Value = nil
    self.init(none, type: type, summary: summary, name: name, formerly: formerly, option: option)
  }
}

/// A value with a range: a number, an optional one, or a list of numbers (of which the range holds for each).
package protocol RangedValue: RecordValue {
  associatedtype Bound: Comparable & Sendable
  static func valueType(in range: ClosedRange<Bound>) -> ValueType
}

extension Setting where Value: RangedValue {
  package init(
    wrappedValue: Value, _ summary: String, _ range: ClosedRange<Value.Bound>, name: String? = nil,
    formerly: [String] = [], option: MemberDefinition.Option = .init()
  ) {
    self.init(
      wrappedValue, type: Value.valueType(in: range), summary: summary, name: name, formerly: formerly, option: option)
  }

  package init(
    _ summary: String, _ range: ClosedRange<Value.Bound>, name: String? = nil, formerly: [String] = [],
    option: MemberDefinition.Option = .init()
  ) {
    self.init(nil, type: Value.valueType(in: range), summary: summary, name: name, formerly: formerly, option: option)
  }
}

extension Setting where Value: RangedValue & ExpressibleByNilLiteral {
  package init(
    _ summary: String, _ range: ClosedRange<Value.Bound>, name: String? = nil, formerly: [String] = [],
    option: MemberDefinition.Option = .init()
  ) {
    let none: Value = nil
    self.init(none, type: Value.valueType(in: range), summary: summary, name: name, formerly: formerly, option: option)
  }
}

extension Setting: Equatable {
  package static func == (left: Self, right: Self) -> Bool { left.value == right.value }
}

extension Setting: RecordPart {
  package static func read(_ member: ObjectMember) throws -> Self {
    try member.part(Self.self) ?? read(try member.json, at: member.place, by: member.values.reader)
  }

  private func name(_ declared: String) -> String {
    self.declared.definition.name.isEmpty ? declared : self.declared.definition.name
  }

  func definitions(declaredAs name: String) -> [MemberDefinition] {
    var definition = declared.definition
    definition.name = self.name(name)
    return [definition]
  }

  func givenNames(declaredAs name: String) -> Set<String> { isGiven ? [self.name(name)] : [] }

  package func write(as label: String, to content: RecordContent) {
    if let json = value.flatMap({ $0.memberJSON }) { content.set(name(snakeCase(label)), json) }
  }

  func read(
    declaredAs declaredName: String, from object: JSONObject, at place: String, by reader: RecordReader
  ) throws -> Self {
    let definition = declared.definition
    let name = name(declaredName)
    let inner = place.isEmpty ? name : place + "." + name
    let found = ([name] + definition.formerNames).filter { object[$0] != nil }
    guard found.count <= 1 else {
      throw RecordError(
        .invalid, at: inner, "is given twice, as \(found.map { quoted($0) }.joined(separator: " and "))")
    }
    var copy = self
    copy.isGiven = false
    // JSON's null is absence.
    guard let spelled = found.first, let json = object[spelled], !json.isNull else {
      if let none = Value.absent, !found.isEmpty {
        copy.value = none
      } else if value == nil {
        throw RecordError(.missing, at: inner, "is missing")
      }
      return copy
    }
    if let problem = definition.type.problem(with: json) { throw RecordError(.invalid, at: inner, problem) }
    copy.value = try Value.read(json, over: value, at: inner, by: reader)
    copy.isGiven = true
    return copy
  }
}

// The compiler's own Codable calls these for the members of a record; the containers of RecordReader and RecordWriter
// recognise a setting before it comes to that, because only they know its name and its record.
extension Setting: Codable {
  package init(from decoder: any Decoder) throws {
    throw RecordError(.invalid, at: "", "is read with the record that declares it, by RecordReader")
  }
  package func encode(to encoder: any Encoder) throws { try value.encode(to: encoder) }
}
