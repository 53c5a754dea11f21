/// 32 bytes of SHA-256. Written `sha256:` and 64 lower-case hexadecimal digits wherever people or files see it.
package struct Digest: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The hash in its eight big-endian words, as FIPS 180-4 numbers them.
  private let words: [8 of UInt32]

  init(words: [8 of UInt32]) { self.words = words }

  /// Nil unless there are exactly 32 bytes.
  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 32 else { return nil }
    var words: [8 of UInt32] = .init(repeating: 0)
    for (index, byte) in bytes.enumerated() { words[index / 4] = words[index / 4] << 8 | UInt32(byte) }
    self.words = words
  }

  /// Reads 64 hexadecimal digits, of either case.
  package init?(hex: some StringProtocol) {
    guard hex.utf8.count == 64 else { return nil }
    var words: [8 of UInt32] = .init(repeating: 0)
    for (index, character) in hex.utf8.enumerated() {
      let digit: UInt8
      switch character {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = character - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = character - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = character - UInt8(ascii: "A") + 10
      default: return nil
      }
      words[index / 8] = words[index / 8] << 4 | UInt32(digit)
    }
    self.words = words
  }

  /// Reads `sha256:` and the digits.
  package init?(description: some StringProtocol) {
    guard description.hasPrefix("sha256:") else { return nil }
    self.init(hex: description.dropFirst(7))
  }

  package var bytes: [UInt8] {
    words.indices.flatMap { index in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: words[index] >> $0) }
    }
  }

  /// 64 lower-case digits.
  package var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    let text = bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    return String(decoding: text, as: UTF8.self)
  }

  package var description: String { "sha256:" + hex }

  package static func == (left: Digest, right: Digest) -> Bool {
    left.words.indices.allSatisfy { left.words[$0] == right.words[$0] }
  }

  package static func < (left: Digest, right: Digest) -> Bool {
    for index in left.words.indices where left.words[index] != right.words[index] {
      return left.words[index] < right.words[index]
    }
    return false
  }

  package func hash(into hasher: inout Hasher) {
    for index in words.indices { hasher.combine(words[index]) }
  }
}
