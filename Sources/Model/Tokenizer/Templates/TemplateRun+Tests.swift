/// Jinja's tests: `value is name(arguments)`.
extension TemplateRun {
  func test(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(ChatTemplateError) -> Bool {
    if let known = simpleTest(name, value) { return known }
    switch name {
    case "==", "!=", "<", "<=", ">", ">=":
      guard let other = call.positional.first else { throw failure("the test '\(name)' needs a value") }
      return try compare(name, value, other)
    case "eq", "equalto", "ne", "lt", "lessthan", "le", "gt", "greaterthan", "ge", "in", "sameas", "divisibleby":
      guard let other = call.positional.first else { throw failure("the test '\(name)' needs a value") }
      switch name {
      case "eq", "equalto": return try isEqual(value, other)
      case "ne": return try !isEqual(value, other)
      case "lt", "lessthan": return try isBelow(value, other)
      case "gt", "greaterthan": return try isBelow(other, value)
      case "le": return try compare("<=", value, other)
      case "ge": return try compare(">=", value, other)
      case "in": return try contains(other, value)
      case "divisibleby": return try isEqual(compute("%", value, other), .integer(0))
      default:
        // Only values that are alone of their kind are the same whenever they are equal.
        if case .bool(let left) = value, case .bool(let right) = other { return left == right }
        return value.isNone && other.isNone
      }
    case "odd", "even":
      return try isEqual(compute("%", value, .integer(2)), .integer(name == "odd" ? 1 : 0))
    case "lower", "upper":
      let text = try string(value)
      try step(characters: text.count)
      let form = text.mapped(to: name == "lower" ? .lower : .upper)
      return form == text && text.mapped(to: name == "lower" ? .upper : .lower) != text
    default: throw .unsupported(line: line, what: "the test '\(name.excerpt)'")
    }
  }

  private func simpleTest(_ name: String, _ value: TemplateValue) -> Bool? {
    switch (name, value) {
    case ("defined", .undefined): return false
    case ("defined", _): return true
    case ("undefined", .undefined): return true
    case ("undefined", _): return false
    case ("none", _): return value.isNone
    case ("boolean", .bool): return true
    case ("true", .bool(let value)): return value
    case ("false", .bool(let value)): return !value
    case ("integer", .integer), ("float", .number), ("number", .integer), ("number", .number), ("number", .bool),
      ("string", .text), ("mapping", .dictionary):
      return true
    case ("sequence", .text), ("sequence", .list), ("sequence", .dictionary), ("sequence", .undefined),
      ("iterable", .text), ("iterable", .list), ("iterable", .dictionary), ("iterable", .undefined),
      ("iterable", .loop), ("callable", .macro), ("callable", .function),
      ("callable", .undefined):
      return true
    case ("boolean", _), ("true", _), ("false", _), ("integer", _), ("float", _), ("number", _), ("string", _),
      ("mapping", _), ("sequence", _), ("iterable", _), ("callable", _):
      return false
    default: return nil
    }
  }
}
