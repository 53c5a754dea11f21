import StrictJSON
import Testing

@testable import Tokenizer

@Suite struct CanonicalCompositionTests {
  private func composed(_ text: String) -> String {
    canonicallyComposed(Array(text.utf8)[...]).map { String(decoding: $0, as: UTF8.self) } ?? text
  }

  /// By Python's unicodedata: see etc/lib/make-canonical-decompositions.
  @Test func textsAreComposedAsPythonDoes() throws {
    let cases = try parseJSON(fileBytes("Tests/Model/TokenizerTests/Fixtures/composed_texts.json")).arrayValue ?? []
    #expect(cases.count > 1500)
    for item in cases {
      let text = try #require(item.arrayValue?.first?.stringValue)
      let expected = try #require(item.arrayValue?.last?.stringValue)
      #expect(Array(composed(text).utf8) == Array(expected.utf8), "\(text.unicodeScalars.map(\.value))")
    }
  }

  /// The standard library compares by what is composed, so a text is equal to what it became.
  @Test func whatIsComposedIsTheSameTextAndStays() {
    for value in UInt32(0)..<0x30000 {
      guard let scalar = Unicode.Scalar(value) else { continue }
      for text in [String(scalar), "e\u{301}" + String(scalar), String(scalar) + "\u{327}\u{301}"] {
        let once = composed(text)
        guard once == text, canonicallyComposed(Array(once.utf8)[...]) == nil else {
          Issue.record("U+\(String(value, radix: 16)) in \(text.unicodeScalars.map(\.value))")
          return
        }
      }
    }
  }

  @Test func whatIsComposedAlreadyIsNotCopied() {
    #expect(canonicallyComposed(Array("Zażółć 漢字 한국어 😀".utf8)[...]) == nil)
    #expect(canonicallyComposed([]) == nil)
  }
}
