/// Python's methods of texts and dictionaries, and the functions that transformers gives a template. What changes a list
/// or a dictionary is not among them, as transformers' sandbox forbids it too.
extension TemplateRun {
  func method(_ name: String, of value: TemplateValue, _ call: TemplateCall) throws(ChatTemplateError) -> TemplateValue
  {
    switch value {
    case .undefined(let missing): throw failure("'\(missing.excerpt)' is not defined, so it has no '\(name.excerpt)'")
    case .text(let text): if let result = try method(name, of: text, call) { return result }
    case .dictionary(let dictionary):
      switch name {
      case "items": return try pairs(of: value)
      case "keys": return try list(items(of: value))
      case "values": return try list(dictionary.entries.map(\.value))
      case "get":
        guard let key = call.positional.first else { throw failure("'get' needs a key") }
        try step(cost: dictionary.entries.count)
        return TemplateKey(key).flatMap { dictionary[$0] } ?? call.value(1, "default") ?? .none
      default: break
      }
    case .list(let found):
      if name == "index" || name == "count", let wanted = call.positional.first {
        var places: [Int] = []
        for (index, item) in found.items.enumerated() where try isEqual(item, wanted) { places.append(index) }
        if name == "count" { return .integer(places.count) }
        guard let first = places.first else { throw failure("\(wanted.kindName) is not in the list") }
        return .integer(first)
      }
    case .loop(let loop):
      if name == "cycle", !call.positional.isEmpty { return call.positional[loop.index % call.positional.count] }
    case .none, .bool, .integer, .number, .namespace, .macro, .function: break
    }
    throw .unsupported(line: line, what: "the method '\(name.excerpt)' of \(value.kindName)")
  }

  /// Nil for a method that is not known.
  private func method(
    _ name: String, of text: TemplateText, _ call: TemplateCall
  ) throws(ChatTemplateError) -> TemplateValue? {
    func needed(_ index: Int) throws(ChatTemplateError) -> TemplateText {
      guard index < call.positional.count, let given = call.positional[index].asText else {
        throw failure("the method '\(name)' needs a text, and gets \(call.value(index, "")?.kindName ?? "none")")
      }
      return given
    }
    func optional(_ index: Int, _ name: String) throws(ChatTemplateError) -> TemplateText? {
      guard let given = call.value(index, name), !given.isNone else { return nil }
      guard let text = given.asText else { throw failure("'\(name)' is \(given.kindName), and must be a text") }
      return text
    }
    try step(characters: text.count)
    switch name {
    case "strip": return .text(text.stripped(of: try optional(0, "chars")))
    case "lstrip": return .text(text.stripped(.left, of: try optional(0, "chars")))
    case "rstrip": return .text(text.stripped(.right, of: try optional(0, "chars")))
    case "upper": return .text(text.mapped(to: .upper))
    case "lower": return .text(text.mapped(to: .lower))
    case "capitalize": return .text(text.capitalized)
    case "title": return .text(text.titled(.title) { !TemplateText.scalar($0).properties.isCased })
    case "startswith", "endswith": return .bool(try isAtEnd(name == "startswith", of: text, call))
    case "removeprefix":
      let part = try needed(0)
      return .text(text.starts(with: part) ? TemplateText(units: text.units.dropFirst(part.count)) : text)
    case "removesuffix":
      let part = try needed(0)
      return .text(text.ends(with: part) ? TemplateText(units: text.units.dropLast(part.count)) : text)
    case "replace": return .text(try replace(text, try needed(0), try needed(1), limit: call.value(2, "count")))
    case "split", "rsplit":
      let separator = try optional(0, "sep")
      if separator?.isEmpty == true { throw failure("'\(name)' at an empty text") }
      let limit = call.value(1, "maxsplit")?.asInteger ?? -1
      try step(characters: separator?.count ?? 0)
      let parts = text.split(by: separator, limit: limit < 0 ? .max : limit, fromRight: name == "rsplit")
      return try list(parts.map { .text($0) })
    case "partition", "rpartition":
      let separator = try needed(0)
      let places = separator.isEmpty ? [] : text.places(of: separator, limit: name == "partition" ? 1 : .max)
      guard let place = name == "partition" ? places.first : places.last else {
        let empty = TemplateValue.text("")
        return try list(name == "partition" ? [.text(text), empty, empty] : [empty, empty, .text(text)])
      }
      return try list([
        .text(TemplateText(units: text.units[..<place])), .text(separator),
        .text(TemplateText(units: text.units[(place + separator.count)...])),
      ])
    case "splitlines": return try list(text.lines.map { .text($0) })
    case "find": return .integer(text.places(of: try needed(0), limit: 1).first ?? -1)
    case "rfind":
      let wanted = try needed(0)
      let fromEnd = text.reversed().places(of: wanted.reversed(), limit: 1).first
      return .integer(fromEnd.map { text.count - $0 - wanted.count } ?? -1)
    case "count": return .integer(text.places(of: try needed(0)).count)
    case "join":
      let parts = try items(of: call.positional.first ?? .none).map { (item) throws(ChatTemplateError) in
        guard let part = item.asText else { throw failure("'join' of \(item.kindName)") }
        return part
      }
      return .text(try join(parts, by: text))
    case "format": return .text(try formatted(text, call))
    case "isdigit", "isalpha", "isalnum", "isspace", "isupper", "islower": return .bool(has(name, text))
    default: return nil
    }
  }

  /// The end may be one text, or one of several.
  private func isAtEnd(
    _ isStart: Bool, of text: TemplateText, _ call: TemplateCall
  ) throws(ChatTemplateError) -> Bool {
    guard let given = call.positional.first, call.positional.count == 1 else {
      throw failure("'\(isStart ? "startswith" : "endswith")' needs one text")
    }
    let wanted = given.asText == nil ? try items(of: given) : [given]
    for end in wanted {
      guard let end = end.asText else { throw failure("\(end.kindName) cannot begin or end a text") }
      try step(characters: end.count)
      if isStart ? text.starts(with: end) : text.ends(with: end) { return true }
    }
    return false
  }

  /// `'{} and {name}'.format(...)`, without what may say how a value is written.
  private func formatted(_ text: TemplateText, _ call: TemplateCall) throws(ChatTemplateError) -> TemplateText {
    var parts: [TemplateText] = []
    var next = 0
    var rest = text.units[...]
    let (open, close) = (UInt32(0x7B), UInt32(0x7D))
    while let brace = rest.firstIndex(where: { [open, close].contains($0 & TemplateText.scalarBits) }) {
      try step(cost: 1)
      parts.append(TemplateText(units: rest[..<brace]))
      let kind = rest[brace] & TemplateText.scalarBits
      rest = rest[(brace + 1)...]
      if let second = rest.first, second & TemplateText.scalarBits == kind {
        parts.append(TemplateText(units: [second]))
        rest.removeFirst()
        continue
      }
      guard kind == open, let end = rest.firstIndex(where: { $0 & TemplateText.scalarBits == close }) else {
        throw failure("a brace without its other in a text for 'format'")
      }
      let name = TemplateText(units: rest[..<end]).string
      let given: TemplateValue? =
        if name.isEmpty { call.value(next, "") } else if let place = Int(name) {
          call.positional.indices.contains(place) ? call.positional[place] : nil
        } else { call.named[name] }
      guard let given else {
        throw .unsupported(line: line, what: "'{\(name.excerpt)}' in a text for 'format', without such a value")
      }
      if name.isEmpty { next += 1 }
      parts.append(try string(given))
      rest = rest[(end + 1)...]
    }
    return try join(parts + [TemplateText(units: rest)], by: "")
  }

  private func has(_ name: String, _ text: TemplateText) -> Bool {
    guard !text.isEmpty else { return false }
    let scalars = text.units.map(TemplateText.scalar)
    switch name {
    case "isdigit":
      return scalars.allSatisfy { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
    case "isalpha": return scalars.allSatisfy(\.properties.isLetter)
    case "isalnum": return scalars.allSatisfy { $0.properties.isLetter || $0.properties.numericType != nil }
    case "isspace": return scalars.allSatisfy { TemplateText.isBlank($0.value) }
    default:
      let isUpper = name == "isupper"
      return scalars.contains { isUpper ? $0.properties.isUppercase : $0.properties.isLowercase }
        && !scalars.contains { isUpper ? $0.properties.isLowercase : $0.properties.isUppercase }
    }
  }

  // MARK: Functions

  static let functions: Set<String> = ["range", "namespace", "dict", "raise_exception", "strftime_now"]
  private static let maximumNamespaces = 1000

  func call(_ name: String, _ call: TemplateCall) throws(ChatTemplateError) -> TemplateValue {
    switch name {
    case "raise_exception":
      throw .refused(message: try string(call.value(0, "message") ?? .text("")).string)
    case "strftime_now":
      guard let format = call.value(0, "format")?.asText else { throw failure("'strftime_now' needs a format") }
      try step(characters: format.count * 10)
      guard let text = day.formatted(format.string) else {
        throw .unsupported(line: line, what: "the date format \(quoted(format.string))")
      }
      return .text(text)
    case "namespace", "dict":
      var entries: [(TemplateKey, TemplateValue)] = []
      if let first = call.positional.first {
        guard case .dictionary(let given) = first else { throw failure("'\(name)' of \(first.kindName)") }
        entries = given.entries.map { ($0.key, $0.value) }
      }
      entries += call.named.sorted { $0.key < $1.key }.map { (TemplateKey.text($0.key), $0.value) }
      if name == "dict" { return try dictionary(entries) }
      guard namespaces.count < Self.maximumNamespaces else {
        throw .tooLarge(what: "namespaces", found: namespaces.count + 1, allowed: Self.maximumNamespaces)
      }
      namespaces.append(Dictionary(entries.map { ($0.0.text.string, $0.1) }) { $1 })
      return .namespace(namespaces.count - 1)
    default: return try range(call)
    }
  }

  private func range(_ call: TemplateCall) throws(ChatTemplateError) -> TemplateValue {
    let numbers = call.positional.compactMap(\.asInteger)
    guard numbers.count == call.positional.count, (1...3).contains(numbers.count) else {
      throw failure("'range' needs one to three integers")
    }
    let (from, to) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
    let step = numbers.count == 3 ? numbers[2] : 1
    guard step != 0 else { throw failure("'range' with the step 0") }
    let (distance, overflows) = to.subtractingReportingOverflow(from)
    guard !overflows else { throw failure("'range' from \(from) to \(to)") }
    if (distance > 0) != (step > 0) || distance == 0 { return try list([]) }
    try self.step(cost: Int(min(distance.magnitude / step.magnitude, UInt(Int.max))))
    return try list(stride(from: from, to: to, by: step).map { .integer($0) })
  }
}

extension Unicode.Scalar.Properties {
  fileprivate var isLetter: Bool {
    switch generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }
}
