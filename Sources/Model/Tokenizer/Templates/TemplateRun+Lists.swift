/// Filters that go through the items of a list.
extension TemplateRun {
  /// `select(test)`, `selectattr(attribute, test)` and their opposites; without a test what is true is meant.
  func select(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(ChatTemplateError) -> TemplateValue {
    let isByAttribute = name.hasSuffix("attr")
    let isWanted = name.hasPrefix("select")
    var arguments = call.positional[...]
    let attribute = isByAttribute ? arguments.popFirst() : nil
    if isByAttribute, attribute == nil { throw failure("the filter '\(name)' needs an attribute") }
    let testName = arguments.popFirst()?.asText?.string
    var kept: [TemplateValue] = []
    // Of what is empty or none, nothing is gone through.
    for item in value.isTrue ? try items(of: value) : [] {
      try step(cost: 1)
      let tested = try self.attribute(attribute, of: item)
      let passes: Bool =
        if let testName {
          try test(testName, tested, TemplateCall(positional: Array(arguments), named: call.named))
        } else { tested.isTrue }
      if passes == isWanted { kept.append(item) }
    }
    return try list(kept)
  }

  /// `map(attribute='a.b', default=...)` or `map('filter', arguments)`.
  func map(_ value: TemplateValue, _ call: TemplateCall) throws(ChatTemplateError) -> TemplateValue {
    var mapped: [TemplateValue] = []
    for item in value.isTrue ? try items(of: value) : [] {
      try step(cost: 1)
      if let attribute = call.named["attribute"] {
        let found = try self.attribute(attribute, of: item)
        if case .undefined = found, let standard = call.named["default"] {
          mapped.append(standard)
        } else {
          mapped.append(found)
        }
      } else {
        guard let name = call.positional.first?.asText else { throw failure("'map' needs an attribute or a filter") }
        let arguments = TemplateCall(positional: Array(call.positional.dropFirst()), named: call.named)
        mapped.append(try filter(name.string, item, arguments))
      }
    }
    return try list(mapped)
  }

  /// A member by its path, `function.name`; the item itself where none is asked for.
  func attribute(_ path: TemplateValue?, of item: TemplateValue) throws(ChatTemplateError) -> TemplateValue {
    guard let path, !path.isNone else { return item }
    guard let text = path.asText else { return try element(path, of: item) }
    try step(characters: text.count)
    var value = item
    for name in text.split(by: TemplateText(".")) {
      if let index = Int(name.string) {
        value = try element(.integer(index), of: value)
      } else {
        value = try member(name, of: value)
      }
    }
    return value
  }

  func attribute(
    _ path: TemplateValue?, ofAll items: [TemplateValue]
  ) throws(ChatTemplateError) -> [TemplateValue] {
    try items.map { (item) throws(ChatTemplateError) in try attribute(path, of: item) }
  }

  func ordered(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(ChatTemplateError) -> TemplateValue
  {
    if name == "reverse", case .text(let text) = value {
      try step(characters: text.count)
      return .text(text.reversed())
    }
    let items = try items(of: value)
    try step(cost: items.count)
    switch name {
    case "reverse": return try list(items.reversed())
    case "sum":
      var sum = call.value(1, "start") ?? .integer(0)
      for item in try attribute(call.value(0, "attribute"), ofAll: items) { sum = try compute("+", sum, item) }
      return sum
    case "unique":
      let keys = try attribute(call.value(1, "attribute"), ofAll: items)
      let ignoresCase = call.value(0, "case_sensitive")?.isTrue != true
      var kept: [(key: TemplateValue, item: TemplateValue)] = []
      for (key, item) in zip(keys, items) {
        let key = try folded(key, ignoresCase)
        if (key.depth ?? 1) > 0 { throw failure("the filter 'unique' of \(key.kindName)") }
        var isNew = true
        for other in kept where isNew { isNew = try !isEqual(other.key, key) }
        if isNew { kept.append((key, item)) }
      }
      return try list(kept.map(\.item))
    default:
      let isSort = name == "sort"
      let attribute = call.value(isSort ? 2 : 1, "attribute")
      let ignoresCase = call.value(isSort ? 1 : 0, "case_sensitive")?.isTrue != true
      let isReversed = isSort && call.value(0, "reverse")?.isTrue == true
      let sorted = try sorted(items, ignoringCase: ignoresCase, descending: isReversed || name == "max") {
        (item) throws(ChatTemplateError) in try self.attribute(attribute, of: item)
      }
      return isSort ? try list(sorted) : sorted.first ?? .undefined("the \(name) of nothing")
    }
  }

  private func folded(_ value: TemplateValue, _ ignoresCase: Bool) throws(ChatTemplateError) -> TemplateValue {
    guard ignoresCase, case .text(let text) = value else { return value }
    try step(characters: text.count)
    return .text(text.mapped(to: .lower))
  }

  /// Equal keys stay in their order, also where the order descends, as Python's `sorted` has it.
  func sorted(
    _ items: [TemplateValue], ignoringCase: Bool, descending: Bool = false,
    by key: (TemplateValue) throws(ChatTemplateError) -> TemplateValue
  ) throws(ChatTemplateError) -> [TemplateValue] {
    var keyed: [(key: TemplateValue, item: TemplateValue)] = []
    for item in items { keyed.append((try folded(try key(item), ignoringCase), item)) }
    return try merged(keyed[...], descending).map(\.item)
  }

  /// A merge sort, since the comparison throws.
  private func merged(
    _ items: ArraySlice<(key: TemplateValue, item: TemplateValue)>, _ descending: Bool
  ) throws(ChatTemplateError) -> [(key: TemplateValue, item: TemplateValue)] {
    guard items.count > 1 else { return Array(items) }
    let middle = items.startIndex + items.count / 2
    var left = try merged(items[..<middle], descending)[...]
    var right = try merged(items[middle...], descending)[...]
    var result: [(key: TemplateValue, item: TemplateValue)] = []
    result.reserveCapacity(items.count)
    while let first = left.first, let second = right.first {
      try step(cost: 1)
      let takesRight = descending ? try isBelow(first.key, second.key) : try isBelow(second.key, first.key)
      result.append(takesRight ? second : first)
      if takesRight { right.removeFirst() } else { left.removeFirst() }
    }
    return result + left + right
  }
}
