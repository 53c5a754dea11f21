/// Jinja's filters: `value | name(arguments)`. All that bear on texts and lists of messages; those that make pages are not here.
extension TemplateRun {
  func filter(
    _ name: String, _ value: TemplateValue, _ call: TemplateCall
  ) throws(ChatTemplateError) -> TemplateValue {
    switch name {
    case "default", "d":
      let isWanted = isUndefined(value) || (call.value(1, "boolean")?.isTrue == true && !value.isTrue)
      return isWanted ? call.value(0, "default_value") ?? .text("") : value
    case "length", "count": return .integer(try length(of: value))
    case "tojson": return try json(value, call)
    case "string", "safe": return .text(try string(value))
    case "list": return try list(items(of: value))
    case "items":
      if case .undefined = value { return try list([]) }
      return try pairs(of: value)
    case "first": return try element(.integer(0), ofItems: value, name)
    case "last": return try element(.integer(-1), ofItems: value, name)
    case "join":
      let parts = try attribute(call.value(1, "attribute"), ofAll: try items(of: value)).map {
        (item) throws(ChatTemplateError) in try string(item)
      }
      return .text(
        try join(
          parts,
          by: try call.value(0, "d").map { (separator) throws(ChatTemplateError) in
            try string(separator)
          } ?? TemplateText("")))
    case "select", "reject", "selectattr", "rejectattr": return try select(name, value, call)
    case "map": return try map(value, call)
    case "sort", "unique", "min", "max", "sum", "reverse": return try ordered(name, value, call)
    case "dictsort":
      guard case .list(let pairs) = try pairs(of: value) else { return value }
      return try list(
        try sorted(pairs.items, ignoringCase: true) { (pair) throws(ChatTemplateError) in
          try self.element(.integer(0), of: pair)
        })
    case "int", "float", "abs", "round": return try number(name, value, call)
    case "trim", "upper", "lower", "capitalize", "title", "replace", "indent": return .text(try text(name, value, call))
    default: throw .unsupported(line: line, what: "the filter '\(name.excerpt)'")
    }
  }

  private func isUndefined(_ value: TemplateValue) -> Bool {
    if case .undefined = value { return true }
    return false
  }

  func length(of value: TemplateValue) throws(ChatTemplateError) -> Int {
    switch value {
    case .undefined: return 0
    case .text(let text): return text.count
    case .list(let list): return list.items.count
    case .dictionary(let dictionary): return dictionary.entries.count
    default: throw failure("\(value.kindName) has no length")
    }
  }

  /// Keys and values of a dictionary, as lists of two.
  func pairs(of value: TemplateValue) throws(ChatTemplateError) -> TemplateValue {
    guard case .dictionary(let dictionary) = value else { throw failure("\(value.kindName) has no keys") }
    var pairs: [TemplateValue] = []
    for entry in dictionary.entries { pairs.append(try list([entry.key.value, entry.value])) }
    return try list(pairs)
  }

  private func element(
    _ index: TemplateValue, ofItems value: TemplateValue, _ name: String
  ) throws(ChatTemplateError) -> TemplateValue {
    let items = try items(of: value)
    guard let item = index.asInteger == 0 ? items.first : items.last else { return .undefined("the \(name) item") }
    return item
  }

  /// With transformers' arguments, which are not Jinja's.
  private func json(_ value: TemplateValue, _ call: TemplateCall) throws(ChatTemplateError) -> TemplateValue {
    if call.value(0, "ensure_ascii")?.isTrue == true {
      throw .unsupported(line: line, what: "'tojson' with 'ensure_ascii'")
    }
    var indent: Int?
    if let given = call.value(1, "indent"), !given.isNone {
      guard let width = given.asInteger, (0...64).contains(width) else {
        throw failure("'tojson' is to indent by \(given.kindName); 0 to 64 blanks are possible")
      }
      indent = width
    }
    var separators = (item: indent == nil ? ", " : ",", key: ": ")
    if let given = call.value(2, "separators"), case .list(let list) = given {
      guard list.items.count == 2, let item = list.items[0].asText, let key = list.items[1].asText else {
        throw failure("'separators' of 'tojson' are two texts")
      }
      try step(characters: item.count + key.count)
      separators = (item.string, key.string)
    }
    return .text(
      try json(value, indent: indent, separators: separators, sortKeys: call.value(3, "sort_keys")?.isTrue == true))
  }

  // MARK: Texts

  private func text(
    _ name: String, _ value: TemplateValue, _ call: TemplateCall
  ) throws(ChatTemplateError) -> TemplateText {
    if name == "indent", value.asText == nil { throw failure("the filter 'indent' of \(value.kindName)") }
    let text = try string(value)
    try step(characters: text.count)
    switch name {
    case "trim": return text.stripped(of: call.value(0, "chars")?.asText)
    case "upper": return text.mapped(to: .upper)
    case "lower": return text.mapped(to: .lower)
    case "capitalize": return text.capitalized
    // Words begin behind these only, unlike those of the method `title`.
    case "title":
      return text.titled(.upper) { TemplateText.isBlank($0) || [0x2D, 0x28, 0x7B, 0x5B, 0x3C].contains($0) }
    case "replace":
      guard let old = call.value(0, "old"), let new = call.value(1, "new") else {
        throw failure("the filter 'replace' needs two texts")
      }
      return try replace(text, try string(old), try string(new), limit: call.value(2, "count"))
    default: return try indented(text, call)
    }
  }

  func replace(
    _ text: TemplateText, _ old: TemplateText, _ new: TemplateText, limit: TemplateValue?
  ) throws(ChatTemplateError) -> TemplateText {
    var most = Int.max
    if let limit, !limit.isNone {
      guard let given = limit.asInteger else { throw failure("the number of replacements is \(limit.kindName)") }
      if given >= 0 { most = given }
    }
    try step(characters: text.count + old.count)
    let (added, overflows) = text.places(of: old, limit: most).count.multipliedReportingOverflow(by: new.count)
    try step(characters: overflows ? .max : added)
    return text.replacing(old, with: new, limit: most)
  }

  private func indented(_ text: TemplateText, _ call: TemplateCall) throws(ChatTemplateError) -> TemplateText {
    var blanks = TemplateText("    ")
    if let width = call.value(0, "width") {
      if let given = width.asText {
        blanks = given
      } else {
        guard let count = width.asInteger, (0...64).contains(count) else {
          throw failure("the filter 'indent' by \(width.kindName); 0 to 64 blanks are possible")
        }
        blanks = TemplateText(String(repeating: " ", count: count))
      }
    }
    let withFirst = call.value(1, "first")?.isTrue == true
    let withBlank = call.value(2, "blank")?.isTrue == true
    var lines = (text + TemplateText("\n")).lines
    try step(characters: text.count + lines.count * (blanks.count + 1))
    for index in lines.indices where index > 0 ? withBlank || !lines[index].isEmpty : withFirst {
      lines[index] = blanks + lines[index]
    }
    return TemplateText("\n").joining(lines)
  }

  func join(_ parts: [TemplateText], by separator: TemplateText) throws(ChatTemplateError) -> TemplateText {
    var length = 0
    for part in parts { length += part.count + separator.count }
    try step(characters: length)
    return separator.joining(parts)
  }

  // MARK: Numbers

  private func number(
    _ name: String, _ value: TemplateValue, _ call: TemplateCall
  ) throws(ChatTemplateError) -> TemplateValue {
    func parsed() throws(ChatTemplateError) -> TemplateValue? {
      if case .undefined = value { throw failure("the filter '\(name)' of \(value.kindName)") }
      guard case .text(let text) = value else { return value.asNumber == nil ? nil : value }
      try step(characters: text.count)
      let string = text.stripped().string
      return Int(string).map { .integer($0) } ?? Double(string).map { .number($0) }
    }
    switch name {
    case "int":
      guard let found = try parsed(), let number = found.asNumber else {
        return call.value(0, "default") ?? .integer(0)
      }
      if let whole = found.asInteger { return .integer(whole) }
      guard let whole = Int(exactly: number.rounded(.towardZero)) else {
        return call.value(0, "default") ?? .integer(0)
      }
      return .integer(whole)
    case "float": return try parsed()?.asNumber.map { .number($0) } ?? call.value(0, "default") ?? .number(0)
    case "abs":
      if let number = value.asInteger { return number < 0 ? try negative(value) : .integer(number) }
      guard let number = value.asNumber else { throw failure("the filter 'abs' of \(value.kindName)") }
      return .number(number.magnitude)
    default:
      guard let number = value.asNumber, call.positional.isEmpty, call.named.isEmpty else {
        throw .unsupported(line: line, what: "the filter 'round' with arguments or of \(value.kindName)")
      }
      return .number(number.rounded(.toNearestOrEven))
    }
  }
}
