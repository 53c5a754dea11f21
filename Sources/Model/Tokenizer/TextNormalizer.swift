/// What is done to a stretch of text between added tokens before it is cut into words: tokenizer.json's `normalizer`, or
/// what a kind of GGUF tokenizer implies.
struct TextNormalizer: Sendable, Equatable {
  /// Unicode's normalization form C.
  var composes = false
  /// A "▁" is put in front of the stretch.
  var prependsBlank = false
  /// Blanks (U+0020, no other) become "▁".
  var marksBlanks = false

  var changesNothing: Bool { self == TextNormalizer() }

  /// `continues`: nothing is put in front.
  func apply(_ text: MarkedText, _ range: Range<Int>, continues: Bool) -> MarkedText {
    var result = MarkedText()
    text.forEachRun(in: range) { part, control in
      // Run by run, so that a user's text cannot change the template's behind it. Nothing is composed across their border
      // since templates end in characters that do not compose.
      var bytes = text.bytes[part]
      if composes, let composed = canonicallyComposed(bytes) { bytes = composed[...] }
      if prependsBlank, !continues, result.bytes.isEmpty { result.append(BlankMark.utf8, control: control) }
      if marksBlanks {
        result.append(withBlankMarks(bytes), control: control)
      } else {
        result.append(bytes, control: control)
      }
    }
    return result
  }
}

func withBlankMarks(_ text: ArraySlice<UInt8>) -> [UInt8] {
  var marked: [UInt8] = []
  marked.reserveCapacity(text.count * 3 / 2)
  for byte in text {
    if byte == 0x20 { marked.append(contentsOf: BlankMark.utf8) } else { marked.append(byte) }
  }
  return marked
}

/// tokenizer.json's `Metaspace`, which marks blanks where the words are cut and not before.
struct Metaspace: Sendable, Equatable {
  enum Front: String, Sendable {
    case never
    /// In front of a text that begins with text.
    case first
    /// In front of each stretch.
    case always
  }

  var front: Front
  /// Words begin with each "▁".
  var splits: Bool

  /// Nothing is put in front where there is a blank already. `isFirst`: the stretch begins the text.
  func apply(_ text: ArraySlice<UInt8>, isFirst: Bool, continues: Bool) -> [UInt8] {
    let marked = withBlankMarks(text)
    let wanted = !continues && (front == .always || front == .first && isFirst)
    return wanted && !BlankMark.begins(marked[...]) ? BlankMark.utf8 + marked : marked
  }
}
