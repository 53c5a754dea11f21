import StrictJSON

/// The wire name of a method of ``SearchMethods/all``, or `all`. There is no value of any other name.
package struct SearchMethodName: RawRepresentable, Hashable, Sendable, Codable, CaseIterable, CustomStringConvertible {
  package let rawValue: String

  /// Nil for a name that is not in the table.
  package init?(rawValue: String) {
    guard let known = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
    self = known
  }

  /// For the file of a method.
  init(declaring name: String) { rawValue = name }

  package var description: String { rawValue }

  /// Every method side by side; the folds choose.
  package static let all = SearchMethodName(declaring: "all")
  /// Where nobody chose one: the method of the paper.
  package static let standard = CrossEntropyMethod.name
  package static let allCases: [SearchMethodName] = SearchMethods.all.map { $0.name } + [all]

  /// For help: "a, b or all".
  package static let listed = listed("or")

  private static func listed(_ word: String) -> String {
    allCases.dropLast().map(\.rawValue).joined(separator: ", ") + " \(word) \(all)"
  }

  /// What to say of a name that is not known.
  package static func problem(with name: String) -> String {
    let hint = nearestName(to: name, among: allCases.map(\.rawValue)).map { "; did you mean '\($0)'?" } ?? ""
    return "the search method '\(name.excerpt)' is not known here; known are \(listed("and"))\(hint)"
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let name = Self(rawValue: text) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: Self.problem(with: text))
    }
    self = name
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(rawValue)
  }

  /// The methods that are meant, in the order of the table. Where there are no gradients `all` does without those that
  /// need them; one that was named is given all the same, for whoever asks to refuse.
  package func methods(withGradients: Bool) -> [any SearchMethod.Type] {
    SearchMethods.all.filter { self == .all ? withGradients || !$0.needsGradients : $0.name == self }
  }
}
