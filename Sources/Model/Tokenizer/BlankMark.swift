/// "▁", U+2581: what SentencePiece writes for a blank.
enum BlankMark {
  static let text = "\u{2581}"
  static let utf8: [UInt8] = [0xE2, 0x96, 0x81]

  static func begins(_ text: ArraySlice<UInt8>) -> Bool { text.starts(with: utf8) }

  static func ends(_ text: ArraySlice<UInt8>) -> Bool { text.suffix(utf8.count).elementsEqual(utf8) }

  static func stands(in text: [UInt8], at position: Int) -> Bool {
    position + 2 < text.count && text[position] == utf8[0] && text[position + 1] == utf8[1]
      && text[position + 2] == utf8[2]
  }
}
