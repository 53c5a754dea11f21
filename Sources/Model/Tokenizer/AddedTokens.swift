/// The tokens that are found by their text before the text is cut into words: the longest that begins somewhere, from left
/// to right. Gemma has thousands of them, so they stand in a tree of bytes.
struct AddedTokens: Sendable {
  /// How a token is found, besides by its text; what tokenizers calls an `AddedToken`.
  struct Flags: Sendable, Equatable {
    /// The blanks in front of it belong to it.
    var takesBlanksBefore = false
    /// The blanks behind it belong to it.
    var takesBlanksAfter = false
    /// It is none within a word.
    var isWord = false
    /// It is found in the text as the normalizer leaves it.
    var isNormalized = false
  }

  private struct Entry {
    let id: Int32
    let isControl: Bool
    let flags: Flags
  }

  enum Part {
    case stretch(Range<Int>)
    case token(Int32, isControl: Bool)
  }

  private var entries: [Entry] = []
  private var begins = [Bool](repeating: false, count: 256)
  /// Of the tree: node * 256 + byte to the next node. Node 0 is the root.
  private var nodes: [Int: Int] = [:]
  /// By node, -1 where no token ends.
  private var entryAt: [Int32] = [-1]

  var isEmpty: Bool { entries.isEmpty }

  /// The first of those with the same text is found.
  mutating func add(_ text: some Sequence<UInt8>, id: Int32, isControl: Bool, flags: Flags) {
    var node = 0
    for byte in text {
      if node == 0 { begins[Int(byte)] = true }
      let edge = node << 8 | Int(byte)
      if let next = nodes[edge] {
        node = next
      } else {
        nodes[edge] = entryAt.count
        node = entryAt.count
        entryAt.append(-1)
      }
    }
    guard node > 0, entryAt[node] < 0 else { return }
    entryAt[node] = Int32(entries.count)
    entries.append(Entry(id: id, isControl: isControl, flags: flags))
  }

  /// Calls `body` with the tokens in a text and the stretches between them, in order and without empty ones.
  func split(_ text: MarkedText, _ body: (Part) -> Void) {
    let end = text.bytes.count
    if isEmpty {
      if end > 0 { body(.stretch(0..<end)) }
      return
    }
    var run = 0
    var stretchStart = 0
    var position = 0
    while position < end {
      guard begins[Int(text.bytes[position])] else {
        position += 1
        continue
      }
      let controlEnd = text.controlEnd(at: position, run: &run)
      guard let (entry, length) = longest(in: text.bytes, at: position, controlEnd: controlEnd) else {
        position += 1
        continue
      }
      let match = position..<(position + length)
      position = match.upperBound
      if entry.flags.isWord, isWithinWord(text.bytes, match) { continue }
      var start = match.lowerBound
      if entry.flags.takesBlanksBefore { start = blanksBegin(text.bytes, before: start, from: stretchStart) }
      if entry.flags.takesBlanksAfter { position = blanksEnd(text.bytes, from: position) }
      if stretchStart < start { body(.stretch(stretchStart..<start)) }
      body(.token(entry.id, isControl: entry.isControl))
      stretchStart = position
    }
    if stretchStart < end { body(.stretch(stretchStart..<end)) }
  }

  private func longest(in text: [UInt8], at start: Int, controlEnd: Int) -> (Entry, length: Int)? {
    var found: (Entry, length: Int)?
    var node = 0
    var position = start
    while position < text.count, let next = nodes[node << 8 | Int(text[position])] {
      node = next
      position += 1
      guard entryAt[node] >= 0 else { continue }
      let entry = entries[Int(entryAt[node])]
      if !entry.isControl || position <= controlEnd { found = (entry, position - start) }
    }
    return found
  }

  // MARK: What stands beside

  private func isWithinWord(_ text: [UInt8], _ match: Range<Int>) -> Bool {
    let before = scalar(text, before: match.lowerBound)?.0
    let after = match.upperBound < text.count ? scalar(text, at: match.upperBound).0 : nil
    return before.map(isWordScalar) == true || after.map(isWordScalar) == true
  }

  private func blanksBegin(_ text: [UInt8], before start: Int, from limit: Int) -> Int {
    var position = start
    while position > limit, let (scalar, length) = scalar(text, before: position), scalar.properties.isWhitespace {
      position -= length
    }
    return max(position, limit)
  }

  private func blanksEnd(_ text: [UInt8], from start: Int) -> Int {
    var position = start
    while position < text.count {
      let (kind, length) = characterClass(text, at: position, end: text.count)
      if kind != .space { break }
      position += length
    }
    return position
  }

  private func scalar(_ text: [UInt8], before end: Int) -> (Unicode.Scalar, length: Int)? {
    var start = end - 1
    while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
    return start < 0 ? nil : scalar(text, at: start)
  }

  private func scalar(_ text: [UInt8], at start: Int) -> (Unicode.Scalar, length: Int) {
    let (value, length) = scalarValue(text, at: start, end: text.count)
    return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
  }
}

/// `\w` of regular expressions on Unicode (UTS 18, annex C).
private func isWordScalar(_ scalar: Unicode.Scalar) -> Bool {
  let properties = scalar.properties
  if properties.isAlphabetic || properties.isJoinControl { return true }
  switch properties.generalCategory {
  case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
  default: return false
  }
}
