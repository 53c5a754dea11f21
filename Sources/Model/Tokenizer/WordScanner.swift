/// Cuts as the expression of Llama 3 and Qwen2 does, a branch after the other:
/// ```
/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
/// ```
/// Unlike GPT-2's it takes contractions in any case; one character that is no letter, digit or line end may open a word;
/// punctuation takes the line ends behind it; blanks up to a line end are one word. Mistral's Tekken has other words: see
/// ``Rules/splitsAtCapitals``.
package struct WordScanner: WordCutter {
  package struct Rules: Sendable, Equatable {
    /// Digits of one word at most: 3 in `\p{N}{1,3}` (Llama 3), 1 in `\p{N}` (Qwen2).
    package var digits: Int
    /// `(?i:'s)` folds case by Unicode: U+017F, the long s, is an s. `'[sS]` is not so.
    package var foldsLongS = true
    /// Tekken: no contractions, a slash ends punctuation as a line end does, and in place of `\p{L}+` with what opens it
    /// ```
    /// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+
    /// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*
    /// ```
    package var splitsAtCapitals = false
  }

  let text: [UInt8]
  let end: Int
  let rules: Rules

  func wordEnd(at start: Int) -> Int {
    let (kind, length) = characterClass(text, at: start, end: end)
    let second = start + length
    if rules.splitsAtCapitals {
      if let wordEnd = casedWordEnd(at: start, kind, second) { return wordEnd }
    } else if text[start] == UInt8(ascii: "'") {
      let length = contraction(after: start + 1)
      if length > 0 { return start + 1 + length }
    }
    let following = second < end ? characterClass(text, at: second, end: end) : (kind: .space, length: 0)
    switch kind {
    case .letter: return run(of: .letter, from: second)
    case .number: return run(of: .number, from: second, atMost: rules.digits - 1)
    case .other:
      if following.kind == .letter { return run(of: .letter, from: second + following.length) }
      return lineEnds(from: run(of: .other, from: second))
    case .space:
      if !isLineEnd(start), following.kind == .letter {
        return run(of: .letter, from: second + following.length)
      }
      if text[start] == UInt8(ascii: " "), following.kind == .other {
        return lineEnds(from: run(of: .other, from: second + following.length))
      }
      return blanks(from: start)
    }
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line end among the blanks; without one all but the last, which is left to
  /// what follows, unless nothing does or it is the only one.
  private func blanks(from start: Int) -> Int {
    var last = start
    var afterLineEnd: Int?
    var position = start
    while position < end {
      let (kind, length) = characterClass(text, at: position, end: end)
      guard kind == .space else { return afterLineEnd ?? (last > start ? last : position) }
      if isLineEnd(position) { afterLineEnd = position + 1 }
      last = position
      position += length
    }
    return afterLineEnd ?? end
  }

  private func isLineEnd(_ position: Int) -> Bool { text[position] == 0x0A || text[position] == 0x0D }

  /// What may end punctuation.
  private func lineEnds(from start: Int) -> Int {
    var position = start
    while position < end, isLineEnd(position) || (rules.splitsAtCapitals && text[position] == UInt8(ascii: "/")) {
      position += 1
    }
    return position
  }

  /// The length of s, t, m, d, re, ve or ll in any case after an apostrophe.
  private func contraction(after start: Int) -> Int {
    guard start < end else { return 0 }
    func letter(_ position: Int) -> UInt8 { position < end ? text[position] | 0x20 : 0 }
    switch letter(start) {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 1
    case UInt8(ascii: "r"), UInt8(ascii: "v"): return letter(start + 1) == UInt8(ascii: "e") ? 2 : 0
    case UInt8(ascii: "l"): return letter(start + 1) == UInt8(ascii: "l") ? 2 : 0
    default:
      // U+017F is C5 BF.
      let isLongS = rules.foldsLongS && start + 1 < end && text[start] == 0xC5 && text[start + 1] == 0xBF
      return isLongS ? 2 : 0
    }
  }

  // MARK: Tekken

  /// The end of a word of letters and marks, with or without the character that opens it; nil where there is none.
  private func casedWordEnd(at start: Int, _ kind: CharacterClass, _ second: Int) -> Int? {
    let mayOpen = (kind == .other || kind == .space) && !isLineEnd(start)
    for endOf in [smallEnd, capitalEnd] {
      if mayOpen, let end = endOf(second) { return end }
      if let end = endOf(start) { return end }
    }
    return nil
  }

  /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`. Where no small letter follows the first run, it gives back
  /// what is behind the last of those that are in both.
  private func smallEnd(from start: Int) -> Int? {
    var position = start
    var afterBoth: Int?
    while position < end {
      let (kind, length) = letterCase(at: position)
      if kind == .small { return smallRun(from: position) }
      if kind == .none { break }
      position += length
      if kind == .both { afterBoth = position }
    }
    return afterBoth
  }

  /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
  private func capitalEnd(from start: Int) -> Int? {
    var position = start
    while position < end {
      let (kind, length) = letterCase(at: position)
      if kind == .small || kind == .none { break }
      position += length
    }
    return position > start ? smallRun(from: position) : nil
  }

  private func smallRun(from start: Int) -> Int {
    var position = start
    while position < end {
      let (kind, length) = letterCase(at: position)
      if kind == .capital || kind == .none { break }
      position += length
    }
    return position
  }

  private enum LetterCase {
    case small, capital, both, none
  }

  private func letterCase(at position: Int) -> (LetterCase, length: Int) {
    switch text[position] {
    case 0x61...0x7A: return (.small, 1)
    case 0x41...0x5A: return (.capital, 1)
    case ..<0x80: return (.none, 1)
    default: break
    }
    let (value, length) = scalarValue(text, at: position, end: end)
    guard let scalar = Unicode.Scalar(value) else { return (.none, length) }
    switch scalar.properties.generalCategory {
    case .lowercaseLetter: return (.small, length)
    case .uppercaseLetter, .titlecaseLetter: return (.capital, length)
    case .modifierLetter, .otherLetter, .nonspacingMark, .spacingMark, .enclosingMark: return (.both, length)
    default: return (.none, length)
    }
  }
}
