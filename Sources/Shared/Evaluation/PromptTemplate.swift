package import Records
import StrictJSON

/// A text with row fields in braces: `Q: {question}\nA:`. `{{` and `}}` stand for the braces themselves.
package struct PromptTemplate: TextValue {
  private enum Part: Sendable, Equatable {
    case literal(String)
    case field(String)
  }

  /// Of a rendered row: more than any model takes. A template of a few kilobytes can name a long field a thousand times.
  static let maximumPromptBytes = 4 << 20

  package let text: String
  private let parts: [Part]
  /// The shape whose own prompt this is: `harness/NAME`; nil: a text with fields.
  let shapeName: String?

  package init(text: String) throws(RecordError) {
    if text.hasPrefix("harness/") {
      guard RowShape.templates.contains(text) else {
        throw Self.problem(
          "is '\(text.excerpt)', which is not known",
          hint: "known are \(RowShape.templates.joined(separator: ", ")); or write the prompt with fields in braces")
      }
      (self.text, parts, shapeName) = (text, [], text)
      return
    }
    shapeName = nil
    var parts: [Part] = []
    var literal = String.UnicodeScalarView()
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      guard scalar == "{" || scalar == "}" else {
        literal.append(scalar)
        continue
      }
      if rest.first == scalar {
        rest.removeFirst()
        literal.append(scalar)
        continue
      }
      guard scalar == "{" else { throw Self.problem("has a '}' without '{'", hint: "write '}}' for a brace") }
      guard let end = rest.firstIndex(of: "}") else {
        throw Self.problem("has a '{' without '}'", hint: "write '{{' for a brace")
      }
      let name = String(rest[..<end])
      guard !name.isEmpty, !name.contains("{"), !name.contains("\n") else {
        throw Self.problem("has the field '{\(name.excerpt)}'", hint: "a field is the name of one of the row's members")
      }
      rest = rest[rest.index(after: end)...]
      if !literal.isEmpty { parts.append(.literal(String(literal))) }
      literal = String.UnicodeScalarView()
      parts.append(.field(name))
    }
    if !literal.isEmpty { parts.append(.literal(String(literal))) }
    guard parts.contains(where: { if case .field = $0 { true } else { false } }) else {
      throw Self.problem("has no field in braces, so that every row would ask the same", hint: nil)
    }
    self.text = text
    self.parts = parts
  }

  private static func problem(_ text: String, hint: String?) -> RecordError {
    RecordError(.invalid, at: "", text, hint: hint)
  }

  /// The fields that it names.
  var fields: [String] { parts.compactMap { if case .field(let name) = $0 { name } else { nil } } }

  /// The template with the row's own values. `{choices}` is one line a choice, "A. text".
  package func render(_ row: TaskRow, file: String) throws(TaskFileError) -> String {
    var text = ""
    for part in parts {
      switch part {
      case .literal(let literal): text += literal
      case .field(let name):
        guard let value = Self.value(name, of: row) else {
          throw .templateField(file: file, line: row.line, field: name, keys: row.fields.keys)
        }
        text += value
        guard text.utf8.count <= Self.maximumPromptBytes else {
          throw .promptTooLong(file: file, line: row.line, allowed: Self.maximumPromptBytes)
        }
      }
    }
    return text
  }

  private static func value(_ name: String, of row: TaskRow) -> String? {
    if case .choice(let question, let choices, _) = row.content {
      if name == "question" { return question }
      if name == "choices" {
        return choices.enumerated().map { "\(letter($0)). \($1)" }.joined(separator: "\n")
      }
    }
    return switch row.fields[name] {
    case .string(let text)?: text
    case .integer(let number)?: "\(number)"
    case .number(let number)?: "\(number)"
    case .bool(let truth)?: "\(truth)"
    case .array, .object, .null, nil: nil
    }
  }

  /// A, B, ... Z, then numbers.
  static func letter(_ index: Int) -> String {
    index < 26 ? String(UnicodeScalar(UInt8(0x41 + index))) : "\(index + 1)"
  }
}
