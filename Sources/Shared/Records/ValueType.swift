package import StrictJSON

/// What the value of one member must be. The one place that checks a value against its declaration, whoever it comes from:
/// a request, the command line, the configuration, a task's file.
package indirect enum ValueType: Sendable, Equatable {
  /// Any text.
  case string
  /// One of these.
  case choice([String])
  case integer(ClosedRange<Int64>)
  case number(ClosedRange<Double>)
  case boolean
  /// A list of such values; `atLeast` is 0 or 1.
  case list(ValueType, atLeast: Int)
  /// The token ids of a text.
  case tokens
  /// A text, or the token ids of one.
  case text
  /// An object of finite numbers (or lists of them, one a unit) by expert: `{"science": 0.7, "social@2": 0.1}`.
  case coefficients
  /// A chat: a list of `{"role", "content"}`.
  case messages
  /// Written in a form of its own, which its reader checks: `0-9` for a range of layers. The name is for the manual.
  case custom(String)
  /// An object whose own record says more.
  case record
  /// Anything.
  case any

  /// As `system.methods` and the manual say it.
  package var name: String {
    switch self {
    case .string, .choice: "string"
    case .integer: "integer"
    case .number: "number"
    case .boolean: "boolean"
    case .list(.integer, _): "list of integers"
    case .list(.number, _): "list of numbers"
    case .list(let element, _): "list of \(element.name)s"
    case .tokens: "list of token ids"
    case .text: "string or list of token ids"
    case .coefficients: "object of numbers"
    case .messages: "list of {role, content}"
    case .custom(let name): name
    case .record: "object"
    case .any: "value"
    }
  }

  /// The name with the range or the words that it allows: "integer from 1 to 4096", "sum, delta".
  package var allowed: String {
    switch self {
    case .choice(let words): words.joined(separator: ", ")
    case .integer(let range): Self.bounds(range).map { "integer \($0)" } ?? name
    case .number(let range): Self.bounds(range).map { "number \($0)" } ?? name
    case .list(.integer(let range), _): Self.bounds(range).map { "list of integers \($0)" } ?? name
    case .list(.number(let range), _): Self.bounds(range).map { "list of numbers \($0)" } ?? name
    case .list(.choice(let words), _): "list of \(words.joined(separator: ", "))"
    case .list, .string, .boolean, .tokens, .text, .coefficients, .messages, .custom, .record, .any: name
    }
  }

  /// "from 1 to 4096", "at least 0"; nil where any number does.
  private static func bounds(_ range: ClosedRange<Int64>) -> String? {
    if range.upperBound < Int64.max { return "from \(range.lowerBound) to \(range.upperBound)" }
    return range.lowerBound == Int64.min ? nil : "at least \(range.lowerBound)"
  }
  private static func bounds(_ range: ClosedRange<Double>) -> String? {
    range.upperBound.isFinite ? "from \(range.lowerBound.shown) to \(range.upperBound.shown)" : nil
  }

  /// Why the value does not do, as the rest of a sentence; nil where it does.
  package func problem(with value: JSONValue) -> String? {
    func wrong(_ expected: String) -> String { "must be \(expected), and is \(value.asFound)" }
    switch self {
    case .any: break
    case .custom(let name):
      if value.isNull { return wrong("a \(name)") }
    case .record:
      guard case .object = value else { return wrong("an object") }
    case .string:
      guard case .string = value else { return wrong("a string") }
    case .choice(let allowed):
      let list = allowed.joined(separator: ", ")
      guard case .string(let text) = value else { return wrong("one of \(list)") }
      guard !allowed.contains(where: { $0.utf8.elementsEqual(text.utf8) }) else { return nil }
      let near = text.utf8.count <= 64 ? nearestName(to: text, among: allowed) : nil
      return "must be one of \(list), and is \(quoted(text))" + (near.map { "; did you mean '\($0)'?" } ?? "")
    case .integer(let range):
      guard case .integer(let number) = value else { return wrong("an integer") }
      if !range.contains(number), let bounds = Self.bounds(range) { return "must be \(bounds), and is \(number)" }
    case .number(let range):
      guard let number = value.doubleValue else { return wrong("a number") }
      if !range.contains(number) { return "must be \(Self.bounds(range) ?? "finite"), and is \(number.shown)" }
    case .boolean:
      guard case .bool = value else { return wrong("true or false") }
    case .list(let element, let least):
      let expected = "a \(name)"
      guard case .array(let items) = value else { return wrong(expected) }
      guard items.count >= least else { return "is an empty list" }
      for (index, item) in items.enumerated() {
        guard let problem = element.problem(with: item) else { continue }
        return "must be \(expected); item \(index) \(element == .string ? "is \(item.asFound)" : problem)"
      }
    case .text:
      if case .string = value { return nil }
      guard case .array(let items) = value else { return wrong("a string or a list of token ids") }
      return Self.problem(ofTokens: items, "a string or a list of token ids")
    case .tokens:
      guard case .array(let items) = value else { return wrong("a list of token ids") }
      guard !items.isEmpty else { return "is an empty list" }
      return Self.problem(ofTokens: items, "a list of token ids")
    case .coefficients:
      guard case .object(let object) = value else { return wrong("an object of numbers by expert") }
      guard !object.members.isEmpty else { return "names no expert" }
      for (key, value) in object.members where !Self.isCoefficient(value) {
        return "must give a number (or a list of them) for \(quoted(key)), and has \(value.asFound)"
      }
    case .messages:
      guard case .array(let items) = value else { return wrong("a list of messages") }
      guard !items.isEmpty else { return "is an empty list" }
      for (index, item) in items.enumerated() {
        guard case .object(let message) = item, message.members.count == 2, case .string? = message["role"],
          case .string? = message["content"]
        else { return "must be a list of {\"role\", \"content\"}; item \(index) is not" }
      }
    }
    return nil
  }

  private static func problem(ofTokens items: [JSONValue], _ expected: String) -> String? {
    for (index, item) in items.enumerated() {
      guard case .integer(let id) = item, (0...Int64(Int32.max)).contains(id) else {
        return "must be \(expected); item \(index) is \(item.asFound)"
      }
    }
    return nil
  }

  private static func isCoefficient(_ value: JSONValue) -> Bool {
    // A mixture is made in floats.
    func fits(_ value: JSONValue) -> Bool { value.doubleValue.map { Float($0).isFinite } ?? false }
    guard case .array(let items) = value else { return fits(value) }
    return !items.isEmpty && items.allSatisfy(fits)
  }
}

extension Double {
  /// 1 and 0.01, not 1.0 and 0.01.
  var shown: String { self == rounded() && abs(self) < 1e15 ? "\(Int64(self))" : "\(self)" }
}

extension JSONValue {
  /// For messages: "a list", "the number 1.5".
  package var asFound: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .integer(let value): "the integer \(value)"
    case .number(let value): "the number \(value)"
    case .string(let text): text.utf8.count <= 24 ? "the string \(quoted(text))" : "a string"
    case .array: "a list"
    case .object: "an object"
    }
  }
}

/// Cuts a text from outside to 64 bytes and escapes what a terminal or a log would act upon.
package func quoted(_ text: String, limit: Int = 64) -> String {
  var result = "'"
  var bytes = 0
  for scalar in text.unicodeScalars {
    bytes += UTF8.width(scalar)
    guard bytes <= limit else { return result + "...'" }
    switch scalar.value {
    case 0..<0x20, 0x7f..<0xa0, 0x200b...0x200f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff:
      result += "\\u{" + String(scalar.value, radix: 16) + "}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "'"
}
