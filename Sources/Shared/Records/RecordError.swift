/// What is wrong with a record that is correct JSON: where, and as the rest of a sentence, what.
package struct RecordError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable { case missing, invalid, unknown }

  package let kind: Kind
  /// Dotted, with indices: `search.budget`, `members[3].name`; empty for the record itself.
  package let place: String
  package let problem: String
  /// What to do, where there is something: "did you mean 'steps'?".
  package let hint: String?

  package init(_ kind: Kind, at place: String, _ problem: String, hint: String? = nil) {
    self.kind = kind
    self.place = place
    self.problem = problem
    self.hint = hint
  }

  /// For an `init(from:)` of one's own: at the place of what is read.
  package init(_ kind: Kind, in decoder: any Decoder, _ problem: String, hint: String? = nil) {
    self.init(kind, at: (decoder as? ValueDecoder)?.place ?? "", problem, hint: hint)
  }

  package var description: String {
    (place.isEmpty ? problem : "'\(place)' \(problem)") + (hint.map { "; \($0)" } ?? "")
  }

  /// The whole sentence where `subject` is what was read: "t2d.json5 has no member 'x'", "t2d.json5: 'x' is missing".
  package func description(of subject: String) -> String {
    subject + (place.isEmpty ? " " : ": ") + description
  }
}
