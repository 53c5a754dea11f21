/// What an expression gives. The rules are Python's, as far as templates meet them.
enum TemplateValue: Sendable {
  /// A variable or member that is not there, by its name. It may be asked about, printed (as nothing) and passed over.
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(TemplateText)
  case list(TemplateList)
  case dictionary(TemplateDictionary)
  /// One variable of several members that loops can change: by its place in the run's list.
  case namespace(Int)
  case macro(TemplateMacro)
  /// A function by its name: `range`, `raise_exception`.
  case function(String)
  case loop(TemplateLoop)
}

struct TemplateList: Sendable {
  let items: [TemplateValue]
  /// Lists within lists, so that none is made that is too deep to be compared, printed, or freed.
  let depth: Int
}

/// In the order of the keys' first appearance. Templates have small ones: a message, a tool call.
struct TemplateDictionary: Sendable {
  let entries: [(key: TemplateKey, value: TemplateValue)]
  let depth: Int

  subscript(key: TemplateKey) -> TemplateValue? { entries.first { $0.key == key }?.value }
}

enum TemplateKey: Hashable, Sendable {
  case text(TemplateText)
  case integer(Int)

  /// Nil for what cannot be a key.
  init?(_ value: TemplateValue) {
    if let text = value.asText {
      self = .text(text)
    } else if let number = value.asInteger {
      self = .integer(number)
    } else {
      return nil
    }
  }

  static func text(_ text: String) -> TemplateKey { .text(TemplateText(text)) }

  var value: TemplateValue {
    switch self {
    case .text(let text): .text(text)
    case .integer(let number): .integer(number)
    }
  }

  /// As JSON has it, where all keys are texts.
  var text: TemplateText {
    switch self {
    case .text(let text): text
    case .integer(let number): TemplateText("\(number)")
    }
  }
}

/// `loop` within a loop: where it is.
struct TemplateLoop: Sendable {
  let items: [TemplateValue]
  let index: Int

  func member(_ name: String) -> TemplateValue? {
    switch name {
    case "index": .integer(index + 1)
    case "index0": .integer(index)
    case "revindex": .integer(items.count - index)
    case "revindex0": .integer(items.count - index - 1)
    case "first": .bool(index == 0)
    case "last": .bool(index == items.count - 1)
    case "length": .integer(items.count)
    // Of loops that call themselves, which are not here.
    case "depth": .integer(1)
    case "depth0": .integer(0)
    case "previtem": index > 0 ? items[index - 1] : .undefined("previtem")
    case "nextitem": index + 1 < items.count ? items[index + 1] : .undefined("nextitem")
    default: nil
    }
  }
}

extension TemplateValue {
  /// What may be inside of it; nil for what cannot be part of a list, since it may hold lists itself.
  var depth: Int? {
    switch self {
    case .undefined, .none, .bool, .integer, .number, .text, .namespace, .macro, .function: 0
    case .list(let list): list.depth
    case .dictionary(let dictionary): dictionary.depth
    case .loop: nil
    }
  }

  /// For messages.
  var kindName: String {
    switch self {
    case .undefined(let name): "\(quoted(name)), which is not defined"
    case .none: "none"
    case .bool: "a truth value"
    case .integer, .number: "a number"
    case .text: "a text"
    case .list: "a list"
    case .dictionary: "a dictionary"
    case .namespace: "a namespace"
    case .macro, .function: "a function"
    case .loop: "the loop"
    }
  }

  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .number(let value): value != 0
    case .text(let text): !text.isEmpty
    case .list(let list): !list.items.isEmpty
    case .dictionary(let dictionary): !dictionary.entries.isEmpty
    case .namespace, .macro, .function, .loop: true
    }
  }

  /// A truth value counts as 0 or 1, as in Python.
  var asInteger: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): value
    default: nil
    }
  }

  var asNumber: Double? {
    if case .number(let value) = self { return value }
    return asInteger.map(Double.init)
  }

  var asText: TemplateText? {
    if case .text(let text) = self { return text }
    return nil
  }

  static func text(_ text: String) -> TemplateValue { .text(TemplateText(text)) }
}

// MARK: Text of a value

extension TemplateRun {
  /// Python's `str`.
  func string(_ value: TemplateValue) throws(ChatTemplateError) -> TemplateText {
    switch value {
    case .text(let text): return text
    case .undefined: return TemplateText("")
    default: return try representation(value)
    }
  }

  /// Python's `repr`.
  func representation(_ value: TemplateValue) throws(ChatTemplateError) -> TemplateText {
    try step(cost: 1)
    switch value {
    case .undefined: return TemplateText("Undefined")
    case .none: return TemplateText("None")
    case .bool(let value): return TemplateText(value ? "True" : "False")
    case .integer(let value): return TemplateText("\(value)")
    case .number(let value): return TemplateText("\(value)")
    case .text(let text): return try pythonLiteral(text)
    case .list(let list):
      return TemplateText("[")
        + (try join(
          list.items.map { (value) throws(ChatTemplateError) in
            try representation(value)
          }, by: ", ")) + TemplateText("]")
    case .dictionary(let dictionary):
      let parts = try dictionary.entries.map { (entry) throws(ChatTemplateError) in
        (try representation(entry.key.value)) + TemplateText(": ") + (try representation(entry.value))
      }
      return TemplateText("{") + (try join(parts, by: ", ")) + TemplateText("}")
    case .namespace, .macro, .function, .loop: throw failure("\(value.kindName) has no text")
    }
  }

  func join(_ parts: [TemplateText], by separator: String) throws(ChatTemplateError) -> TemplateText {
    try join(parts, by: TemplateText(separator))
  }

  private func pythonLiteral(_ text: TemplateText) throws(ChatTemplateError) -> TemplateText {
    try step(characters: text.count)
    let scalars = text.units.map { $0 & TemplateText.scalarBits }
    let quote: UInt32 = scalars.contains(0x27) && !scalars.contains(0x22) ? 0x22 : 0x27
    return Self.escaped(text, quote: quote) { (unit: UInt32) -> String? in
      switch unit {
      case 0x0A: return "\\n"
      case 0x0D: return "\\r"
      case 0x09: return "\\t"
      case 0x5C: return "\\\\"
      case quote: return "\\'"
      default: break
      }
      switch TemplateText.scalar(unit).properties.generalCategory {
      case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: break
      case .spaceSeparator where unit != 0x20: break
      default: return nil
      }
      return unit < 0x100
        ? "\\x" + Self.hex(unit, 2) : unit < 0x10000 ? "\\u" + Self.hex(unit, 4) : "\\U" + Self.hex(unit, 8)
    }
  }

  /// In quotation marks; what replaces a character is of its origin.
  private static func escaped(
    _ text: TemplateText, quote: UInt32, _ replacement: (UInt32) -> String?
  ) -> TemplateText {
    var result = TemplateText(units: [quote])
    for unit in text.units {
      if let new = replacement(unit & TemplateText.scalarBits) {
        result.units += new.unicodeScalars.map { $0.value | unit & TemplateText.fromMessage }
      } else {
        result.units.append(unit)
      }
    }
    result.units.append(quote)
    return result
  }

  private static func hex(_ value: UInt32, _ width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  // MARK: JSON

  /// As transformers' `tojson` writes it: characters beyond ASCII as they are.
  /// - Parameter indent: blanks for each level, which then has a line for each member.
  func json(
    _ value: TemplateValue, indent: Int?, separators: (item: String, key: String), sortKeys: Bool, level: Int = 0
  ) throws(ChatTemplateError) -> TemplateText {
    try step(cost: 1)
    func inside(_ value: TemplateValue) throws(ChatTemplateError) -> TemplateText {
      try json(value, indent: indent, separators: separators, sortKeys: sortKeys, level: level + 1)
    }
    func bracketed(_ open: String, _ parts: [TemplateText], _ close: String) throws(ChatTemplateError) -> TemplateText {
      guard let indent, !parts.isEmpty else {
        return TemplateText(open) + (try join(parts, by: separators.item)) + TemplateText(close)
      }
      try step(characters: (indent * (level + 1) + 1) * (parts.count + 1))
      let line = "\n" + String(repeating: " ", count: indent * (level + 1))
      let end = "\n" + String(repeating: " ", count: indent * level)
      return TemplateText(open + line) + (try join(parts, by: separators.item + line)) + TemplateText(end + close)
    }
    switch value {
    case .none: return TemplateText("null")
    case .bool(let value): return TemplateText(value ? "true" : "false")
    case .integer(let value): return TemplateText("\(value)")
    case .number(let value): return TemplateText("\(value)")
    case .text(let text): return try jsonLiteral(text)
    case .list(let list):
      return try bracketed("[", list.items.map { (item) throws(ChatTemplateError) in try inside(item) }, "]")
    case .dictionary(let dictionary):
      let entries = sortKeys ? dictionary.entries.sorted { $0.key.text < $1.key.text } : dictionary.entries
      let parts = try entries.map { (entry) throws(ChatTemplateError) in
        try jsonLiteral(entry.key.text) + TemplateText(separators.key) + (try inside(entry.value))
      }
      return try bracketed("{", parts, "}")
    case .undefined, .namespace, .macro, .function, .loop: throw failure("\(value.kindName) cannot be written as JSON")
    }
  }

  private func jsonLiteral(_ text: TemplateText) throws(ChatTemplateError) -> TemplateText {
    try step(characters: text.count)
    return Self.escaped(text, quote: 0x22) { (unit: UInt32) -> String? in
      switch unit {
      case 0x08: "\\b"
      case 0x09: "\\t"
      case 0x0A: "\\n"
      case 0x0C: "\\f"
      case 0x0D: "\\r"
      case 0x22: "\\\""
      case 0x5C: "\\\\"
      case ..<0x20: "\\u" + Self.hex(unit, 4)
      default: nil
      }
    }
  }
}
