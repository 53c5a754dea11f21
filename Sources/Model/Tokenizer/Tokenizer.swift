/// Text to token ids and back: byte-level BPE, and SentencePiece's BPE.
///
/// Immutable after it is made, so any thread may use it; nothing blocks and nothing traps, whatever the text or the ids.
/// The two file formats are read in `Tokenizer+GGUF.swift` and `Tokenizer+HuggingFace.swift`; a text's way to ids is in
/// `Tokenizer+Encoding.swift`.
package final class Tokenizer: Sendable {
  package let bos: Int32?
  package let eos: Int32?
  /// What the model's file asks for in front of a text, as a rule `bos` or nothing; see ``PromptText``.
  package let beginning: [Int32]
  /// Tokens after which generation stops: `eos` and the markers of the end of a turn or a text that the vocabulary has.
  package let endOfTurn: [Int32]
  /// What ends an answer in a chat.
  package let turnEnd: Int32?

  let parts: TokenizerParts
  /// Found in the text as it is, and in the text as the normalizer leaves it.
  let added: AddedTokens
  let normalizedAdded: AddedTokens
  let symbols: SymbolTable

  /// Ends of turns and texts by their names, whatever `eos` is: a GGUF file of Llama 3 may name `<|end_of_text|>` alone,
  /// which no answer in a conversation reaches. As llama.cpp does, also where the file has one as a token of the user's.
  private static let turnEnds = [
    "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|eot|>", "<EOT>", "<|endofturn|>",
    "<|END_OF_TURN_TOKEN|>", "<end_of_utterance>", "<|return|>",
  ]
  private static let textEnds = [
    "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "</s>", "<\u{FF5C}end\u{2581}of\u{2581}sentence\u{FF5C}>",
  ]

  init(_ parts: TokenizerParts) throws(TokenizerError) {
    let vocabulary = parts.vocabulary
    func checked(_ id: Int?, _ name: String) throws(TokenizerError) -> Int32? {
      guard let id else { return nil }
      guard id >= 0, id < vocabulary.count else {
        throw .idOutOfRange(name: name, found: id, vocabulary: vocabulary.count)
      }
      return Int32(id)
    }
    bos = try checked(parts.bos, "bos")
    eos = try checked(parts.eos, "eos")
    var beginning: [Int32] = []
    for id in parts.beginning { if let id = try checked(id, "the first token") { beginning.append(id) } }
    self.beginning = beginning
    self.parts = parts
    symbols = SymbolTable(
      vocabulary, unknown: try checked(parts.unknown, "unknown"), fusesUnknown: parts.fusesUnknown,
      fallsBackToBytes: parts.fallsBackToBytes)
    (added, normalizedAdded) = try parts.addedTokens()

    func ends(_ names: [String]) -> [Int32] {
      names.compactMap { vocabulary.id(ofText: $0) }.filter {
        [.control, .userDefined].contains(vocabulary.kinds[Int($0)])
      }
    }
    let turnEnds = ends(Self.turnEnds)
    var all: [Int32] = []
    for id in [eos].compactMap(\.self) + turnEnds + ends(Self.textEnds) where !all.contains(id) { all.append(id) }
    endOfTurn = all
    turnEnd = eos.map { turnEnds.contains($0) } == true ? eos : turnEnds.first ?? eos
  }

  /// Nil for SentencePiece, which cuts at blanks if at all.
  package var preTokenizer: PreTokenizer? {
    if case .words(let preTokenizer) = parts.cut { preTokenizer } else { nil }
  }

  /// The text of `bos` and of `eos`, as a chat template writes them.
  package var bosText: String? { bos.map(text(ofToken:)) }
  package var eosText: String? { eos.map(text(ofToken:)) }

  private func text(ofToken id: Int32) -> String {
    String(decoding: parts.vocabulary.textOfToken(Int(id)), as: UTF8.self)
  }

  /// The id of a token by its exact text as the model's file writes it.
  package func id(ofToken text: String) -> Int32? { parts.vocabulary.id(ofText: text) }

  // MARK: Decoding

  /// The bytes that the ids stand for. An id outside the vocabulary gives U+FFFD, so that it is seen.
  package func decodeBytes(_ ids: some Sequence<Int32>, skipSpecial: Bool = false) -> [UInt8] {
    var bytes: [UInt8] = []
    for id in ids { appendBytes(of: id, skipSpecial: skipSpecial, to: &bytes) }
    if parts.dropsFirstBlank, bytes.first == 0x20 { bytes.removeFirst() }
    return bytes
  }

  /// Without what is done to the text as a whole.
  func appendBytes(of id: Int32, skipSpecial: Bool, to bytes: inout [UInt8]) {
    let vocabulary = parts.vocabulary
    guard id >= 0, id < vocabulary.count else {
      bytes.append(contentsOf: [0xEF, 0xBF, 0xBD])
      return
    }
    if skipSpecial, vocabulary.kinds[Int(id)].isControl { return }
    bytes.append(contentsOf: vocabulary.bytesOfToken(Int(id)))
  }

  /// The text of the ids; bytes that are not UTF-8 become U+FFFD.
  package func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool = false) -> String {
    String(decoding: decodeBytes(ids, skipSpecial: skipSpecial), as: UTF8.self)
  }
}

/// What a file says of a tokenizer; what can be wrong with it is found when the tokenizer is made of it.
struct TokenizerParts: Sendable {
  /// Where words are cut.
  enum Cut: Sendable {
    case words(PreTokenizer)
    /// SentencePiece's stretches are one word, but for what tokenizer.json's `Metaspace` does.
    case stretches(Metaspace?)
  }

  var vocabulary: Vocabulary
  var merges: MergeTable
  var normalizer = TextNormalizer()
  var cut: Cut
  /// A word that is a token as a whole is that token, before any merge is looked at.
  var ignoresMerges = false
  /// Of added tokens that have any; by id.
  var flags: [Int32: AddedTokens.Flags] = [:]
  var bos: Int?
  var eos: Int?
  var beginning: [Int] = []
  /// Stands for what has no token; where it is nil that is left out, as Hugging Face's BPE without `unk_token` does.
  /// (SmolLM2 lacks 21 bytes: some controls, and bytes that UTF-8 never has or hardly ever.)
  var unknown: Int?
  var fusesUnknown = false
  var fallsBackToBytes = false
  /// One blank at the beginning of decoded text is the one that was put in front.
  var dropsFirstBlank = false
  /// A blank in front of a chat's text behind a control token is the one that is put in front: a GGUF file of Mistral puts
  /// one behind `[INST]`, where its template has one.
  var countsBlanksOfChats = false

  func addedTokens() throws(TokenizerError) -> (raw: AddedTokens, normalized: AddedTokens) {
    var raw = AddedTokens()
    var normalized = AddedTokens()
    var byteCount = 0
    for index in 0..<vocabulary.count {
      let kind = vocabulary.kinds[index]
      guard kind.isControl || kind == .userDefined else { continue }
      let flags = flags[Int32(index)] ?? AddedTokens.Flags()
      let text = vocabulary.textOfToken(index)
      guard text.count <= Vocabulary.maximumAddedLength else {
        throw .tooLong(
          index: index, bytes: text.count, allowed: Vocabulary.maximumAddedLength,
          why: "for what is found before a text is cut into words")
      }
      byteCount += text.count
      guard byteCount <= Vocabulary.maximumAddedBytes else {
        throw .tooMany(what: "bytes of added tokens", found: byteCount, allowed: Vocabulary.maximumAddedBytes)
      }
      if flags.isNormalized, !normalizer.changesNothing {
        var marked = MarkedText()
        marked.append(text, control: true)
        let changed = normalizer.apply(marked, 0..<text.count, continues: false)
        normalized.add(changed.bytes, id: Int32(index), isControl: kind.isControl, flags: flags)
      } else {
        raw.add(text, id: Int32(index), isControl: kind.isControl, flags: flags)
      }
    }
    return (raw, normalized)
  }
}
