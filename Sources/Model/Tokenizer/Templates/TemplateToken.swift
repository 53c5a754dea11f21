/// A word of an expression.
struct TemplateToken: Sendable {
  enum Kind: Sendable, Equatable {
    case name(String)
    case text(TemplateText)
    case integer(Int)
    case number(Double)
    case sign(String)
  }

  let kind: Kind
  let line: Int

  private static let signs = [
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "(", ")", "[", "]", "{", "}", "<", ">", "=", ".",
    ":", "|", ",",
  ].map { Array($0.unicodeScalars) }

  private static let maximumName = 256

  /// The word at `start`, and where it ends.
  static func read(
    _ source: [Unicode.Scalar], at start: Int, line: Int
  ) throws(ChatTemplateError) -> (TemplateToken, end: Int) {
    let first = source[start]
    func made(_ kind: Kind, _ end: Int) -> (TemplateToken, Int) { (TemplateToken(kind: kind, line: line), end) }
    if first == "'" || first == "\"" {
      let (text, end) = try text(source, at: start, line: line)
      return made(.text(text), end)
    }
    if first == "_" || first.properties.isXIDStart {
      let word = source[start...].prefix { $0 == "_" || $0.properties.isXIDContinue }
      guard word.count <= maximumName else {
        throw .tooLarge(what: "characters in one name", found: word.count, allowed: maximumName)
      }
      return made(.name(string(word)), word.endIndex)
    }
    if ("0"..."9").contains(first) {
      let (kind, end) = try number(source, at: start, line: line)
      return made(kind, end)
    }
    for sign in signs where source[start...].starts(with: sign) {
      return made(.sign(string(sign[...])), start + sign.count)
    }
    throw .syntax(line: line, problem: "the character \(quoted(String(first))) means nothing here")
  }

  private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  /// `12`, `1_000`, `1.5`, `2e-3`.
  private static func number(
    _ source: [Unicode.Scalar], at start: Int, line: Int
  ) throws(ChatTemplateError) -> (Kind, end: Int) {
    func digits(from place: Int) -> Int {
      var place = place
      while place < source.count, ("0"..."9").contains(source[place]) || source[place] == "_" { place += 1 }
      return place
    }
    func isDigit(_ place: Int) -> Bool { place < source.count && ("0"..."9").contains(source[place]) }
    var end = digits(from: start)
    var isWhole = true
    if end < source.count, source[end] == ".", isDigit(end + 1) {
      isWhole = false
      end = digits(from: end + 1)
    }
    if end < source.count, source[end] == "e" || source[end] == "E" {
      let signed = end + 1 < source.count && (source[end + 1] == "-" || source[end + 1] == "+")
      if isDigit(end + (signed ? 2 : 1)) {
        isWhole = false
        end = digits(from: end + (signed ? 2 : 1))
      }
    }
    let text = string(source[start..<end]).replacing("_", with: "")
    if isWhole, let value = Int(text) { return (.integer(value), end) }
    if !isWhole, let value = Double(text) { return (.number(value), end) }
    throw .syntax(line: line, problem: "the number \(quoted(text)) is too large")
  }

  /// A literal with Python's escapes; an unknown one stands for itself, as there.
  private static func text(
    _ source: [Unicode.Scalar], at start: Int, line: Int
  ) throws(ChatTemplateError) -> (TemplateText, end: Int) {
    let quote = source[start]
    var units: [UInt32] = []
    var place = start + 1
    while place < source.count, source[place] != quote {
      guard source[place] == "\\", place + 1 < source.count else {
        units.append(source[place].value)
        place += 1
        continue
      }
      let code = source[place + 1]
      place += 2
      if let simple = escapes[code] {
        units += simple
      } else if let width = widths[code] {
        let digits = string(source[place..<min(place + width, source.count)])
        guard digits.unicodeScalars.count == width, let value = UInt32(digits, radix: 16), Unicode.Scalar(value) != nil
        else { throw .syntax(line: line, problem: "'\\\(code)\(digits)' is no character") }
        units.append(value)
        place += width
      } else if ("0"..."7").contains(code) {
        var value = code.value - 48
        var count = 1
        while count < 3, place < source.count, ("0"..."7").contains(source[place]) {
          value = value * 8 + source[place].value - 48
          (place, count) = (place + 1, count + 1)
        }
        units.append(value)
      } else {
        units += [0x5C, code.value]
      }
    }
    guard place < source.count else { throw .syntax(line: line, problem: "a text has no closing \(quote)") }
    return (TemplateText(units: units), place + 1)
  }

  private static let escapes: [Unicode.Scalar: [UInt32]] = [
    "\n": [], "\\": [0x5C], "'": [0x27], "\"": [0x22], "a": [7], "b": [8], "f": [12], "n": [10], "r": [13], "t": [9],
    "v": [11],
  ]
  private static let widths: [Unicode.Scalar: Int] = ["x": 2, "u": 4, "U": 8]
}
