/// The tokens of a model: their text as the file writes it, the bytes they stand for, and a table from text to id.
///
/// All texts lie in one array, so that 49152 tokens are three allocations and not 49152.
struct Vocabulary: Sendable {
  /// GGUF's `tokenizer.ggml.token_type`.
  enum Kind: Int32 {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  static let maximumTokens = 1 << 21
  static let maximumMerges = 1 << 22

  let count: Int
  let kinds: [Kind]
  private let text: [UInt8]
  private let textEnds: [Int]
  private let bytes: [UInt8]
  private let byteEnds: [Int]
  private let slots: [Int32]  // open addressing, -1 is free; a power of two, at most half full
  private let seed: UInt64

  init(tokens: [String], kinds: [Kind]) throws(TokenizerError) {
    guard !tokens.isEmpty else { throw .emptyVocabulary }
    guard tokens.count <= Self.maximumTokens else {
      throw .tooMany(what: "tokens", found: tokens.count, allowed: Self.maximumTokens)
    }
    guard kinds.count == tokens.count else { throw .typeCount(types: kinds.count, tokens: tokens.count) }

    var text: [UInt8] = []
    var textEnds: [Int] = []
    var bytes: [UInt8] = []
    var byteEnds: [Int] = []
    textEnds.reserveCapacity(tokens.count)
    byteEnds.reserveCapacity(tokens.count)
    for (index, token) in tokens.enumerated() {
      let start = text.count
      text.append(contentsOf: token.utf8)
      guard text.count > start else { throw .emptyToken(index: index) }
      textEnds.append(text.count)
      Self.appendBytes(of: token, kind: kinds[index], to: &bytes)
      byteEnds.append(bytes.count)
    }

    var capacity = 16
    while capacity < tokens.count * 2 { capacity *= 2 }
    var slots = [Int32](repeating: -1, count: capacity)
    let seed = UInt64.random(in: 0 ... .max)
    for index in 0..<tokens.count {
      let key = text[(index == 0 ? 0 : textEnds[index - 1])..<textEnds[index]]
      var slot = Int(truncatingIfNeeded: Self.hash(key, seed: seed)) & (capacity - 1)
      while slots[slot] >= 0 {
        let other = Int(slots[slot])
        if text[(other == 0 ? 0 : textEnds[other - 1])..<textEnds[other]] == key {
          throw .duplicateToken(text: tokens[index], first: other, second: index)
        }
        slot = (slot + 1) & (capacity - 1)
      }
      slots[slot] = Int32(index)
    }

    self.count = tokens.count
    self.kinds = kinds
    self.text = text
    self.textEnds = textEnds
    self.bytes = bytes
    self.byteEnds = byteEnds
    self.slots = slots
    self.seed = seed
  }

  /// The id of the token whose text, as the file writes it, is exactly these UTF-8 bytes.
  func id(ofText key: ArraySlice<UInt8>) -> Int32? {
    var slot = Int(truncatingIfNeeded: Self.hash(key, seed: seed)) & (slots.count - 1)
    while slots[slot] >= 0 {
      if textOfToken(Int(slots[slot])) == key { return slots[slot] }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  /// The token's text as the file writes it.
  func textOfToken(_ index: Int) -> ArraySlice<UInt8> {
    text[(index == 0 ? 0 : textEnds[index - 1])..<textEnds[index]]
  }

  /// The bytes that the token stands for.
  func bytesOfToken(_ index: Int) -> ArraySlice<UInt8> {
    bytes[(index == 0 ? 0 : byteEnds[index - 1])..<byteEnds[index]]
  }

  /// Normal tokens are written in the byte alphabet; the others, and those with a scalar outside of it, stand for their own text.
  private static func appendBytes(of token: String, kind: Kind, to bytes: inout [UInt8]) {
    switch kind {
    case .control, .userDefined, .unknown, .unused:
      bytes.append(contentsOf: token.utf8)
    case .normal, .byte:
      let start = bytes.count
      for scalar in token.unicodeScalars {
        guard let byte = ByteAlphabet.byte(of: scalar) else {
          bytes.removeSubrange(start...)
          bytes.append(contentsOf: token.utf8)
          return
        }
        bytes.append(byte)
      }
    }
  }

  /// FNV-1a from a random start, so that a file cannot be made whose tokens all collide.
  private static func hash(_ key: ArraySlice<UInt8>, seed: UInt64) -> UInt64 {
    var hash = 0xCBF2_9CE4_8422_2325 ^ seed
    for byte in key { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return hash ^ (hash >> 29)
  }
}
