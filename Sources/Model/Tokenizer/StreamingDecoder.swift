/// Decodes ids as they are generated and gives text only when its characters are complete.
///
/// A token may end in the middle of a character; its bytes wait for the next token. SentencePiece's blank in front is dropped
/// from the first. What is given out in pieces is, joined, exactly what `Tokenizer.decode` gives for all ids at once.
package struct StreamingDecoder {
  private let tokenizer: Tokenizer
  private let skipSpecial: Bool
  private var held: [UInt8] = []  // at most three bytes: the beginning of a character
  private var isAtStart = true

  package init(_ tokenizer: Tokenizer, skipSpecial: Bool = false) {
    self.tokenizer = tokenizer
    self.skipSpecial = skipSpecial
  }

  /// The text that became complete with this token; may be empty.
  package mutating func push(_ id: Int32) -> String {
    tokenizer.appendBytes(of: id, skipSpecial: skipSpecial, to: &held)
    if isAtStart, let first = held.first {
      isAtStart = false
      if first == 0x20, tokenizer.parts.dropsFirstBlank { held.removeFirst() }
    }
    let complete = held.count - incompleteSuffix(of: held)
    defer { held.removeFirst(complete) }
    return String(decoding: held[..<complete], as: UTF8.self)
  }

  /// What is still held when no more tokens come: U+FFFD for a character that was never finished, otherwise nothing.
  package mutating func finish() -> String {
    defer { held.removeAll() }
    return String(decoding: held, as: UTF8.self)
  }
}

/// How many bytes at the end begin a character that later bytes could still finish (Unicode 15, table 3-7).
func incompleteSuffix(of bytes: [UInt8]) -> Int {
  for length in 1...3 where length <= bytes.count {
    let lead = bytes[bytes.count - length]
    if lead & 0xC0 == 0x80 { continue }
    let wanted =
      switch lead {
      case 0xC2...0xDF: 2
      case 0xE0...0xEF: 3
      case 0xF0...0xF4: 4
      default: 0
      }
    guard length < wanted else { return 0 }
    if length == 1 { return 1 }
    let second = bytes[bytes.count - length + 1]
    let allowed: ClosedRange<UInt8> =
      switch lead {
      case 0xE0: 0xA0...0xBF
      case 0xED: 0x80...0x9F
      case 0xF0: 0x90...0xBF
      case 0xF4: 0x80...0x8F
      default: 0x80...0xBF
      }
    return allowed.contains(second) ? length : 0
  }
  return 0
}
