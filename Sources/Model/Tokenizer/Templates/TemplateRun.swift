import Settings

/// One rendering: the variables, the text so far, and the limits that a hostile template ends at.
///
/// Used by one thread, for one rendering. Memory and time are bounded by `steps`: what is evaluated costs one, and what makes or reads
/// a text one for every sixteen characters.
final class TemplateRun {
  /// A chat of one question takes some hundreds.
  private static let baseSteps = 200_000
  /// Statements, expressions and calls within each other.
  private static let maximumDepth = 300

  private(set) var line = 0
  let day: CalendarDay
  private let stepLimit: Int
  private var stepsLeft: Int
  private var depth = 0
  /// The innermost last; the first is the template's own.
  private var scopes: [[String: TemplateValue]]
  private var output = TemplateText("")
  var namespaces: [[String: TemplateValue]] = []

  /// - Parameter characters: what is to be rendered: a long conversation may take longer.
  init(variables: [String: TemplateValue], day: CalendarDay, characters: Int, messages: Int) {
    scopes = [variables]
    self.day = day
    stepLimit = Self.baseSteps + characters + 2000 * messages
    stepsLeft = stepLimit
  }

  func render(_ program: TemplateProgram) throws(ChatTemplateError) -> TemplateText {
    _ = try execute(program.body)
    return output
  }

  // MARK: Limits

  func step(cost: Int) throws(ChatTemplateError) {
    stepsLeft -= min(cost, stepLimit)
    guard stepsLeft >= 0 else { throw .endless(line: line, steps: stepLimit) }
  }

  func step(characters: Int) throws(ChatTemplateError) { try step(cost: 1 + characters / 16) }

  private func descend() throws(ChatTemplateError) {
    try step(cost: 1)
    depth += 1
    guard depth <= Self.maximumDepth else { throw .tooDeep(line: line, allowed: Self.maximumDepth) }
  }

  func failure(_ problem: String) -> ChatTemplateError { .failed(line: line, problem: problem) }

  // MARK: Statements

  private func execute(_ statements: [TemplateStatement]) throws(ChatTemplateError) -> TemplateFlow {
    try descend()
    defer { depth -= 1 }
    for statement in statements {
      let flow = try execute(statement)
      if flow != .next { return flow }
    }
    return .next
  }

  private func execute(_ statement: TemplateStatement) throws(ChatTemplateError) -> TemplateFlow {
    switch statement {
    case .text(let text): try write(text)
    case .output(let expression): try write(string(evaluate(expression)))
    case .branch(let branches, let otherwise):
      for branch in branches where try evaluate(branch.test).isTrue { return try execute(branch.body) }
      return try execute(otherwise)
    case .loop(let targets, let items, let test, let body, let otherwise):
      return try loop(targets, try evaluate(items), where: test, body, otherwise: otherwise)
    case .set(let targets, let expression):
      let value = try evaluate(expression)
      for (target, value) in zip(targets, try unpack(value, targets.count)) { try assign(value, to: target) }
    case .capture(let target, let line, let body):
      let text = try captured { () throws(ChatTemplateError) in _ = try scoped(body) }
      self.line = line
      try assign(.text(text), to: target)
    case .macro(let macro): scopes[scopes.count - 1][macro.name] = .macro(macro)
    case .scope(let body): return try scoped(body)
    case .leave(let flow): return flow
    }
    return .next
  }

  /// What is set in the body is gone behind it.
  private func scoped(_ body: [TemplateStatement]) throws(ChatTemplateError) -> TemplateFlow {
    scopes.append([:])
    defer { scopes.removeLast() }
    return try execute(body)
  }

  private func write(_ text: TemplateText) throws(ChatTemplateError) {
    try step(characters: text.count)
    output.units += text.units
  }

  private func captured(_ body: () throws(ChatTemplateError) -> Void) throws(ChatTemplateError) -> TemplateText {
    let outer = output
    output = TemplateText("")
    try body()
    defer { output = outer }
    return output
  }

  private func assign(_ value: TemplateValue, to target: TemplateTarget) throws(ChatTemplateError) {
    switch target {
    case .name(let name): scopes[scopes.count - 1][name] = value
    case .member(let member, let name):
      guard case .namespace(let place) = lookUp(name) else {
        throw failure("'\(name.excerpt).\(member.excerpt)' cannot be set, since '\(name.excerpt)' is no namespace")
      }
      namespaces[place][member] = value
    }
  }

  /// One value for each of several targets.
  private func unpack(_ value: TemplateValue, _ count: Int) throws(ChatTemplateError) -> [TemplateValue] {
    if count == 1 { return [value] }
    let items = try items(of: value)
    guard items.count == count else { throw failure("\(items.count) values for \(count) names") }
    return items
  }

  private func loop(
    _ targets: [String], _ value: TemplateValue, where test: TemplateExpression?, _ body: [TemplateStatement],
    otherwise: [TemplateStatement]
  ) throws(ChatTemplateError) -> TemplateFlow {
    scopes.append([:])
    defer { scopes.removeLast() }
    let innermost = scopes.count - 1
    func bind(_ item: TemplateValue) throws(ChatTemplateError) {
      scopes[innermost] = [:]
      for (name, value) in zip(targets, try unpack(item, targets.count)) { scopes[innermost][name] = value }
    }
    var items = try items(of: value)
    if let test {
      var kept: [TemplateValue] = []
      for item in items {
        try bind(item)
        if try evaluate(test).isTrue { kept.append(item) }
      }
      items = kept
    }
    guard !items.isEmpty else {
      scopes[innermost] = [:]
      return try execute(otherwise)
    }
    for (index, item) in items.enumerated() {
      try bind(item)
      scopes[innermost]["loop"] = .loop(TemplateLoop(items: items, index: index))
      if try execute(body) == .breakLoop { break }
    }
    return .next
  }

  // MARK: Values

  private func lookUp(_ name: String) -> TemplateValue {
    for scope in scopes.reversed() {
      if let value = scope[name] { return value }
    }
    return Self.functions.contains(name) ? .function(name) : .undefined(name)
  }

  func evaluate(_ expression: TemplateExpression) throws(ChatTemplateError) -> TemplateValue {
    line = expression.line
    try descend()
    defer { depth -= 1 }
    switch expression.kind {
    case .literal(let value): return value
    case .name(let name): return lookUp(name)
    case .list(let items): return try list(evaluate(items))
    case .dictionary(let entries): return try dictionary(entries)
    case .negative(let value): return try negative(evaluate(value))
    case .positive(let value):
      let value = try evaluate(value)
      guard value.asNumber != nil else { throw failure("'+' before \(value.kindName)") }
      return value
    case .not(let value): return .bool(!(try evaluate(value).isTrue))
    case .and(let left, let right):
      let left = try evaluate(left)
      return left.isTrue ? try evaluate(right) : left
    case .or(let left, let right):
      let left = try evaluate(left)
      return left.isTrue ? left : try evaluate(right)
    case .conditional(let test, let then, let otherwise):
      if try evaluate(test).isTrue { return try evaluate(then) }
      return try otherwise.map { (value) throws(ChatTemplateError) in try evaluate(value) }
        ?? .undefined("the other case")
    default: return try evaluateParts(expression)
    }
  }

  /// The kinds of expressions that need more than a line. Apart, so that a deep expression takes less of the stack.
  private func evaluateParts(_ expression: TemplateExpression) throws(ChatTemplateError) -> TemplateValue {
    let result: TemplateValue
    switch expression.kind {
    case .arithmetic(let sign, let left, let right):
      let (left, right) = (try evaluate(left), try evaluate(right))
      line = expression.line
      result = try compute(sign, left, right)
    case .comparison(let first, let others):
      var left = try evaluate(first)
      for (sign, other) in others {
        let right = try evaluate(other)
        line = expression.line
        guard try compare(sign, left, right) else { return .bool(false) }
        left = right
      }
      result = .bool(true)
    case .member(let value, let name):
      let value = try evaluate(value)
      line = expression.line
      result = try member(name, of: value)
    case .element(let value, let index):
      let (value, index) = (try evaluate(value), try evaluate(index))
      line = expression.line
      result = try element(index, of: value)
    case .slice(let value, let bounds):
      let value = try evaluate(value)
      let bounds = try bounds.map { (bound) throws(ChatTemplateError) in
        try bound.map { (bound) throws(ChatTemplateError) in try evaluate(bound) }
      }
      line = expression.line
      result = try slice(value, bounds)
    case .call(let callee, let arguments): result = try call(callee, arguments, line: expression.line)
    case .filter(let value, let name, let arguments):
      let (value, arguments) = (try evaluate(value), try evaluate(arguments))
      line = expression.line
      result = try filter(name, value, arguments)
    case .test(let value, let name, let arguments):
      let (value, arguments) = (try evaluate(value), try evaluate(arguments))
      line = expression.line
      result = .bool(try test(name, value, arguments))
    case .literal, .name, .list, .dictionary, .negative, .positive, .not, .and, .or, .conditional:
      preconditionFailure("evaluated by evaluate")
    }
    return result
  }

  private func evaluate(_ expressions: [TemplateExpression]) throws(ChatTemplateError) -> [TemplateValue] {
    var values: [TemplateValue] = []
    for expression in expressions { values.append(try evaluate(expression)) }
    return values
  }

  private func evaluate(_ arguments: TemplateArguments) throws(ChatTemplateError) -> TemplateCall {
    var named: [String: TemplateValue] = [:]
    for (name, value) in arguments.named { named[name] = try evaluate(value) }
    return TemplateCall(positional: try evaluate(arguments.positional), named: named)
  }

  private func dictionary(
    _ entries: [(key: TemplateExpression, value: TemplateExpression)]
  ) throws(ChatTemplateError) -> TemplateValue {
    var found: [(TemplateKey, TemplateValue)] = []
    for entry in entries {
      let given = try evaluate(entry.key)
      guard let key = TemplateKey(given) else {
        throw failure("\(given.kindName) as a key; keys are texts and integers")
      }
      found.append((key, try evaluate(entry.value)))
    }
    return try dictionary(found)
  }

  // MARK: Calls

  private func call(
    _ callee: TemplateExpression, _ arguments: TemplateArguments, line: Int
  ) throws(ChatTemplateError) -> TemplateValue {
    if case .member(let receiver, let name) = callee.kind {
      let receiver = try evaluate(receiver)
      let arguments = try evaluate(arguments)
      self.line = line
      // A macro or function that a namespace holds is no method.
      if case .namespace = receiver { return try call(try member(name, of: receiver), arguments) }
      return try method(name.string, of: receiver, arguments)
    }
    let function = try evaluate(callee)
    let arguments = try evaluate(arguments)
    self.line = line
    return try call(function, arguments)
  }

  private func call(_ function: TemplateValue, _ arguments: TemplateCall) throws(ChatTemplateError) -> TemplateValue {
    switch function {
    case .macro(let macro): return try call(macro, arguments)
    case .function(let name): return try call(name, arguments)
    case .undefined(let name): throw .unsupported(line: line, what: "the function '\(name.excerpt)'")
    default: throw failure("\(function.kindName) is called like a function")
    }
  }

  private func call(_ macro: TemplateMacro, _ arguments: TemplateCall) throws(ChatTemplateError) -> TemplateValue {
    guard arguments.positional.count <= macro.parameters.count else {
      throw failure(
        "'\(macro.name.excerpt)' takes \(macro.parameters.count) values, and gets \(arguments.positional.count)")
    }
    try step(cost: macro.parameters.count)
    let names = Set(macro.parameters.map(\.name))
    if let other = arguments.named.keys.sorted().first(where: { !names.contains($0) }) {
      throw failure("'\(macro.name.excerpt)' takes no '\(other.excerpt)'")
    }
    let outer = scopes
    scopes = [outer[0], [:]]
    defer { scopes = outer }
    for (index, parameter) in macro.parameters.enumerated() {
      if let given = arguments.value(index, parameter.name) {
        scopes[1][parameter.name] = given
      } else if let standard = parameter.standard {
        scopes[1][parameter.name] = try evaluate(standard)
      } else {
        scopes[1][parameter.name] = .undefined(parameter.name)
      }
    }
    return .text(try captured { () throws(ChatTemplateError) in _ = try execute(macro.body) })
  }
}

/// The arguments of a function, filter, test or method.
struct TemplateCall {
  var positional: [TemplateValue] = []
  var named: [String: TemplateValue] = [:]

  /// By its place or its name; none counts as given.
  func value(_ index: Int, _ name: String) -> TemplateValue? {
    index < positional.count ? positional[index] : named[name]
  }
}
