import Glibc

/// Signs, members, slices, and what lists are made of.
extension TemplateRun {
  /// Lists within lists.
  private static let maximumListDepth = 32

  func list(_ items: [TemplateValue]) throws(ChatTemplateError) -> TemplateValue {
    .list(TemplateList(items: items, depth: try depth(of: items)))
  }

  /// Of equal keys the last value counts.
  func dictionary(_ entries: [(TemplateKey, TemplateValue)]) throws(ChatTemplateError) -> TemplateValue {
    var kept: [(key: TemplateKey, value: TemplateValue)] = []
    var places: [TemplateKey: Int] = [:]
    for (key, value) in entries {
      try step(characters: key.text.count)
      if let place = places[key] {
        kept[place].value = value
      } else {
        places[key] = kept.count
        kept.append((key, value))
      }
    }
    return .dictionary(TemplateDictionary(entries: kept, depth: try depth(of: kept.map(\.value))))
  }

  private func depth(of items: [TemplateValue]) throws(ChatTemplateError) -> Int {
    try step(cost: items.count)
    var deepest = 0
    for item in items {
      guard let depth = item.depth else { throw failure("\(item.kindName) cannot be put into a list") }
      deepest = max(deepest, depth)
    }
    guard deepest < Self.maximumListDepth else { throw .tooDeep(line: line, allowed: Self.maximumListDepth) }
    return deepest + 1
  }

  /// What a loop goes through.
  func items(of value: TemplateValue) throws(ChatTemplateError) -> [TemplateValue] {
    switch value {
    case .undefined: return []
    case .list(let list): return list.items
    case .dictionary(let dictionary):
      try step(cost: dictionary.entries.count)
      return dictionary.entries.map(\.key.value)
    case .text(let text):
      try step(cost: text.count)
      return text.units.map { .text(TemplateText(units: [$0])) }
    default: throw failure("\(value.kindName) has no items to go through")
    }
  }

  // MARK: Members

  func member(_ name: TemplateText, of value: TemplateValue) throws(ChatTemplateError) -> TemplateValue {
    try step(characters: name.count)
    switch value {
    case .undefined(let missing):
      throw failure("'\(missing.excerpt)' is not defined, so it has no '\(name.string.excerpt)'")
    case .dictionary(let dictionary):
      try step(cost: dictionary.entries.count)
      return dictionary[.text(name)] ?? .undefined(name.string)
    case .namespace(let place): return namespaces[place][name.string] ?? .undefined(name.string)
    case .loop(let loop): return loop.member(name.string) ?? .undefined("loop." + name.string)
    case .none, .bool, .integer, .number, .text, .list, .macro, .function: return .undefined(name.string)
    }
  }

  func element(_ index: TemplateValue, of value: TemplateValue) throws(ChatTemplateError) -> TemplateValue {
    if let name = index.asText { return try member(name, of: value) }
    if case .undefined(let missing) = value { throw failure("'\(missing.excerpt)' is not defined, so it has no items") }
    guard let index = index.asInteger else { return .undefined("an item by \(index.kindName)") }
    func place(_ count: Int) -> Int? {
      let place = index < 0 ? index &+ count : index
      return (0..<count).contains(place) ? place : nil
    }
    switch value {
    case .list(let list): return place(list.items.count).map { list.items[$0] } ?? .undefined("item \(index)")
    case .text(let text):
      return place(text.count).map { .text(TemplateText(units: [text.units[$0]])) } ?? .undefined("character \(index)")
    case .dictionary(let dictionary):
      try step(cost: dictionary.entries.count)
      return dictionary[.integer(index)] ?? .undefined("item \(index)")
    default: return .undefined("item \(index)")
    }
  }

  /// `value[from:to:step]`, as Python slices.
  func slice(_ value: TemplateValue, _ bounds: [TemplateValue?]) throws(ChatTemplateError) -> TemplateValue {
    var numbers: [Int?] = []
    for bound in bounds {
      guard let given = bound, !given.isNone else {
        numbers.append(nil)
        continue
      }
      guard let number = given.asInteger else { throw failure("a slice from \(given.kindName)") }
      numbers.append(number)
    }
    let step = (numbers.count > 2 ? numbers[2] : nil) ?? 1
    guard step != 0 else { throw failure("a slice with the step 0") }
    func places(_ count: Int) throws(ChatTemplateError) -> [Int] {
      func clamped(_ bound: Int?, otherwise: Int) -> Int {
        guard let bound else { return otherwise }
        let place = bound < 0 ? bound &+ count : bound
        return step > 0 ? min(max(place, 0), count) : min(max(place, -1), count - 1)
      }
      let from = clamped(numbers[0], otherwise: step > 0 ? 0 : count - 1)
      let to = clamped(numbers.count > 1 ? numbers[1] : nil, otherwise: step > 0 ? count : -1)
      try self.step(characters: abs(to - from))
      let jump = step > 0 ? min(step, count + 1) : max(step, -count - 1)
      return Array(stride(from: from, to: to, by: jump))
    }
    switch value {
    case .text(let text): return .text(TemplateText(units: try places(text.count).map { text.units[$0] }))
    case .list(let list): return try self.list(try places(list.items.count).map { list.items[$0] })
    default: throw failure("a slice of \(value.kindName)")
    }
  }

  // MARK: Arithmetic

  func negative(_ value: TemplateValue) throws(ChatTemplateError) -> TemplateValue {
    if let number = value.asInteger, number != .min { return .integer(-number) }
    guard case .number(let number) = value else { throw failure("'-' before \(value.kindName)") }
    return .number(-number)
  }

  func compute(_ sign: String, _ left: TemplateValue, _ right: TemplateValue) throws(ChatTemplateError) -> TemplateValue
  {
    if sign == "~" { return .text(try join([try string(left), try string(right)], by: "")) }
    switch (sign, left, right) {
    case ("+", .text(let left), .text(let right)): return .text(try join([left, right], by: ""))
    case ("+", .list(let left), .list(let right)): return try list(left.items + right.items)
    case ("*", .text(let text), _), ("*", _, .text(let text)):
      guard let count = (left.asText == nil ? left : right).asInteger else { break }
      let (length, overflows) = text.count.multipliedReportingOverflow(by: max(0, count))
      try step(characters: overflows ? .max : length)
      // An empty text is the same however often.
      if text.isEmpty { return .text(text) }
      return .text(TemplateText(units: Array(repeatElement(text.units, count: max(0, count)).joined())))
    case ("*", .list(let found), _), ("*", _, .list(let found)):
      guard let count = (left.asInteger ?? right.asInteger).map({ max(0, $0) }) else { break }
      let (length, overflows) = found.items.count.multipliedReportingOverflow(by: count)
      try step(cost: overflows ? .max : length)
      if found.items.isEmpty { return .list(found) }
      return try list(Array(repeatElement(found.items, count: count).joined()))
    default: break
    }
    let wrong = failure("'\(sign)' between \(left.kindName) and \(right.kindName)")
    if sign != "/", let left = left.asInteger, let right = right.asInteger {
      if let result = try integer(sign, left, right) { return .integer(result) }
    }
    guard let left = left.asNumber, let right = right.asNumber else { throw wrong }
    if ["/", "//", "%"].contains(sign), right == 0 { throw failure("a division by 0") }
    let result =
      switch sign {
      case "+": left + right
      case "-": left - right
      case "*": left * right
      case "/": left / right
      case "//": (left / right).rounded(.down)
      case "%": left - right * (left / right).rounded(.down)
      default: pow(left, right)
      }
    guard result.isFinite else { throw failure("the result of '\(sign)' is no number") }
    return .number(result)
  }

  /// Nil where the result is no integer. Divisions round down, as in Python.
  private func integer(_ sign: String, _ left: Int, _ right: Int) throws(ChatTemplateError) -> Int? {
    let (value, overflows): (Int, Bool)
    switch sign {
    case "+": (value, overflows) = left.addingReportingOverflow(right)
    case "-": (value, overflows) = left.subtractingReportingOverflow(right)
    case "*": (value, overflows) = left.multipliedReportingOverflow(by: right)
    case "//", "%":
      guard right != 0 else { throw failure("a division by 0") }
      guard right != -1 else { return sign == "%" ? 0 : try integer("*", left, -1) }
      let rest = left % right
      let isBelow = rest != 0 && (rest < 0) != (right < 0)
      return sign == "%" ? rest + (isBelow ? right : 0) : left / right - (isBelow ? 1 : 0)
    default:
      guard right >= 0 else { return nil }
      var power = 1
      for _ in 0..<min(right, 64) where left != 0 {
        let (next, isOver) = power.multipliedReportingOverflow(by: left)
        guard !isOver else { throw failure("the result of '**' is too large") }
        power = next
      }
      // Only 0, 1 and -1 have powers beyond 64 that fit.
      if left == 0 { return right == 0 ? 1 : 0 }
      return right > 64 && left == -1 ? (right % 2 == 0 ? 1 : -1) : power
    }
    guard !overflows else { throw failure("the result of '\(sign)' is too large") }
    return value
  }

  // MARK: Comparison

  func compare(_ sign: String, _ left: TemplateValue, _ right: TemplateValue) throws(ChatTemplateError) -> Bool {
    switch sign {
    case "==": return try isEqual(left, right)
    case "!=": return try !isEqual(left, right)
    case "in": return try contains(right, left)
    case "not in": return try !contains(right, left)
    case "<": return try isBelow(left, right)
    case ">": return try isBelow(right, left)
    case "<=": return try !isBelow(right, left)
    default: return try !isBelow(left, right)
    }
  }

  func isEqual(_ left: TemplateValue, _ right: TemplateValue) throws(ChatTemplateError) -> Bool {
    try step(cost: 1)
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.text(let left), .text(let right)):
      try step(characters: min(left.count, right.count))
      return left == right
    case (.list(let left), .list(let right)):
      guard left.items.count == right.items.count else { return false }
      for (left, right) in zip(left.items, right.items) where try !isEqual(left, right) { return false }
      return true
    case (.dictionary(let left), .dictionary(let right)):
      guard left.entries.count == right.entries.count else { return false }
      for entry in left.entries {
        try step(cost: right.entries.count)
        guard let other = right[entry.key], try isEqual(entry.value, other) else { return false }
      }
      return true
    case (.namespace(let left), .namespace(let right)): return left == right
    case (.function(let left), .function(let right)): return left == right
    case (.macro(let left), .macro(let right)): return left === right
    default:
      if let left = left.asInteger, let right = right.asInteger { return left == right }
      guard let left = left.asNumber, let right = right.asNumber else { return false }
      return left == right
    }
  }

  func isBelow(_ left: TemplateValue, _ right: TemplateValue) throws(ChatTemplateError) -> Bool {
    if let left = left.asText, let right = right.asText {
      try step(characters: min(left.count, right.count))
      return left < right
    }
    guard let leftNumber = left.asNumber, let rightNumber = right.asNumber else {
      throw failure("\(left.kindName) and \(right.kindName) have no order")
    }
    return leftNumber < rightNumber
  }

  func contains(_ container: TemplateValue, _ item: TemplateValue) throws(ChatTemplateError) -> Bool {
    switch container {
    case .undefined: return false
    case .text(let text):
      guard let part = item.asText else { throw failure("\(item.kindName) is searched in a text") }
      try step(characters: text.count + part.count)
      return text.contains(part)
    case .list(let list):
      for other in list.items where try isEqual(item, other) { return true }
      return false
    case .dictionary(let dictionary):
      try step(cost: dictionary.entries.count)
      if (item.depth ?? 1) > 0 { throw failure("\(item.kindName) cannot be a key") }
      return TemplateKey(item).map { dictionary[$0] != nil } ?? false
    default: throw failure("\(item.kindName) is searched in \(container.kindName)")
    }
  }
}

extension TemplateValue {
  var isNone: Bool {
    if case .none = self { return true }
    return false
  }
}
