/// A template cut into its texts and tags, white space treated as transformers has Jinja treat it: the line end behind
/// a block is dropped (`trim_blocks`), blanks before a block that begins its line too (`lstrip_blocks`), and what `-` asks.
struct TemplateLexer {
  enum Section {
    case text(TemplateText)
    /// `{{ ... }}`
    case output([TemplateToken], line: Int)
    /// `{% ... %}`
    case block([TemplateToken], line: Int)
  }

  private let source: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  /// Whether blanks at this position begin a line.
  private var beginsLine = true
  private var sections: [Section] = []

  static func sections(of text: String) throws(ChatTemplateError) -> [Section] {
    var lexer = TemplateLexer(text)
    return try lexer.read()
  }

  /// Line ends are one character, and one at the end does not count.
  private init(_ text: String) {
    var scalars: [Unicode.Scalar] = []
    var wasReturn = false
    for scalar in text.unicodeScalars {
      if scalar != "\n" || !wasReturn { scalars.append(scalar == "\r" ? "\n" : scalar) }
      wasReturn = scalar == "\r"
    }
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
  }

  private func has(_ text: String, at place: Int) -> Bool {
    var place = place
    for scalar in text.unicodeScalars {
      guard place < source.count, source[place] == scalar else { return false }
      place += 1
    }
    return true
  }

  /// Moves on and counts the lines.
  private mutating func advance(to place: Int) {
    for scalar in source[position..<place] where scalar == "\n" { line += 1 }
    position = place
  }

  private mutating func read() throws(ChatTemplateError) -> [Section] {
    while position < source.count {
      guard let begin = nextTag(from: position) else {
        addText(position..<source.count)
        break
      }
      let kind = source[begin + 1]
      let sign = begin + 2 < source.count ? source[begin + 2] : " "
      addText(position..<textEnd(begin, isBlock: kind != "{", sign: sign))
      advance(to: begin)
      beginsLine = false
      switch kind {
      case "#": try skipComment()
      case "{":
        let tagLine = line
        sections.append(.output(try tag(closing: "}}", signed: sign == "-" || sign == "+"), line: tagLine))
      default:
        let tagLine = line
        let tokens = try tag(closing: "%}", signed: sign == "-" || sign == "+")
        if case .name("raw")? = tokens.first?.kind {
          try addRaw()
        } else {
          sections.append(.block(tokens, line: tagLine))
        }
      }
    }
    return sections
  }

  private func nextTag(from start: Int) -> Int? {
    var place = start
    while place + 1 < source.count {
      if source[place] == "{", ["{", "%", "#"].contains(source[place + 1]) { return place }
      place += 1
    }
    return nil
  }

  /// Where the text before a tag ends that begins at `begin`.
  private func textEnd(_ begin: Int, isBlock: Bool, sign: Unicode.Scalar) -> Int {
    var end = begin
    if sign == "-" {
      while end > position, TemplateText.isBlank(source[end - 1].value) { end -= 1 }
    } else if isBlock, sign != "+" {
      while end > position, source[end - 1] != "\n", TemplateText.isBlank(source[end - 1].value) { end -= 1 }
      if end == position ? !beginsLine : source[end - 1] != "\n" { end = begin }
    }
    return end
  }

  private mutating func addText(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    sections.append(.text(TemplateText(units: source[range].map(\.value))))
  }

  /// Behind a tag: `-` takes all white space, a block or comment without `+` one line end.
  private mutating func close(sign: Unicode.Scalar?, isBlock: Bool, at end: Int) {
    var end = end
    if sign == "-" {
      while end < source.count, TemplateText.isBlank(source[end].value) { end += 1 }
    } else if isBlock, sign != "+", end < source.count, source[end] == "\n" {
      end += 1
    }
    beginsLine = end > 0 && source[end - 1] == "\n"
    advance(to: end)
  }

  private mutating func skipComment() throws(ChatTemplateError) {
    let start = position + (has("-", at: position + 2) || has("+", at: position + 2) ? 3 : 2)
    var end = start
    while !has("#}", at: end) {
      guard end < source.count else { throw .syntax(line: line, problem: "a comment '{#' has no '#}'") }
      end += 1
    }
    let sign = end > start ? source[end - 1] : nil
    close(sign: sign, isBlock: true, at: end + 2)
  }

  /// What stands up to `{% endraw %}` is text.
  private mutating func addRaw() throws(ChatTemplateError) {
    let start = position
    let startLine = line
    var place = position
    while let begin = nextTag(from: place) {
      guard let (sign, end) = endOfRaw(at: begin) else {
        place = begin + 1
        continue
      }
      addText(start..<textEnd(begin, isBlock: true, sign: source[begin + 2]))
      close(sign: sign, isBlock: true, at: end)
      return
    }
    throw .syntax(line: startLine, problem: "'{% raw %}' has no '{% endraw %}'")
  }

  /// Where `{% endraw %}` ends that begins at `begin`, and the sign in front of its end; nil of another tag. Looked at by
  /// itself, since what else stands between has no words that could be read, and no end perhaps.
  private func endOfRaw(at begin: Int) -> (sign: Unicode.Scalar?, end: Int)? {
    let word = "endraw"
    func behindBlanks(_ place: Int) -> Int {
      source[min(place, source.count)...].firstIndex { !TemplateText.isBlank($0.value) } ?? source.count
    }
    func isSigned(_ place: Int) -> Bool { has("-", at: place) || has("+", at: place) }
    guard has("{%", at: begin) else { return nil }
    let name = behindBlanks(begin + (isSigned(begin + 2) ? 3 : 2))
    guard has(word, at: name) else { return nil }
    let last = behindBlanks(name + word.count)
    let signed = isSigned(last)
    guard has("%}", at: last + (signed ? 1 : 0)) else { return nil }
    return (signed ? source[last] : nil, last + (signed ? 3 : 2))
  }

  /// The tokens of the tag at `position`, which is behind the tag then.
  private mutating func tag(closing: String, signed: Bool) throws(ChatTemplateError) -> [TemplateToken] {
    let tagLine = line
    advance(to: position + (signed ? 3 : 2))
    var tokens: [TemplateToken] = []
    var open: [Unicode.Scalar] = []
    while true {
      while position < source.count, TemplateText.isBlank(source[position].value) { advance(to: position + 1) }
      guard position < source.count else { throw .syntax(line: tagLine, problem: "a tag has no '\(closing)'") }
      if open.isEmpty {
        let scalar = source[position]
        let isSigned = scalar == "-" || (scalar == "+" && closing == "%}")
        if has(closing, at: position + (isSigned ? 1 : 0)) {
          // `{% raw %}` alone keeps the line end behind it.
          let isRaw = tokens.count == 1 && tokens[0].kind == .name("raw")
          close(sign: isSigned ? scalar : nil, isBlock: closing == "%}" && !isRaw, at: position + (isSigned ? 3 : 2))
          return tokens
        }
      }
      let (token, end) = try TemplateToken.read(source, at: position, line: line)
      if case .sign(let sign) = token.kind { try balance(&open, sign) }
      tokens.append(token)
      guard tokens.count <= TemplateParser.maximumTokens else {
        throw .tooLarge(what: "words in one tag", found: tokens.count, allowed: TemplateParser.maximumTokens)
      }
      advance(to: end)
    }
  }

  /// Within brackets `}}` closes two of them, and not the tag.
  private func balance(_ open: inout [Unicode.Scalar], _ sign: String) throws(ChatTemplateError) {
    switch sign {
    case "(": open.append(")")
    case "[": open.append("]")
    case "{": open.append("}")
    case ")", "]", "}":
      guard let expected = open.popLast() else { throw .syntax(line: line, problem: "'\(sign)' closes nothing") }
      guard String(expected) == sign else {
        throw .syntax(line: line, problem: "'\(sign)' stands where '\(expected)' should")
      }
    default: break
    }
  }
}
