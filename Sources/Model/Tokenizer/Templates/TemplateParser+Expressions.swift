/// Expressions, from the loosest binding to the tightest, as Jinja's own parser has them.
extension TemplateParser {
  /// One expression, or several with commas, which are a list.
  mutating func expressionList(isConditional: Bool = true) throws(ChatTemplateError) -> TemplateExpression {
    let first = isConditional ? try expression() : try disjunction()
    guard tokens.first?.kind == .sign(",") else { return first }
    let start = line
    var items = [first]
    while take(","), !tokens.isEmpty { items.append(isConditional ? try expression() : try disjunction()) }
    return try TemplateExpression(.list(items), line: start)
  }

  /// `a if test else b`
  mutating func expression() throws(ChatTemplateError) -> TemplateExpression {
    try descend()
    defer { nesting -= 1 }
    var value = try disjunction()
    while take(word: "if") {
      let start = line
      let test = try disjunction()
      let otherwise = take(word: "else") ? try expression() : nil
      value = try TemplateExpression(.conditional(test: test, then: value, otherwise: otherwise), line: start)
    }
    return value
  }

  private mutating func descend() throws(ChatTemplateError) {
    nesting += 1
    guard nesting <= Self.maximumNesting else { throw .tooDeep(line: line, allowed: Self.maximumNesting) }
  }

  private mutating func disjunction() throws(ChatTemplateError) -> TemplateExpression {
    var left = try conjunction()
    while take(word: "or") { left = try TemplateExpression(.or(left, try conjunction()), line: line) }
    return left
  }

  private mutating func conjunction() throws(ChatTemplateError) -> TemplateExpression {
    var left = try negation()
    while take(word: "and") { left = try TemplateExpression(.and(left, try negation()), line: line) }
    return left
  }

  private mutating func negation() throws(ChatTemplateError) -> TemplateExpression {
    guard take(word: "not") else { return try comparison() }
    try descend()
    defer { nesting -= 1 }
    return try TemplateExpression(.not(try negation()), line: line)
  }

  private mutating func comparison() throws(ChatTemplateError) -> TemplateExpression {
    let first = try sum()
    var others: [(sign: String, value: TemplateExpression)] = []
    while let sign = comparisonSign() { others.append((sign, try sum())) }
    return others.isEmpty ? first : try TemplateExpression(.comparison(first, others), line: line)
  }

  private mutating func comparisonSign() -> String? {
    switch tokens.first?.kind {
    case .sign(let sign) where ["==", "!=", "<", ">", "<=", ">="].contains(sign):
      advance()
      return sign
    case .name("in"):
      advance()
      return "in"
    case .name("not") where tokens.dropFirst().first?.kind == .name("in"):
      advance()
      advance()
      return "not in"
    default: return nil
    }
  }

  /// A chain of signs of one strength, from left to right.
  private mutating func chain(
    _ signs: [String], of operand: (inout TemplateParser) throws(ChatTemplateError) -> TemplateExpression
  ) throws(ChatTemplateError) -> TemplateExpression {
    var left = try operand(&self)
    while case .sign(let sign)? = tokens.first?.kind, signs.contains(sign) {
      advance()
      left = try TemplateExpression(.arithmetic(sign, left, try operand(&self)), line: line)
    }
    return left
  }

  private mutating func sum() throws(ChatTemplateError) -> TemplateExpression {
    try chain(["+", "-"]) { (parser) throws(ChatTemplateError) in try parser.concatenation() }
  }

  private mutating func concatenation() throws(ChatTemplateError) -> TemplateExpression {
    try chain(["~"]) { (parser) throws(ChatTemplateError) in try parser.product() }
  }

  private mutating func product() throws(ChatTemplateError) -> TemplateExpression {
    try chain(["*", "/", "//", "%"]) { (parser) throws(ChatTemplateError) in try parser.power() }
  }

  private mutating func power() throws(ChatTemplateError) -> TemplateExpression {
    try chain(["**"]) { (parser) throws(ChatTemplateError) in try parser.signed(hasFilters: true) }
  }

  /// A sign binds tighter than a filter: `-1|abs` is `(-1)|abs`.
  private mutating func signed(hasFilters: Bool) throws(ChatTemplateError) -> TemplateExpression {
    try descend()
    defer { nesting -= 1 }
    var value: TemplateExpression
    if take("-") {
      value = try TemplateExpression(.negative(try signed(hasFilters: false)), line: line)
    } else if take("+") {
      value = try TemplateExpression(.positive(try signed(hasFilters: false)), line: line)
    } else {
      value = try withPostfixes(try primary())
    }
    return hasFilters ? try withFilters(value) : value
  }

  private mutating func primary() throws(ChatTemplateError) -> TemplateExpression {
    guard let token = tokens.first else { throw unexpected("a value") }
    advance()
    func literal(_ value: TemplateValue) throws(ChatTemplateError) -> TemplateExpression {
      try TemplateExpression(.literal(value), line: token.line)
    }
    switch token.kind {
    case .name("true"), .name("True"): return try literal(.bool(true))
    case .name("false"), .name("False"): return try literal(.bool(false))
    case .name("none"), .name("None"): return try literal(.none)
    case .name(let name) where Self.words.contains(name):
      throw .syntax(line: token.line, problem: "expected a value, found '\(name)'")
    case .name(let name): return try TemplateExpression(.name(name), line: token.line)
    case .integer(let value): return try literal(.integer(value))
    case .number(let value): return try literal(.number(value))
    case .text(var text):
      // Neighbouring texts are one, as in Python.
      while case .text(let more)? = tokens.first?.kind {
        text.units += more.units
        advance()
      }
      return try literal(.text(text))
    case .sign("("):
      if take(")") { return try TemplateExpression(.list([]), line: token.line) }
      let value = try items(closing: ")")
      return value.hasComma ? try TemplateExpression(.list(value.items), line: token.line) : value.items[0]
    case .sign("["):
      if take("]") { return try TemplateExpression(.list([]), line: token.line) }
      return try TemplateExpression(.list(try items(closing: "]").items), line: token.line)
    case .sign("{"): return try dictionary(line: token.line)
    case .sign(let sign): throw .syntax(line: token.line, problem: "expected a value, found '\(sign)'")
    }
  }

  private static let words: Set<String> = ["in", "is", "if", "else", "and", "or", "not"]

  private mutating func items(
    closing: String
  ) throws(ChatTemplateError) -> (items: [TemplateExpression], hasComma: Bool) {
    var items: [TemplateExpression] = []
    var hasComma = false
    repeat {
      if hasComma, tokens.first?.kind == .sign(closing) { break }
      items.append(try expression())
      if tokens.first?.kind == .sign(",") { hasComma = true }
    } while take(",")
    try expect(closing)
    return (items, hasComma)
  }

  private mutating func dictionary(line: Int) throws(ChatTemplateError) -> TemplateExpression {
    var entries: [(key: TemplateExpression, value: TemplateExpression)] = []
    while !take("}") {
      if !entries.isEmpty {
        try expect(",")
        if take("}") { break }
      }
      let key = try expression()
      try expect(":")
      entries.append((key, try expression()))
    }
    return try TemplateExpression(.dictionary(entries), line: line)
  }

  // MARK: What follows a value

  private mutating func withPostfixes(_ start: TemplateExpression) throws(ChatTemplateError) -> TemplateExpression {
    var value = start
    while true {
      if take(".") {
        if let name = takeName() {
          value = try TemplateExpression(.member(value, TemplateText(name)), line: line)
        } else if case .integer(let index)? = tokens.first?.kind {
          advance()
          value = try TemplateExpression(
            .element(value, try TemplateExpression(.literal(.integer(index)), line: line)), line: line)
        } else {
          throw unexpected("a name")
        }
      } else if take("[") {
        value = try subscripted(value)
      } else if take("(") {
        value = try TemplateExpression(.call(value, try arguments()), line: line)
      } else {
        return value
      }
    }
  }

  /// `[index]` or `[from:to:step]`, behind its bracket.
  private mutating func subscripted(_ value: TemplateExpression) throws(ChatTemplateError) -> TemplateExpression {
    var bounds: [TemplateExpression?] = [nil]
    var isSlice = false
    while !take("]") {
      if take(":") {
        isSlice = true
        bounds.append(nil)
        guard bounds.count <= 3 else { throw unexpected("']'") }
      } else if bounds[bounds.count - 1] == nil {
        bounds[bounds.count - 1] = try expression()
      } else {
        throw unexpected("']'")
      }
    }
    if isSlice { return try TemplateExpression(.slice(value, bounds), line: line) }
    guard let index = bounds[0] else { throw .syntax(line: line, problem: "'[]' has no index") }
    return try TemplateExpression(.element(value, index), line: line)
  }

  /// Behind the opening bracket.
  private mutating func arguments() throws(ChatTemplateError) -> TemplateArguments {
    var arguments = TemplateArguments()
    var isFirst = true
    while !take(")") {
      if !isFirst {
        try expect(",")
        if take(")") { break }
      }
      isFirst = false
      if tokens.first?.kind == .sign("*") || tokens.first?.kind == .sign("**") {
        throw .unsupported(line: line, what: "arguments from a list ('*')")
      }
      if case .name(let name)? = tokens.first?.kind, tokens.dropFirst().first?.kind == .sign("=") {
        advance()
        advance()
        arguments.named.append((name, try expression()))
      } else {
        arguments.positional.append(try expression())
      }
    }
    return arguments
  }

  private mutating func withFilters(_ start: TemplateExpression) throws(ChatTemplateError) -> TemplateExpression {
    var value = start
    while true {
      if take("|") {
        guard let name = takeName() else { throw unexpected("a filter's name") }
        value = try TemplateExpression(.filter(value, name, take("(") ? try arguments() : .init()), line: line)
      } else if take(word: "is") {
        value = try test(of: value)
      } else if take("(") {
        value = try TemplateExpression(.call(value, try arguments()), line: line)
      } else {
        return value
      }
    }
  }

  /// `is [not] name`, with arguments in brackets or one without.
  private mutating func test(of value: TemplateExpression) throws(ChatTemplateError) -> TemplateExpression {
    let isNegated = take(word: "not")
    guard let name = takeName() else { throw unexpected("a test's name") }
    var arguments = TemplateArguments()
    if take("(") {
      arguments = try self.arguments()
    } else {
      switch tokens.first?.kind {
      case .text, .integer, .number, .sign("["), .sign("{"):
        arguments.positional = [try withPostfixes(try primary())]
      case .name(let word) where !Self.words.contains(word):
        arguments.positional = [try withPostfixes(try primary())]
      default: break
      }
    }
    let test = try TemplateExpression(.test(value, name, arguments), line: line)
    return isNegated ? try TemplateExpression(.not(test), line: line) : test
  }
}
