/// The tokens that words are taken apart into before merging: one for each byte, or one for each character.
struct SymbolTable: Sendable {
  private let vocabulary: Vocabulary
  private let unknown: Int32?
  private let fusesUnknown: Bool
  /// By byte: in the byte alphabet, or `<0x0A>`; -1 where there is none.
  private let idOfByte: [Int32]
  /// SentencePiece: by scalar, below U+10000.
  private let idOfScalar: [Int32]
  private let fallsBackToBytes: Bool

  init(_ vocabulary: Vocabulary, unknown: Int32?, fusesUnknown: Bool, fallsBackToBytes: Bool) {
    self.vocabulary = vocabulary
    self.unknown = unknown
    self.fusesUnknown = fusesUnknown
    self.fallsBackToBytes = fallsBackToBytes
    switch vocabulary.writing {
    case .byteAlphabet:
      idOfByte = (0..<256).map { Self.textID(vocabulary, ByteAlphabet.text(of: UInt8($0))[...]) }
      idOfScalar = []
    case .sentencePiece:
      var ofByte = [Int32](repeating: -1, count: 256)
      var ofScalar = [Int32](repeating: -1, count: 0x10000)
      for index in 0..<vocabulary.count {
        let text = vocabulary.textOfToken(index)
        if vocabulary.kinds[index] == .byte, let byte = Vocabulary.byte(ofText: text) {
          ofByte[Int(byte)] = Int32(index)
        } else if vocabulary.kinds[index].isText, text.count <= 3 {
          let (value, length) = scalarValue(Array(text), at: 0, end: text.count)
          if length == text.count, value < 0x10000 { ofScalar[Int(value)] = Int32(index) }
        }
      }
      idOfByte = ofByte
      idOfScalar = ofScalar
    }
  }

  /// -1 where there is none, or only one that text never becomes.
  private static func textID(_ vocabulary: Vocabulary, _ text: ArraySlice<UInt8>) -> Int32 {
    guard let id = vocabulary.id(ofText: text), vocabulary.kinds[Int(id)].isText else { return -1 }
    return id
  }

  /// The token that a whole word is, as `ignore_merges` takes it.
  func whole(_ text: [UInt8], _ word: Range<Int>) -> Int32? {
    let id =
      switch vocabulary.writing {
      case .byteAlphabet: vocabulary.id(ofText: text[word].flatMap(ByteAlphabet.text(of:))[...])
      case .sentencePiece: vocabulary.id(ofText: text[word])
      }
    return id.flatMap { vocabulary.kinds[Int($0)].isControl ? nil : $0 }
  }

  /// Whether "▁" is a token.
  var hasBlankMark: Bool { !idOfScalar.isEmpty && idOfScalar[0x2581] >= 0 }

  /// What has no token is the unknown token, several together where they are fused, or left out. As Hugging Face's BPE
  /// does, the unknown token stands before the next known character, behind bytes that were fallen back to.
  func append(_ text: [UInt8], _ word: Range<Int>, to symbols: inout [Int32]) {
    var pendingUnknown = false
    func appendKnown(_ id: Int32) {
      if pendingUnknown, let unknown { symbols.append(unknown) }
      pendingUnknown = false
      symbols.append(id)
    }
    func appendUnknown() {
      if pendingUnknown, !fusesUnknown, let unknown { symbols.append(unknown) }
      pendingUnknown = unknown != nil
    }
    switch vocabulary.writing {
    case .byteAlphabet:
      for position in word {
        let id = idOfByte[Int(text[position])]
        if id >= 0 { appendKnown(id) } else { appendUnknown() }
      }
    case .sentencePiece:
      var position = word.lowerBound
      while position < word.upperBound {
        let (value, length) = scalarValue(text, at: position, end: word.upperBound)
        let bytes = text[position..<(position + length)]
        position += length
        let id = value < 0x10000 ? idOfScalar[Int(value)] : Self.textID(vocabulary, bytes)
        if id >= 0 {
          appendKnown(id)
        } else if fallsBackToBytes, bytes.allSatisfy({ idOfByte[Int($0)] >= 0 }) {
          for byte in bytes { symbols.append(idOfByte[Int(byte)]) }
        } else {
          appendUnknown()
        }
      }
    }
    if pendingUnknown, let unknown { symbols.append(unknown) }
  }
}
