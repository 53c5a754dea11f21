import SystemSupport
import Testing

struct EscapedTextTests {
  @Test(arguments: [
    ("plain text", "plain text"), ("naïve — 日本", "naïve — 日本"), ("a\nb\u{1B}[2J", "a\\nb\\x1b[2J"),
    ("back\\slash", "back\\\\slash"), ("\u{202E}evil", "\\u{202e}evil"), ("\u{85}", "\\u{85}"), ("\u{7F}", "\\x7f"),
    ("\u{2028}", "\\u{2028}"), ("a\tb\r", "a\\tb\\x0d"),
  ])
  func noControlCharacterSurvives(text: String, expected: String) {
    #expect(escaped(text) == expected)
    #expect(escaped(bytes: Array(text.utf8)) == expected)
  }

  @Test func brokenUTF8IsShownAsBytes() {
    #expect(escaped(bytes: [0x61, 0xFF, 0xC3, 0x28, 0xE2, 0x82]) == "a\\xff\\xc3(\\xe2\\x82")
  }

  @Test func longTextIsCut() {
    #expect(escaped("abcdef", limit: 3) == "abc…")
    #expect(escaped(bytes: Array("abcdef".utf8), limit: 3) == "abc…")
    #expect(escaped("abc", limit: 3) == "abc")
  }
}
