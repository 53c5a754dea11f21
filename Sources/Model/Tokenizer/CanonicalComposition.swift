/// The text in Unicode's normalization form C, or nil where it is so already. `text` is valid UTF-8.
///
/// The standard library compares strings so but gives no such string out. Most text has nothing to compose, so only the
/// stretches about a character that may change are taken apart and put together again (UAX 15).
func canonicallyComposed(_ text: ArraySlice<UInt8>) -> [UInt8]? {
  // Below U+0300 nothing changes but by what follows; U+0300 is CC 80.
  guard text.contains(where: { $0 >= 0xCC }) else { return nil }
  let tables = CompositionTables.shared
  var scalars: [Unicode.Scalar] = []
  var hasChanged = false
  let source = Array(String(decoding: text, as: UTF8.self).unicodeScalars)
  scalars.reserveCapacity(source.count)
  var position = 0
  while position < source.count {
    guard tables.mayChange(source[position]) else {
      scalars.append(source[position])
      position += 1
      continue
    }
    // From the starter in front of it up to the next character that stays as it is.
    var stretch: [Unicode.Scalar] = []
    if let last = scalars.popLast() { stretch.append(last) }
    while position < source.count, tables.mayChange(source[position]) {
      stretch.append(source[position])
      position += 1
    }
    let composed = tables.compose(tables.decompose(stretch))
    if composed != stretch { hasChanged = true }
    scalars.append(contentsOf: composed)
  }
  guard hasChanged else { return nil }
  var result = String.UnicodeScalarView()
  result.append(contentsOf: scalars)
  return Array(String(result).utf8)
}

/// What ``canonicalDecompositions`` says, by character and by pair.
private struct CompositionTables: Sendable {
  static let shared = CompositionTables()

  private var parts: [UInt32: (first: UInt32, second: UInt32?)] = [:]
  private var composites: [UInt64: UInt32] = [:]
  /// Those that do not stay as they are, or that may compose with what stands in front of them.
  private var unsteady: Set<UInt32> = []

  private init() {
    let text = unsafe String(
      decoding: UnsafeBufferPointer(
        start: canonicalDecompositions.utf8Start, count: canonicalDecompositions.utf8CodeUnitCount), as: UTF8.self)
    for entry in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
      let isExcluded = entry.hasPrefix("!")
      let values = entry.drop { $0 == "!" }.split { $0 == "=" || $0 == "+" }.map { UInt32($0, radix: 16) ?? 0 }
      precondition(values.count == 2 || values.count == 3, "'\(entry)' is no decomposition")
      parts[values[0]] = (values[1], values.count > 2 ? values[2] : nil)
      if isExcluded {
        unsteady.insert(values[0])
      } else {
        composites[Self.pair(values[1], values[2])] = values[0]
        unsteady.insert(values[2])
      }
    }
  }

  private static func pair(_ first: UInt32, _ second: UInt32) -> UInt64 { UInt64(first) << 32 | UInt64(second) }

  func mayChange(_ scalar: Unicode.Scalar) -> Bool {
    let value = scalar.value
    if value < 0x300 { return false }
    return unsteady.contains(value) || Hangul.vowels.contains(value) || Hangul.finals.contains(value)
      || scalar.properties.canonicalCombiningClass != .notReordered
  }

  /// Taken apart as far as it goes, marks in the order of their classes.
  func decompose(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    func append(_ value: UInt32) {
      if let (first, second) = parts[value] {
        append(first)
        if let second { append(second) }
      } else if let syllable = Hangul.parts(of: value) {
        for part in syllable { append(part) }
      } else if let scalar = Unicode.Scalar(value) {
        result.append(scalar)
      }
    }
    for scalar in scalars { append(scalar.value) }

    var start = 0
    while start < result.count {
      var end = start
      while end < result.count, result[end].properties.canonicalCombiningClass != .notReordered { end += 1 }
      if end - start > 1 {
        // A stable sort: those of one class keep their order.
        let marks = result[start..<end].enumerated().sorted {
          let (left, right) = (
            $0.element.properties.canonicalCombiningClass, $1.element.properties.canonicalCombiningClass
          )
          return left == right ? $0.offset < $1.offset : left < right
        }
        result.replaceSubrange(start..<end, with: marks.map(\.element))
      }
      start = max(end, start + 1)
    }
    return result
  }

  func compose(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    var starter: Int?
    var lastClass = Unicode.CanonicalCombiningClass.notReordered
    for scalar in scalars {
      let combining = scalar.properties.canonicalCombiningClass
      if let starter {
        // It is blocked by one of its own class or of a higher one that stands between.
        let isNext = starter == result.count - 1
        if isNext || (lastClass != .notReordered && lastClass < combining),
          let composite = composite(result[starter], scalar)
        {
          result[starter] = composite
          continue
        }
      }
      if combining == .notReordered { starter = result.count }
      lastClass = combining
      result.append(scalar)
    }
    return result
  }

  private func composite(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    let value = composites[Self.pair(first.value, second.value)] ?? Hangul.composite(first.value, second.value)
    return value.flatMap { Unicode.Scalar($0) }
  }
}

/// Syllables are computed (The Unicode Standard, 3.12).
private enum Hangul {
  static let leads: Range<UInt32> = 0x1100..<0x1113
  static let vowels: Range<UInt32> = 0x1161..<0x1176
  static let finals: Range<UInt32> = 0x11A8..<0x11C3
  private static let syllables: Range<UInt32> = 0xAC00..<0xD7A4
  private static let perVowel: UInt32 = 28
  private static let perLead: UInt32 = 21 * 28

  static func parts(of value: UInt32) -> [UInt32]? {
    guard syllables.contains(value) else { return nil }
    let index = value - syllables.lowerBound
    let final = index % perVowel
    let parts = [leads.lowerBound + index / perLead, vowels.lowerBound + index % perLead / perVowel]
    return final == 0 ? parts : parts + [finals.lowerBound + final - 1]
  }

  static func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if leads.contains(first), vowels.contains(second) {
      let index = (first - leads.lowerBound) * perLead + (second - vowels.lowerBound) * perVowel
      return syllables.lowerBound + index
    }
    if syllables.contains(first), (first - syllables.lowerBound) % perVowel == 0, finals.contains(second) {
      return first + second - finals.lowerBound + 1
    }
    return nil
  }
}
