package import StrictJSON

/// All that is known of one member of a record, from its one declaration.
package struct MemberDefinition: Sendable, Equatable {
  /// How the command line spells the member, where it does not simply turn `learning_rate` into `--learning-rate`.
  package struct Option: Sendable, Equatable {
    /// With its dashes; nil: made of the member's name.
    package var flag: String?
    /// What follows it, as the usage shows it: `R`.
    package var value: String?
    /// A flag alone that means `false`: `--no-chat`.
    package var negates: Bool

    package init(_ flag: String? = nil, _ value: String? = nil, negates: Bool = false) {
      self.flag = flag
      self.value = value
      self.negates = negates
    }
  }

  /// On the wire: snake_case.
  package internal(set) var name: String
  /// Older spellings, which are read and never written.
  package let formerNames: [String]
  package let type: ValueType
  /// The members of the record that it is; none where it is none, or may be absent.
  package let nested: [MemberDefinition]
  /// Whether a record without it is refused.
  package let isRequired: Bool
  /// What holds where it is absent; nil where nothing does.
  package internal(set) var standard: JSONValue?
  /// One line, without the default.
  package let summary: String
  package let option: Option

  /// The summary with the default: "rows of a step; default 10".
  package var summaryWithDefault: String {
    guard let shown = standard?.asDefault else { return summary }
    return summary.isEmpty ? "default \(shown)" : "\(summary); default \(shown)"
  }

  /// The member itself, or where it is a record its members: `rows` of `checks` is `checks.rows`.
  var leaves: [MemberDefinition] {
    guard !nested.isEmpty, case .object(let defaults)? = standard else { return [self] }
    return nested.flatMap { member in
      var member = member
      member.standard = defaults[member.name]
      member.name = name + "." + member.name
      return member.leaves
    }
  }
}

extension JSONValue {
  /// Nil for what is no default to speak of: nothing, false, an empty list.
  fileprivate var asDefault: String? {
    switch self {
    case .null, .bool(false), .object: nil
    case .bool(true): "true"
    case .integer(let value): "\(value)"
    case .number(let value): value.shown
    case .string(let text): text.isEmpty ? nil : text
    case .array(let items): items.isEmpty ? nil : items.compactMap(\.asDefault).joined(separator: ", ")
    }
  }
}
