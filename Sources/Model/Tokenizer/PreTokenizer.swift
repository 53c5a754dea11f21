/// How a text is cut into words before merging. A merge never crosses the border of a word.
///
/// Written by hand over scalars, and not as `Regex`, because this is the inner loop of every request; the regular expressions
/// that they stand for are in the comments. Which one a file means, `PreTokenizer+Names.swift` says.
package enum PreTokenizer: Sendable, Equatable {
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  case gpt2
  /// GPT-2's expression, then every character of \p{N} by itself.
  case gpt2ThenDigits
  /// Every character of \p{N} by itself, then GPT-2's expression on what lies between them.
  case digitsThenGPT2
  /// Llama 3's and Qwen2's.
  case words(WordScanner.Rules)

  /// Calls `word` with the range of each word of `text[range]`, which is valid UTF-8, in order and without gaps.
  func split(_ text: [UInt8], _ range: Range<Int>, word: (Range<Int>) -> Void) {
    switch self {
    case .gpt2:
      GPT2Scanner(text: text, end: range.upperBound).scan(from: range.lowerBound, word: word)
    case .gpt2ThenDigits:
      GPT2Scanner(text: text, end: range.upperBound).scan(from: range.lowerBound) {
        splitAtNumbers(text, $0, number: word, between: word)
      }
    case .digitsThenGPT2:
      splitAtNumbers(text, range, number: word) {
        GPT2Scanner(text: text, end: $0.upperBound).scan(from: $0.lowerBound, word: word)
      }
    case .words(let rules):
      WordScanner(text: text, end: range.upperBound, rules: rules).scan(from: range.lowerBound, word: word)
    }
  }
}

/// Calls `number` with each character of \p{N} and `between` with what lies between them, in order.
private func splitAtNumbers(
  _ text: [UInt8], _ range: Range<Int>, number: (Range<Int>) -> Void, between: (Range<Int>) -> Void
) {
  var start = range.lowerBound
  var position = start
  while position < range.upperBound {
    let (kind, length) = characterClass(text, at: position, end: range.upperBound)
    if kind == .number {
      if start < position { between(start..<position) }
      number(position..<(position + length))
      start = position + length
    }
    position += length
  }
  if start < position { between(start..<position) }
}

/// The classes that the expressions tell apart.
enum CharacterClass {
  case letter, number, space, other
}

/// The class and byte length of the scalar at `position`, which begins a scalar of valid UTF-8.
@inline(__always)
func characterClass(_ text: [UInt8], at position: Int, end: Int) -> (kind: CharacterClass, length: Int) {
  let first = text[position]
  if first < 0x80 {
    switch first {
    case 0x61...0x7A, 0x41...0x5A: return (.letter, 1)
    case 0x30...0x39: return (.number, 1)
    case 0x20, 0x09...0x0D: return (.space, 1)
    default: return (.other, 1)
    }
  }
  let (value, length) = scalarValue(text, at: position, end: end)
  guard let scalar = Unicode.Scalar(value) else { return (.other, length) }
  return (characterClass(of: scalar), length)
}

/// The value and byte length of the scalar at `position`, which begins a scalar of valid UTF-8; one that is cut off has a
/// value that is no scalar's.
@inline(__always)
func scalarValue(_ text: [UInt8], at position: Int, end: Int) -> (value: UInt32, length: Int) {
  let first = text[position]
  if first < 0x80 { return (UInt32(first), 1) }
  let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
  guard position + length <= end else { return (.max, end - position) }
  var value = UInt32(first) & (0x7F >> UInt32(length))
  for index in 1..<length { value = value << 6 | UInt32(text[position + index] & 0x3F) }
  return (value, length)
}

private func characterClass(of scalar: Unicode.Scalar) -> CharacterClass {
  let properties = scalar.properties
  switch properties.generalCategory {
  case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
  case .decimalNumber, .letterNumber, .otherNumber: return .number
  default: return properties.isWhitespace ? .space : .other
  }
}

/// What cuts a text into words, each of which ends where ``wordEnd(at:)`` says.
protocol WordCutter {
  var text: [UInt8] { get }
  var end: Int { get }
  /// Behind `start`, so that no word is empty.
  func wordEnd(at start: Int) -> Int
}

extension WordCutter {
  /// Calls `word` with the words from `start` on.
  func scan(from start: Int, word: (Range<Int>) -> Void) {
    var position = start
    while position < end {
      let next = wordEnd(at: position)
      word(position..<next)
      position = next
    }
  }

  /// The end of a run of characters of one class, of which there are `limit` at most.
  func run(of kind: CharacterClass, from start: Int, atMost limit: Int = .max) -> Int {
    var position = start
    var left = limit
    while position < end, left > 0 {
      let (found, length) = characterClass(text, at: position, end: end)
      if found != kind { break }
      position += length
      left -= 1
    }
    return position
  }
}

private struct GPT2Scanner: WordCutter {
  let text: [UInt8]
  let end: Int

  func wordEnd(at start: Int) -> Int {
    if text[start] == 0x27 {  // '
      let length = contraction(after: start + 1)
      if length > 0 { return start + 1 + length }
    }
    let (kind, length) = characterClass(text, at: start, end: end)
    if kind != .space { return run(of: kind, from: start + length) }
    if text[start] == 0x20, start + 1 < end {  // ` ?` before a run of one class
      let (following, width) = characterClass(text, at: start + 1, end: end)
      if following != .space { return run(of: following, from: start + 1 + width) }
    }
    // `\s+(?!\S)`: the last blank before something else is left to it, unless it is the only one.
    var last = start
    var position = start
    while position < end {
      let (kind, length) = characterClass(text, at: position, end: end)
      if kind != .space { return last > start ? last : position }
      last = position
      position += length
    }
    return end
  }

  /// The length of s, t, m, d, re, ve or ll after an apostrophe.
  private func contraction(after start: Int) -> Int {
    guard start < end else { return 0 }
    let second = start + 1 < end ? text[start + 1] : 0
    switch text[start] {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 1
    case UInt8(ascii: "r"), UInt8(ascii: "v"): return second == UInt8(ascii: "e") ? 2 : 0
    case UInt8(ascii: "l"): return second == UInt8(ascii: "l") ? 2 : 0
    default: return 0
    }
  }
}
