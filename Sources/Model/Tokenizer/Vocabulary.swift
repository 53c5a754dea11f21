/// The tokens of a model: their text as the file writes it, the bytes they stand for, and a table from text to id.
///
/// All texts lie in one array, so that 49152 tokens are three allocations and not 49152.
struct Vocabulary: Sendable {
  /// GGUF's `tokenizer.ggml.token_type`.
  enum Kind: Int32 {
    case normal = 1
    case unknown, control, userDefined, unused, byte

    /// Whether text can become the token by merging.
    var isText: Bool { self == .normal || self == .userDefined }
    /// Whether only a template's text can become it.
    var isControl: Bool { self == .control || self == .unknown }
  }

  /// How tokens write the bytes that they stand for.
  enum Writing: Sendable {
    /// Each byte as one printable scalar: see ``ByteAlphabet``.
    case byteAlphabet
    /// As text with "▁" for blanks, and bytes that are no character as `<0x0A>`.
    case sentencePiece
  }

  static let maximumTokens = 1 << 21
  static let maximumMerges = 1 << 22
  /// Bytes of a token that is found in the text, since a text may hold its beginning everywhere; and of all together, which
  /// stand in a tree. Gemma's longest has 93 of 100,000.
  static let maximumAddedLength = 256
  static let maximumAddedBytes = 1 << 21
  /// Bytes of a token that is merged by scores: all its splits are looked up. SentencePiece has 16 characters by default.
  static let maximumScoredLength = 1024

  let count: Int
  let kinds: [Kind]
  let writing: Writing
  private let text: [UInt8]
  private let textEnds: [Int]
  private let bytes: [UInt8]
  private let byteEnds: [Int]
  /// Open addressing; a power of two, at most half full. The upper half of the hash and the id, so that other texts are
  /// told apart without looking at them.
  private let slots: [UInt64]
  private let seed: UInt64

  init(tokens: [String], kinds: [Kind], writing: Writing = .byteAlphabet) throws(TokenizerError) {
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
      switch writing {
      case .byteAlphabet: Self.appendBytes(of: token, kind: kinds[index], to: &bytes)
      case .sentencePiece:
        if kinds[index] == .byte, let byte = Self.byte(ofText: text[start...]) {
          bytes.append(byte)
        } else {
          Self.appendWithBlanks(text[start...], to: &bytes)
        }
      }
      byteEnds.append(bytes.count)
    }

    var capacity = 16
    while capacity < tokens.count * 2 { capacity *= 2 }
    var slots = [UInt64](repeating: Self.free, count: capacity)
    let seed = UInt64.random(in: 0 ... .max)
    for index in 0..<tokens.count {
      let key = text[(index == 0 ? 0 : textEnds[index - 1])..<textEnds[index]]
      let hash = Self.finish(Self.hash(key, from: Self.start(seed)))
      var slot = Int(truncatingIfNeeded: hash) & (capacity - 1)
      while slots[slot] != Self.free {
        let other = Int(slots[slot] & Self.idMask)
        if slots[slot] ^ hash <= Self.idMask,
          text[(other == 0 ? 0 : textEnds[other - 1])..<textEnds[other]] == key
        {
          throw .duplicateToken(text: tokens[index], first: other, second: index)
        }
        slot = (slot + 1) & (capacity - 1)
      }
      slots[slot] = hash & ~Self.idMask | UInt64(index)
    }

    self.count = tokens.count
    self.kinds = kinds
    self.writing = writing
    self.text = text
    self.textEnds = textEnds
    self.bytes = bytes
    self.byteEnds = byteEnds
    self.slots = slots
    self.seed = seed
  }

  /// The id of the token whose text, as the file writes it, is exactly these UTF-8 bytes.
  func id(ofText key: ArraySlice<UInt8>) -> Int32? { id(ofText: key, hash: Self.hash(key, from: Self.start(seed))) }

  func id(ofText key: String) -> Int32? { id(ofText: [UInt8](key.utf8)[...]) }

  private func id(ofText key: ArraySlice<UInt8>, hash: UInt64) -> Int32? {
    let hash = Self.finish(hash)
    var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
    while slots[slot] != Self.free {
      let id = Int(slots[slot] & Self.idMask)
      if slots[slot] ^ hash <= Self.idMask, textOfToken(id) == key { return Int32(id) }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  /// Calls `body` with the ids of both parts of each split of a text into two tokens.
  func forEachSplit(of text: ArraySlice<UInt8>, _ body: (Int32, Int32) -> Void) {
    var hash = Self.start(seed)  // of what lies before `position`, so that a text is not hashed again for each split
    for position in text.indices {
      if position > text.startIndex, text[position] & 0xC0 != 0x80,
        let left = id(ofText: text[..<position], hash: hash), let right = id(ofText: text[position...])
      {
        body(left, right)
      }
      hash = Self.next(hash, text[position])
    }
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

  /// The byte of `<0x0A>`.
  static func byte(ofText text: ArraySlice<UInt8>) -> UInt8? {
    let digits = text.dropFirst(3).dropLast()
    guard text.count == 6, text.starts(with: [0x3C, 0x30, 0x78]), text.last == UInt8(ascii: ">"),
      digits.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") })
    else { return nil }
    return UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
  }

  private static func appendWithBlanks(_ text: ArraySlice<UInt8>, to bytes: inout [UInt8]) {
    var rest = text
    while let first = rest.first {
      if first == BlankMark.utf8[0], BlankMark.begins(rest) {
        bytes.append(0x20)
        rest = rest.dropFirst(BlankMark.utf8.count)
      } else {
        bytes.append(first)
        rest = rest.dropFirst()
      }
    }
  }

  // MARK: Hashing

  private static let idMask: UInt64 = 0xFFFF_FFFF
  private static let free = UInt64.max  // ids are below 2^31

  // FNV-1a from a random start, so that a file cannot be made whose tokens all collide.

  private static func start(_ seed: UInt64) -> UInt64 { 0xCBF2_9CE4_8422_2325 ^ seed }

  @inline(__always)
  private static func next(_ hash: UInt64, _ byte: UInt8) -> UInt64 { (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }

  private static func finish(_ hash: UInt64) -> UInt64 { hash ^ (hash >> 29) }

  private static func hash(_ key: ArraySlice<UInt8>, from start: UInt64) -> UInt64 {
    var hash = start
    for byte in key { hash = next(hash, byte) }
    return hash
  }
}
