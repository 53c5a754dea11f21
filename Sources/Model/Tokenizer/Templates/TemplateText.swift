/// A text in which every character knows where it comes from: the template, or a message.
///
/// What cuts, joins, trims and replaces keeps the origin character by character, so that at the end only what the template
/// itself wrote can hold control tokens. What compares and searches sees the plain characters. Characters are Unicode scalars, as in
/// Python, whose lengths and positions templates mean.
struct TemplateText: Sendable {
  /// Scalars; the topmost bit is set where the character comes from a message.
  var units: [UInt32]

  static let fromMessage: UInt32 = 1 << 31
  static let scalarBits: UInt32 = 0x1F_FFFF

  init(units: some Sequence<UInt32>) { self.units = Array(units) }

  init(_ text: String, fromMessage: Bool = false) {
    let mark = fromMessage ? Self.fromMessage : 0
    units = text.unicodeScalars.map { $0.value | mark }
  }

  var count: Int { units.count }
  var isEmpty: Bool { units.isEmpty }

  /// Without origins.
  var string: String {
    var text = String.UnicodeScalarView()
    for unit in units { text.append(Self.scalar(unit)) }
    return String(text)
  }

  /// The stretches of one origin, in which only the template's own may be control tokens.
  var pieces: [TextPiece] {
    var pieces: [TextPiece] = []
    var start = 0
    while start < units.count {
      let origin = units[start] & Self.fromMessage
      var end = start + 1
      while end < units.count, units[end] & Self.fromMessage == origin { end += 1 }
      pieces.append(TextPiece(TemplateText(units: units[start..<end]).string, recognizeSpecial: origin == 0))
      start = end
    }
    return pieces
  }

  static func scalar(_ unit: UInt32) -> Unicode.Scalar { Unicode.Scalar(unit & scalarBits) ?? "\u{FFFD}" }
}

extension TemplateText: Hashable {
  static func == (left: Self, right: Self) -> Bool {
    left.count == right.count && zip(left.units, right.units).allSatisfy { ($0 ^ $1) & scalarBits == 0 }
  }

  func hash(into hasher: inout Hasher) {
    for unit in units { hasher.combine(unit & Self.scalarBits) }
  }

  /// By scalars, as Python compares.
  static func < (left: Self, right: Self) -> Bool {
    left.units.lazy.map { $0 & scalarBits }.lexicographicallyPrecedes(right.units.lazy.map { $0 & scalarBits })
  }

  func starts(with other: TemplateText) -> Bool { TemplateText(units: units.prefix(other.count)) == other }
  func ends(with other: TemplateText) -> Bool { TemplateText(units: units.suffix(other.count)) == other }
}

// MARK: Searching

extension TemplateText {
  /// Where `needle` stands, from left to right and not overlapping, `limit` times at most. An empty one stands between all
  /// characters, as in Python. Time linear in both lengths, whatever they hold (Knuth, Morris, Pratt).
  func places(of needle: TemplateText, limit: Int = .max) -> [Int] {
    guard !needle.isEmpty else { return Array((0...count).prefix(limit)) }
    guard needle.count <= count else { return [] }
    let wanted = needle.units.map { $0 & Self.scalarBits }
    var border = [Int](repeating: 0, count: wanted.count)
    var length = 0
    for index in wanted.indices.dropFirst() {
      while length > 0, wanted[index] != wanted[length] { length = border[length - 1] }
      if wanted[index] == wanted[length] { length += 1 }
      border[index] = length
    }
    var found: [Int] = []
    length = 0
    for (index, unit) in units.enumerated() where found.count < limit {
      let scalar = unit & Self.scalarBits
      while length > 0, scalar != wanted[length] { length = border[length - 1] }
      if scalar == wanted[length] { length += 1 }
      if length == wanted.count {
        found.append(index + 1 - length)
        length = 0
      }
    }
    return found
  }

  func contains(_ needle: TemplateText) -> Bool { !places(of: needle, limit: 1).isEmpty }
}

// MARK: Cutting

extension TemplateText {
  enum End { case left, right, both }

  /// Without what stands at its ends: the characters of `set`, or white space. Python's `strip`.
  func stripped(_ end: End = .both, of set: TemplateText? = nil) -> TemplateText {
    let members = set.map { Set($0.units.map { $0 & Self.scalarBits }) }
    func goes(_ unit: UInt32) -> Bool {
      members?.contains(unit & Self.scalarBits) ?? Self.isBlank(unit & Self.scalarBits)
    }
    var rest = units[...]
    if end != .right { rest = rest.drop(while: goes) }
    if end != .left { while let last = rest.last, goes(last) { rest.removeLast() } }
    return TemplateText(units: rest)
  }

  /// The parts between the places of `separator`; nil: between stretches of white space, without empty parts.
  /// - Parameter limit: cuts at most, counted from the right where `fromRight`.
  func split(by separator: TemplateText?, limit: Int = .max, fromRight: Bool = false) -> [TemplateText] {
    if fromRight {
      let mirrored = reversed().split(by: separator?.reversed(), limit: limit)
      return mirrored.reversed().map { $0.reversed() }
    }
    guard let separator else { return splitAtBlanks(limit: limit) }
    var parts: [TemplateText] = []
    var start = 0
    for place in places(of: separator, limit: limit) {
      parts.append(TemplateText(units: units[start..<place]))
      start = place + separator.count
    }
    return parts + [TemplateText(units: units[start...])]
  }

  private func splitAtBlanks(limit: Int) -> [TemplateText] {
    var parts: [TemplateText] = []
    var rest = stripped(.left).units[...]
    while !rest.isEmpty {
      if parts.count == limit { return parts + [TemplateText(units: rest)] }
      let part = rest.prefix { !Self.isBlank($0 & Self.scalarBits) }
      parts.append(TemplateText(units: part))
      rest = rest[part.endIndex...].drop { Self.isBlank($0 & Self.scalarBits) }
    }
    return parts
  }

  /// Python's `splitlines`.
  var lines: [TemplateText] {
    var lines: [TemplateText] = []
    var start = 0
    var index = 0
    while index < count {
      let scalar = units[index] & Self.scalarBits
      guard Self.lineEnds.contains(scalar) else {
        index += 1
        continue
      }
      lines.append(TemplateText(units: units[start..<index]))
      index += scalar == 0x0D && index + 1 < count && units[index + 1] & Self.scalarBits == 0x0A ? 2 : 1
      start = index
    }
    return start < count ? lines + [TemplateText(units: units[start...])] : lines
  }

  func replacing(_ old: TemplateText, with new: TemplateText, limit: Int = .max) -> TemplateText {
    var result = TemplateText("")
    var start = 0
    for place in places(of: old, limit: limit) {
      result.units += units[start..<place]
      result.units += new.units
      start = place + old.count
    }
    result.units += units[start...]
    return result
  }

  func joining(_ parts: [TemplateText]) -> TemplateText {
    TemplateText(units: Array(parts.map(\.units).joined(separator: units)))
  }

  func reversed() -> TemplateText { TemplateText(units: units.reversed()) }
}

// MARK: Characters

extension TemplateText {
  /// Python's `str.isspace`.
  static func isBlank(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
    default: false
    }
  }

  private static let lineEnds: Set<UInt32> = [0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029]

  enum Case { case upper, lower, title }

  /// One character may become several, all of its origin: "ß" is "SS".
  func mapped(to form: Case) -> TemplateText {
    var result = TemplateText("")
    for unit in units {
      let properties = Self.scalar(unit).properties
      let text =
        switch form {
        case .upper: properties.uppercaseMapping
        case .lower: properties.lowercaseMapping
        case .title: properties.titlecaseMapping
        }
      result.units += text.unicodeScalars.map { $0.value | unit & Self.fromMessage }
    }
    return result
  }

  var capitalized: TemplateText {
    TemplateText(units: units.prefix(1)).mapped(to: .title) + TemplateText(units: units.dropFirst()).mapped(to: .lower)
  }

  /// Each word with a first letter in that form; a word begins where `begins` says so of the scalar before it.
  func titled(_ form: Case, _ begins: (UInt32) -> Bool) -> TemplateText {
    var result = TemplateText("")
    var isFirst = true
    for unit in units {
      result.units += TemplateText(units: [unit]).mapped(to: isFirst ? form : .lower).units
      isFirst = begins(unit & Self.scalarBits)
    }
    return result
  }

  static func + (left: TemplateText, right: TemplateText) -> TemplateText {
    TemplateText(units: left.units + right.units)
  }
}
