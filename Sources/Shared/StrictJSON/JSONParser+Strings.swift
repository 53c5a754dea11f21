extension JSONParser {
  /// Reads a string; the position is at its opening quote.
  mutating func string() throws(JSONError) -> String {
    let quote = peek
    let start = position
    position += 1
    let textStart = position
    // Most strings have no escape: they are taken from the text in one piece.
    while true {
      let byte = peek
      if byte == quote || byte == UInt8(ascii: "\\") || byte < 0x20 { break }
      position += 1
    }
    if peek == quote, position < count {
      let text = try validated(textStart..<position)
      position += 1
      return text
    }
    return try stringWithEscapes(from: textStart, quote: quote, opening: start)
  }

  private mutating func stringWithEscapes(
    from textStart: Int, quote: UInt8, opening: Int
  ) throws(JSONError) -> String {
    var text = try validated(textStart..<position)
    while true {
      let byte = peek
      if byte == quote {
        position += 1
        return text
      }
      guard position < count else {
        throw error(.unexpectedEnd, at: opening, "this string has no end")
      }
      if byte == UInt8(ascii: "\\") {
        if let scalar = try escape() { text.unicodeScalars.append(scalar) }
      } else if byte < 0x20 {
        throw error(
          .syntax, at: position, "a control character (0x\(hex(byte))) in a string must be written as an escape")
      } else {
        let pieceStart = position
        while peek != quote, peek != UInt8(ascii: "\\"), peek >= 0x20 { position += 1 }
        text += try validated(pieceStart..<position)
      }
    }
  }

  /// The scalar of the escape at the position; nil for JSON5's line continuation.
  private mutating func escape() throws(JSONError) -> Unicode.Scalar? {
    let start = position
    let letter = byte(at: position + 1)
    position += 2
    switch letter {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try unicodeEscape(from: start)
    case UInt8(ascii: "'") where isJSON5: return "'"
    case UInt8(ascii: "v") where isJSON5: return "\u{B}"
    case UInt8(ascii: "x") where isJSON5: return Unicode.Scalar(UInt8(truncatingIfNeeded: try hexDigits(2)))
    case 0x0A where isJSON5: return nil
    case 0x0D where isJSON5:
      if peek == 0x0A { position += 1 }
      return nil
    default:
      position = min(start + 1, count)
      throw error(.syntax, at: start, "an escape cannot begin with \(found)")
    }
  }

  private mutating func unicodeEscape(from start: Int) throws(JSONError) -> Unicode.Scalar {
    let unit = try hexDigits(4)
    if let scalar = Unicode.Scalar(unit) { return scalar }
    // A surrogate: only the high half of a pair may stand here, and its low half must follow.
    if unit < 0xDC00, peek == UInt8(ascii: "\\"), byte(at: position + 1) == UInt8(ascii: "u") {
      position += 2
      let low = try hexDigits(4)
      if (0xDC00...0xDFFF).contains(low),
        let scalar = Unicode.Scalar(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
      {
        return scalar
      }
    }
    throw error(.badUTF8, at: start, "\\u\(String(unit, radix: 16)) is one half of a surrogate pair alone")
  }

  private mutating func hexDigits(_ digits: Int) throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<digits {
      guard let digit = hexDigit(peek) else { throw unexpected("a hexadecimal digit") }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  /// The text of a range that must be UTF-8. Checked here and not by `String(validating:)`, which takes as long as all
  /// the rest of the parser.
  private func validated(_ range: Range<Int>) throws(JSONError) -> String {
    if let offset = firstInvalidByte(in: range) {
      throw error(.badUTF8, at: offset, "byte 0x\(hex(byte(at: offset))) is not UTF-8 here")
    }
    return unsafe String(decoding: extract(range), as: UTF8.self)
  }

  /// The first byte of the first sequence that is not one of the well-formed ones of Unicode's table 3-7.
  private func firstInvalidByte(in range: Range<Int>) -> Int? {
    var start = range.lowerBound
    while start < range.upperBound {
      let first = byte(at: start)
      start += 1
      if first < 0x80 { continue }
      // What the second byte may be depends on the first: no overlong forms, no surrogates, nothing above U+10FFFF.
      let (rest, second): (Int, ClosedRange<UInt8>) =
        switch first {
        case 0xC2...0xDF: (1, 0x80...0xBF)
        case 0xE0: (2, 0xA0...0xBF)
        case 0xE1...0xEC, 0xEE...0xEF: (2, 0x80...0xBF)
        case 0xED: (2, 0x80...0x9F)
        case 0xF0: (3, 0x90...0xBF)
        case 0xF1...0xF3: (3, 0x80...0xBF)
        case 0xF4: (3, 0x80...0x8F)
        default: (0, 0x80...0xBF)
        }
      guard rest > 0, start + rest <= range.upperBound, second.contains(byte(at: start)) else { return start - 1 }
      for offset in 1..<max(rest, 1) where byte(at: start + offset) & 0xC0 != 0x80 { return start - 1 }
      start += rest
    }
    return nil
  }
}
