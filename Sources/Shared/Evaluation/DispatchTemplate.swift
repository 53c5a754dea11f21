import StrictJSON

/// The question by which a model sorts a request into categories (arXiv 2501.06252, figure 3): a text with `{labels}` and
/// `{prompt}`, each once or more. Other braces, as in `\boxed{category}`, stay as they are.
///
/// It stands here and not beside the dispatch itself, because the daemon checks a user's file and links no BLAS.
package struct DispatchTemplate: Sendable, Equatable {
  package static let placeholders = ["{labels}", "{prompt}"]
  /// A file longer than this is no template.
  package static let maximumBytes = 64 << 10

  package let text: String
  /// Where it comes from, for messages and results: a path, or "built in".
  package let source: String

  package init(_ text: String, source: String) throws(DispatchTemplateError) {
    for placeholder in Self.placeholders where !text.contains(placeholder) {
      throw .missing(placeholder: placeholder, source: source, near: Self.near(placeholder, in: text))
    }
    self.text = text
    self.source = source
  }

  package init(bytes: [UInt8], source: String) throws(DispatchTemplateError) {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .notUTF8(source: source) }
    try self.init(text, source: source)
  }

  private init(builtIn text: String) {
    self.text = text
    source = "built in"
  }

  /// What stands in for a file that is not there; the same text as etc/t2d/dispatch.txt, which a test compares.
  package static let builtIn = DispatchTemplate(
    builtIn: #"""
      Decide which one of these categories the request below belongs to: {labels}.

      - Look at what the request is mainly about and at what is needed to answer it.
      - If it touches several categories, choose the one that matters most for the answer.
      - If none of the other categories fits it, choose other.

      Request:
      {prompt}

      Think about it briefly, then give exactly one category, as \boxed{category}.

      """#)

  /// The question for one request. Filled in one go: a placeholder within the request is text.
  package func render(labels: [String], prompt: String) -> String {
    var result = ""
    var rest = text[...]
    while let brace = rest.firstIndex(of: "{") {
      result += rest[..<brace]
      rest = rest[brace...]
      if rest.hasPrefix("{labels}") {
        result += labels.joined(separator: ", ")
        rest.removeFirst("{labels}".count)
      } else if rest.hasPrefix("{prompt}") {
        result += prompt
        rest.removeFirst("{prompt}".count)
      } else {
        result.append(rest.removeFirst())
      }
    }
    result += rest
    return result.hasSuffix("\n") ? String(result.dropLast()) : result
  }

  /// A word in braces that looks like a mistyped placeholder.
  private static func near(_ placeholder: String, in text: String) -> String? {
    let words = text.split(separator: "{", omittingEmptySubsequences: false).dropFirst()
      .compactMap { $0.split(separator: "}").first.map(String.init) }
    return nearestName(to: String(placeholder.dropFirst().dropLast()), among: words.filter { $0.count <= 32 })
  }
}

/// Why a text is no dispatch template.
package enum DispatchTemplateError: Error, Sendable, Equatable, CustomStringConvertible {
  case missing(placeholder: String, source: String, near: String?)
  case notUTF8(source: String)
  case unreadable(source: String, problem: String)

  package var description: String {
    switch self {
    case .missing(let placeholder, let source, let near):
      "the dispatch template (\(source)) has no \(placeholder); it needs \(DispatchTemplate.placeholders.joined(separator: " and "))"
        + (near.map { ", and {\($0)} is neither" } ?? "")
    case .notUTF8(let source): "the dispatch template (\(source)) is not UTF-8"
    case .unreadable(let source, let problem): "the dispatch template (\(source)) cannot be read: \(problem)"
    }
  }
}
