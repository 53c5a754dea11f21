/// The tokens that are recognised by their text before the text is cut into words.
struct SpecialTokens: Sendable {
  private struct Entry {
    let text: [UInt8]
    let id: Int32
    let isControl: Bool
  }
  private var byFirstByte: [[Entry]] = Array(repeating: [], count: 256)  // longest first
  private var controlBegins = [Bool](repeating: false, count: 256)  // a control token begins with this byte
  private var userBegins = [Bool](repeating: false, count: 256)

  init(_ vocabulary: Vocabulary) {
    for index in 0..<vocabulary.count {
      let kind = vocabulary.kinds[index]
      guard kind == .control || kind == .userDefined else { continue }
      let text = [UInt8](vocabulary.textOfToken(index))
      byFirstByte[Int(text[0])].append(Entry(text: text, id: Int32(index), isControl: kind == .control))
      if kind == .control { controlBegins[Int(text[0])] = true } else { userBegins[Int(text[0])] = true }
    }
    for byte in byFirstByte.indices { byFirstByte[byte].sort { $0.text.count > $1.text.count } }
  }

  /// The longest token whose text begins at `position` and ends by `end`; control tokens only where `control` allows them.
  func match(_ text: [UInt8], at position: Int, end: Int, control: Bool) -> (id: Int32, length: Int)? {
    let first = Int(text[position])
    guard userBegins[first] || (control && controlBegins[first]) else { return nil }
    for entry in byFirstByte[first]
    where entry.text.count <= end - position && (control || !entry.isControl) {
      var index = 1
      while index < entry.text.count, text[position + index] == entry.text[index] { index += 1 }
      if index == entry.text.count { return (entry.id, index) }
    }
    return nil
  }
}
