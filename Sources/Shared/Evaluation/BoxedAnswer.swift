/// What a model put into its last `\boxed{}`.
///
/// The last one counts: a model often repeats the instruction's own example before it answers. The code published with
/// the paper takes the first, and so mistakes the example for the answer.
package struct BoxedAnswer: Sendable, Equatable {
  package static let opening = "\\boxed{"

  /// What stands between the braces, trimmed, without `\text{...}` around it.
  package let content: String
  /// The generated text up to and with the opening brace of the answer.
  package let before: String

  /// Nil where there is none that is closed.
  package init?(lastIn text: String) {
    var found: (content: Substring, before: Substring)?
    var rest = text[...]
    while let opening = rest.firstRange(of: Self.opening) {
      rest = rest[opening.upperBound...]
      var depth = 1
      guard
        let end = rest.indices.first(where: { index in
          if rest[index] == "{" { depth += 1 }
          if rest[index] == "}" { depth -= 1 }
          return depth == 0
        })
      else { break }
      found = (rest[..<end], text[..<opening.upperBound])
    }
    guard let found else { return nil }
    var content = Self.trimmed(found.content)
    if content.hasPrefix("\\text{"), content.hasSuffix("}") { content = Self.trimmed(content.dropFirst(6).dropLast()) }
    self.content = String(content)
    before = String(found.before)
  }

  /// The label that is meant: case, quotes and a full stop do not count. Nil for what is none of them.
  package func label(of labels: [String]) -> String? {
    func plain(_ text: String) -> String {
      String(
        text.lowercased().drop { $0.isWhitespace || "\"'`".contains($0) }.reversed()
          .drop { $0.isWhitespace || "\"'`.".contains($0) }.reversed())
    }
    let wanted = plain(content)
    return labels.first { plain($0) == wanted }
  }

  private static func trimmed(_ text: Substring) -> Substring {
    var text = text
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }
}
