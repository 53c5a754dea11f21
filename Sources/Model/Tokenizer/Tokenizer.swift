/// Text to token ids and back: byte-level BPE.
///
/// Immutable after it is made, so any thread may use it; nothing blocks and nothing traps, whatever the text or the ids.
/// The two file formats are read in `Tokenizer+GGUF.swift` and `Tokenizer+HuggingFace.swift`.
package final class Tokenizer: Sendable {
  package let preTokenizer: PreTokenizer
  package let bos: Int32?
  package let eos: Int32?
  /// Whether the model's file asks for `bos` in front of a prompt. `encode` never adds it.
  package let addsBOS: Bool
  /// Tokens after which generation stops: `eos` and the markers of the end of a turn or a text that the vocabulary has.
  package let endOfTurn: [Int32]

  private let vocabulary: Vocabulary
  private let merges: MergeTable
  private let specials: SpecialTokens
  private let idOfByte: [Int32]  // -1: the vocabulary has no token for this byte
  private let unknown: Int32?

  /// `unknown` stands for a byte without token; where it is nil such a byte is left out, as Hugging Face's BPE without
  /// `unk_token` does. (SmolLM2 lacks 21 bytes: some controls, and bytes that UTF-8 never has or hardly ever.)
  init(
    vocabulary: Vocabulary, merges: MergeTable, preTokenizer: PreTokenizer, bos: Int?, eos: Int?, addsBOS: Bool,
    unknown: Int?
  ) throws(TokenizerError) {
    func checked(_ id: Int?, _ name: String) throws(TokenizerError) -> Int32? {
      guard let id else { return nil }
      guard id >= 0, id < vocabulary.count else {
        throw .idOutOfRange(name: name, found: id, vocabulary: vocabulary.count)
      }
      return Int32(id)
    }
    self.bos = try checked(bos, "bos")
    self.eos = try checked(eos, "eos")
    self.unknown = try checked(unknown, "unknown")
    self.vocabulary = vocabulary
    self.merges = merges
    self.preTokenizer = preTokenizer
    self.addsBOS = addsBOS
    self.specials = SpecialTokens(vocabulary)
    self.idOfByte = (0..<256).map { vocabulary.id(ofText: ByteAlphabet.text(of: UInt8($0))[...]) ?? -1 }
    var ends: [Int32] = []
    if let id = self.eos { ends.append(id) }
    for text in ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>"] {
      guard let id = vocabulary.id(ofText: [UInt8](text.utf8)[...]), vocabulary.kinds[Int(id)] == .control else {
        continue
      }
      if !ends.contains(id) { ends.append(id) }
    }
    self.endOfTurn = ends
  }

  // MARK: Encoding

  /// The ids of `text` as it is: no template, no added tokens. The text of a control token is plain text unless `recognizeSpecial`.
  package func encode(_ text: String, recognizeSpecial: Bool = false) -> [Int32] {
    encode([TextPiece(text, recognizeSpecial: recognizeSpecial)])
  }

  /// The ids of the pieces' joined text, where only the marked pieces can hold control tokens. So what a user wrote between
  /// a template's markers can never become one, and yet the words are cut as if the text were one.
  package func encode(_ pieces: [TextPiece]) -> [Int32] {
    var text: [UInt8] = []
    var ids: [Int32] = []
    var merger = BytePairMerger()
    var symbols: [Int32] = []
    var wordsFrom = 0
    for piece in pieces { text.append(contentsOf: piece.text.utf8) }
    ids.reserveCapacity(text.count / 3 + 4)

    func encodeWords(_ range: Range<Int>) {
      preTokenizer.split(text, range) { word in
        symbols.removeAll(keepingCapacity: true)
        for byte in text[word] {
          let id = idOfByte[Int(byte)]
          if id >= 0 { symbols.append(id) } else if let unknown { symbols.append(unknown) }
        }
        merger.merge(&symbols, with: merges)
        ids.append(contentsOf: symbols)
      }
    }

    var position = 0
    for piece in pieces {
      let end = position + piece.text.utf8.count
      while position < end {
        guard let match = specials.match(text, at: position, end: end, control: piece.recognizeSpecial) else {
          position += 1
          continue
        }
        encodeWords(wordsFrom..<position)
        ids.append(match.id)
        position += match.length
        wordsFrom = position
      }
    }
    encodeWords(wordsFrom..<position)
    return ids
  }

  // MARK: Decoding

  /// The bytes that the ids stand for. An id outside the vocabulary gives U+FFFD, so that it is seen.
  package func decodeBytes(_ ids: some Sequence<Int32>, skipSpecial: Bool = false) -> [UInt8] {
    var bytes: [UInt8] = []
    for id in ids {
      guard id >= 0, id < vocabulary.count else {
        bytes.append(contentsOf: [0xEF, 0xBF, 0xBD])
        continue
      }
      if skipSpecial, vocabulary.kinds[Int(id)] == .control { continue }
      bytes.append(contentsOf: vocabulary.bytesOfToken(Int(id)))
    }
    return bytes
  }

  /// The text of the ids; bytes that are not UTF-8 become U+FFFD.
  package func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool = false) -> String {
    String(decoding: decodeBytes(ids, skipSpecial: skipSpecial), as: UTF8.self)
  }

  /// The id of a token by its exact text as the model's file writes it.
  package func id(ofToken text: String) -> Int32? {
    vocabulary.id(ofText: [UInt8](text.utf8)[...])
  }
}

/// A stretch of a prompt, and whether the text of control tokens in it means those tokens.
package struct TextPiece: Sendable, Equatable {
  package var text: String
  package var recognizeSpecial: Bool

  package init(_ text: String, recognizeSpecial: Bool) {
    self.text = text
    self.recognizeSpecial = recognizeSpecial
  }
}
