/// The statements of a template; expressions are in `TemplateParser+Expressions.swift`.
///
/// What Jinja has and no chat template needs (inheritance, includes, recursive loops) is refused by its name and line.
struct TemplateParser {
  static let maximumBytes = 1 << 20
  static let maximumTokens = 1 << 16
  /// Blocks within blocks.
  static let maximumBlocks = 50
  /// Brackets and signs within each other; each costs the parser some ten calls.
  static let maximumNesting = 50

  var sections: ArraySlice<TemplateLexer.Section>
  /// Of the tag that is being read.
  var tokens: ArraySlice<TemplateToken> = []
  var line = 1
  var nesting = 0
  private var blocks = 0
  private var loops = 0

  static func parse(_ text: String) throws(ChatTemplateError) -> TemplateProgram {
    guard text.utf8.count <= maximumBytes else {
      throw .tooLarge(what: "bytes", found: text.utf8.count, allowed: maximumBytes)
    }
    var parser = TemplateParser(sections: try TemplateLexer.sections(of: text)[...])
    return TemplateProgram(body: try parser.body(upTo: [], of: "").statements)
  }

  private init(sections: ArraySlice<TemplateLexer.Section>) { self.sections = sections }

  /// The statements up to a tag that begins with one of `ends`, which is left with its name read; with none, up to the
  /// template's end.
  private mutating func body(
    upTo ends: [String], of opener: String
  ) throws(ChatTemplateError) -> (statements: [TemplateStatement], end: String) {
    blocks += 1
    defer { blocks -= 1 }
    guard blocks <= Self.maximumBlocks else { throw .tooDeep(line: line, allowed: Self.maximumBlocks) }
    let openerLine = line
    var statements: [TemplateStatement] = []
    while let section = sections.popFirst() {
      switch section {
      case .text(let text): statements.append(.text(text))
      case .output(let found, let line):
        (tokens, self.line) = (found[...], line)
        statements.append(.output(try expressionList()))
        try finishTag()
      case .block(let found, let line):
        (tokens, self.line) = (found[...], line)
        guard let name = takeName() else { throw .syntax(line: line, problem: "a tag '{%' does not begin with a word") }
        if ends.contains(name) { return (statements, name) }
        try statement(name, into: &statements)
      }
    }
    guard ends.isEmpty else {
      throw .syntax(line: openerLine, problem: "'{% \(opener) %}' has no '{% \(ends.last ?? "") %}'")
    }
    return (statements, "")
  }

  /// The body of a block that ends with `end`, tag included.
  private mutating func block(_ opener: String, end: String) throws(ChatTemplateError) -> [TemplateStatement] {
    try finishTag()
    let body = try body(upTo: [end], of: opener).statements
    // Jinja lets a macro's name stand here once more.
    if end == "endmacro" { _ = takeName() }
    try finishTag()
    return body
  }

  private mutating func statement(
    _ name: String, into statements: inout [TemplateStatement]
  ) throws(ChatTemplateError) {
    switch name {
    case "if": statements.append(try branch())
    case "for": statements.append(try loop())
    case "set": statements.append(try set())
    case "macro": statements.append(.macro(try macro()))
    case "generation": statements.append(.scope(try block(name, end: "endgeneration")))
    case "break", "continue":
      guard loops > 0 else { throw .syntax(line: line, problem: "'\(name)' stands outside of a loop") }
      try finishTag()
      statements.append(.leave(name == "break" ? .breakLoop : .continueLoop))
    case "elif", "else", "endif", "endfor", "endset", "endmacro", "endgeneration":
      throw .syntax(line: line, problem: "'{% \(name) %}' ends nothing that is open here")
    default: throw .unsupported(line: line, what: "the tag '{% \(name.excerpt) %}'")
    }
  }

  private mutating func branch() throws(ChatTemplateError) -> TemplateStatement {
    var branches: [(test: TemplateExpression, body: [TemplateStatement])] = []
    var otherwise: [TemplateStatement] = []
    var word = "if"
    repeat {
      if word == "else" {
        otherwise = try block("else", end: "endif")
        return .branch(branches, otherwise: otherwise)
      }
      let test = try expression()
      try finishTag()
      let (statements, end) = try body(upTo: ["elif", "else", "endif"], of: word)
      branches.append((test, statements))
      word = end
    } while word != "endif"
    try finishTag()
    return .branch(branches, otherwise: otherwise)
  }

  private mutating func loop() throws(ChatTemplateError) -> TemplateStatement {
    let targets = try names()
    try expect(word: "in")
    let items = try expressionList(isConditional: false)
    let test = take(word: "if") ? try expression() : nil
    if take(word: "recursive") { throw .unsupported(line: line, what: "a loop that is 'recursive'") }
    try finishTag()
    loops += 1
    let (statements, end) = try body(upTo: ["else", "endfor"], of: "for")
    loops -= 1
    guard end == "else" else {
      try finishTag()
      return .loop(targets: targets, items: items, test: test, body: statements, otherwise: [])
    }
    let otherwise = try block("else", end: "endfor")
    return .loop(targets: targets, items: items, test: test, body: statements, otherwise: otherwise)
  }

  /// `a` or `a, b` or `(a, b)`.
  private mutating func names() throws(ChatTemplateError) -> [String] {
    let isBracketed = take("(")
    var names: [String] = []
    repeat { names.append(try variable()) } while take(",")
    if names.contains("loop") {
      throw .syntax(line: line, problem: "'loop' is the loop itself, and no name for its items")
    }
    if isBracketed { try expect(")") }
    return names
  }

  private mutating func set() throws(ChatTemplateError) -> TemplateStatement {
    let setLine = line
    var targets: [TemplateTarget] = []
    repeat {
      let name = try variable()
      targets.append(take(".") ? .member(try variable(), of: name) : .name(name))
    } while take(",")
    if take("=") {
      let value = try expressionList()
      try finishTag()
      return .set(targets, value)
    }
    guard targets.count == 1 else { throw .syntax(line: line, problem: "'{% set %}' has no '='") }
    return .capture(targets[0], line: setLine, body: try block("set", end: "endset"))
  }

  private mutating func macro() throws(ChatTemplateError) -> TemplateMacro {
    let name = try variable()
    try expect("(")
    var parameters: [(name: String, standard: TemplateExpression?)] = []
    while !take(")") {
      if !parameters.isEmpty { try expect(",") }
      parameters.append((try variable(), take("=") ? try expression() : nil))
    }
    // A loop around the macro is not around what it does when it is called.
    let outer = loops
    loops = 0
    let body = try block("macro", end: "endmacro")
    loops = outer
    return TemplateMacro(name: name, parameters: parameters, body: body)
  }
}

// MARK: Tokens

extension TemplateParser {
  mutating func take(_ sign: String) -> Bool {
    guard tokens.first?.kind == .sign(sign) else { return false }
    advance()
    return true
  }

  mutating func take(word: String) -> Bool {
    guard tokens.first?.kind == .name(word) else { return false }
    advance()
    return true
  }

  mutating func takeName() -> String? {
    guard case .name(let name)? = tokens.first?.kind else { return nil }
    advance()
    return name
  }

  mutating func advance() {
    if let token = tokens.popFirst() { line = token.line }
  }

  mutating func expect(_ sign: String) throws(ChatTemplateError) {
    guard take(sign) else { throw unexpected("'\(sign)'") }
  }

  private mutating func expect(word: String) throws(ChatTemplateError) {
    guard take(word: word) else { throw unexpected("'\(word)'") }
  }

  private mutating func variable() throws(ChatTemplateError) -> String {
    guard let name = takeName(), !Self.constants.contains(name) else { throw unexpected("a name") }
    return name
  }

  private static let constants: Set<String> = ["true", "false", "none", "True", "False", "None"]

  private mutating func finishTag() throws(ChatTemplateError) {
    guard tokens.isEmpty else { throw unexpected("the tag's end") }
  }

  func unexpected(_ expected: String) -> ChatTemplateError {
    .syntax(
      line: tokens.first?.line ?? line, problem: "expected \(expected), found \(tokens.first?.shown ?? "the tag's end")"
    )
  }
}

extension TemplateToken {
  var shown: String {
    switch kind {
    case .name(let name): quoted(name)
    case .text(let text): "the text \(quoted(text.string))"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .sign(let sign): "'\(sign)'"
    }
  }
}
