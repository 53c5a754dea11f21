extension Tokenizer {
  /// The ids of `text` as it is: no template, and nothing put in front. The text of a control token is plain text unless
  /// `recognizeSpecial`; that of other added tokens means them.
  package func encode(_ text: String, recognizeSpecial: Bool = false) -> [Int32] {
    var encoding = Encoding(self)
    encoding.add([TextPiece(text, recognizeSpecial: recognizeSpecial)])
    return encoding.ids
  }

  /// The ids of the pieces' joined text, where only the marked pieces can hold control tokens. So what a user wrote between
  /// a template's markers can never become one, and yet the words are cut as if the text were one.
  package func encode(_ pieces: [TextPiece]) -> [Int32] {
    var encoding = Encoding(self)
    encoding.countsBlanks = parts.countsBlanksOfChats
    encoding.add(pieces)
    return encoding.ids
  }

  /// The ids of a prompt: in front of a plain text what the model's file asks for, unless the text begins with it.
  package func encode(_ prompt: PromptText) -> [Int32] {
    let ids = encode(prompt.pieces)
    return prompt.isChat || (!beginning.isEmpty && ids.starts(with: beginning)) ? ids : beginning + ids
  }

  /// The ids that a text adds to a prompt: both encoded together, as lm-evaluation-harness does. Where the prompt's own ids
  /// are not the beginning of those, since the text changes its last word, the text is encoded by itself, as what goes
  /// on and not as what begins: without first token, without a "▁" in front.
  package func continuation(_ text: String, of prompt: PromptText, recognizeSpecial: Bool = false) -> [Int32] {
    let before = encode(prompt)
    let whole = encode(prompt.appending(text, recognizeSpecial: recognizeSpecial))
    if whole.starts(with: before) { return Array(whole.dropFirst(before.count)) }
    return continuation(text, recognizeSpecial: recognizeSpecial)
  }

  /// The ids of a text that goes on where tokens end.
  package func continuation(_ text: String, recognizeSpecial: Bool = false) -> [Int32] {
    var encoding = Encoding(self)
    encoding.continues = true
    encoding.add([TextPiece(text, recognizeSpecial: recognizeSpecial)])
    return encoding.ids
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

/// A prompt before it is tokens.
package struct PromptText: Sendable, Equatable {
  package var pieces: [TextPiece]
  /// A chat template wrote it. Templates write the first token themselves where the model wants one, so none is added; as
  /// transformers' `apply_chat_template` does.
  package var isChat: Bool

  package static func chat(_ pieces: [TextPiece]) -> PromptText { PromptText(pieces: pieces, isChat: true) }

  package static func text(_ text: String, recognizeSpecial: Bool = false) -> PromptText {
    PromptText(pieces: [TextPiece(text, recognizeSpecial: recognizeSpecial)], isChat: false)
  }

  package func appending(_ text: String, recognizeSpecial: Bool = false) -> PromptText {
    PromptText(pieces: pieces + [TextPiece(text, recognizeSpecial: recognizeSpecial)], isChat: isChat)
  }
}

/// One call of `encode`: added tokens are cut out, what lies between them is normalized, cut into words, and merged.
private struct Encoding {
  private let tokenizer: Tokenizer
  private let parts: TokenizerParts
  private(set) var ids: [Int32] = []
  /// The text goes on where another ended.
  var continues = false
  /// See ``TokenizerParts/countsBlanksOfChats``.
  var countsBlanks = false

  private var merger = BytePairMerger()
  private var symbols: [Int32] = []
  private var isBehindControl = false

  init(_ tokenizer: Tokenizer) {
    self.tokenizer = tokenizer
    parts = tokenizer.parts
  }

  mutating func add(_ pieces: [TextPiece]) {
    var text = MarkedText()
    for piece in pieces { text.append(piece.text.utf8, control: piece.recognizeSpecial) }
    ids.reserveCapacity(text.bytes.count / 3 + 4)
    tokenizer.added.split(text) { part in
      switch part {
      case .token(let id, let isControl):
        ids.append(id)
        isBehindControl = isControl
      case .stretch(let range): add(text, range)
      }
    }
  }

  private mutating func add(_ text: MarkedText, _ range: Range<Int>) {
    let isFirst = range.lowerBound == 0
    let hasBlank = countsBlanks && isBehindControl && text.bytes[range.lowerBound] == 0x20
    let goesOn = (isFirst && continues) || hasBlank
    isBehindControl = false
    if parts.normalizer.changesNothing {
      add(text.bytes, range, isFirst: isFirst, continues: goesOn)
      return
    }
    let normalized = parts.normalizer.apply(text, range, continues: goesOn)
    tokenizer.normalizedAdded.split(normalized) { part in
      switch part {
      case .token(let id, let isControl):
        ids.append(id)
        isBehindControl = isControl
      case .stretch(let range):
        add(normalized.bytes, range, isFirst: isFirst && range.lowerBound == 0, continues: goesOn)
      }
    }
  }

  private mutating func add(_ text: [UInt8], _ range: Range<Int>, isFirst: Bool, continues: Bool) {
    switch parts.cut {
    case .words(let preTokenizer): preTokenizer.split(text, range) { addWord(text, $0) }
    case .stretches(nil): addStretch(text, range, splits: false)
    case .stretches(let metaspace?):
      let marked = metaspace.apply(text[range], isFirst: isFirst, continues: continues)
      addStretch(marked, 0..<marked.count, splits: metaspace.splits)
    }
  }

  /// A stretch of SentencePiece is one word. It is cut where no merge goes across anyway: many short words cost less.
  private mutating func addStretch(_ text: [UInt8], _ range: Range<Int>, splits: Bool) {
    if !splits, parts.ignoresMerges, let id = tokenizer.symbols.whole(text, range) {
      ids.append(id)
      return
    }
    let mayCut = !parts.merges.joinsBeforeBlank && tokenizer.symbols.hasBlankMark
    guard splits || mayCut else {
      addMerged(text, range)
      return
    }
    var start = range.lowerBound
    var position = start
    while position < range.upperBound {
      guard BlankMark.stands(in: text, at: position) else {
        position += 1
        continue
      }
      let isBehindBlank = position >= start + 3 && BlankMark.stands(in: text, at: position - 3)
      if position > start, splits || !isBehindBlank {
        if splits { addWord(text, start..<position) } else { addMerged(text, start..<position) }
        start = position
      }
      position += BlankMark.utf8.count
    }
    if splits { addWord(text, start..<range.upperBound) } else { addMerged(text, start..<range.upperBound) }
  }

  private mutating func addWord(_ text: [UInt8], _ word: Range<Int>) {
    if parts.ignoresMerges, let id = tokenizer.symbols.whole(text, word) {
      ids.append(id)
    } else {
      addMerged(text, word)
    }
  }

  private mutating func addMerged(_ text: [UInt8], _ word: Range<Int>) {
    symbols.removeAll(keepingCapacity: true)
    tokenizer.symbols.append(text, word, to: &symbols)
    merger.merge(&symbols, with: parts.merges)
    ids.append(contentsOf: symbols)
  }
}
