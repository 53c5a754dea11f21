extension StringProtocol {
  /// The beginning of a text from outside, for a message: messages go into logs, tables and answers, and none of them is
  /// the place for a key of a megabyte.
  package var excerpt: String {
    let scalars = unicodeScalars.prefix(65)
    return scalars.count > 64 ? String(String.UnicodeScalarView(scalars.dropLast())) + "…" : String(self)
  }
}

extension Array<String> {
  /// The first ones, each by its beginning.
  package var excerpt: String {
    let shown = prefix(8).map(\.excerpt).joined(separator: ", ")
    return count > 8 ? "\(shown) and \(count - 8) more" : shown
  }
}

extension JSONValue {
  /// As text; of one that is long the beginning.
  package var excerpt: String { jsonText.excerpt }
}
