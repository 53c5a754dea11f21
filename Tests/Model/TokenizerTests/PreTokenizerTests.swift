import Testing

@testable import Tokenizer

@Suite struct PreTokenizerTests {
  private func words(_ text: String, _ preTokenizer: PreTokenizer = .gpt2) -> [String] {
    let bytes = [UInt8](text.utf8)
    var words: [String] = []
    var end = 0
    preTokenizer.split(bytes, 0..<bytes.count) { range in
      #expect(range.lowerBound == end && !range.isEmpty)
      end = range.upperBound
      words.append(String(decoding: bytes[range], as: UTF8.self))
    }
    #expect(end == bytes.count)
    return words
  }

  @Test func gpt2CutsAsItsExpressionDoes() {
    #expect(words("Hello world") == ["Hello", " world"])
    #expect(
      words("I'll we've they'RE don't 'tis") == [
        "I", "'ll", " we", "'ve", " they", "'", "RE", " don", "'t", " '", "tis",
      ])
    #expect(words("a  b") == ["a", " ", " b"])
    #expect(words("a\n\nb") == ["a", "\n", "\n", "b"])
    #expect(words("a \n b  ") == ["a", " \n", " b", "  "])
    #expect(words("x=12,y!!") == ["x", "=", "12", ",", "y", "!!"])
    #expect(words(" 123 4") == [" 123", " 4"])
    #expect(words("\t\tx") == ["\t", "\t", "x"])
    #expect(words("'") == ["'"])
    #expect(words("") == [])
  }

  @Test func classesAreUnicodes() {
    #expect(words("naïve Привет 中文") == ["naïve", " Привет", " 中文"])
    #expect(words("a\u{A0}b\u{3000}\u{3000}c") == ["a", "\u{A0}", "b", "\u{3000}", "\u{3000}", "c"])
    #expect(words("x²Ⅷ٣y") == ["x", "²Ⅷ٣", "y"])  // \p{N} is No, Nl and Nd
    #expect(words("e\u{301}x") == ["e", "\u{301}", "x"])  // a combining mark is no letter
    #expect(words("\u{1}😀 😀") == ["\u{1}😀", " 😀"])
    #expect(words("a\u{200B}b") == ["a", "\u{200B}", "b"])  // zero width space is no \s
    #expect(words("a\u{85}\u{2028}b") == ["a", "\u{85}", "\u{2028}", "b"])
  }

  @Test(arguments: [PreTokenizer.gpt2ThenDigits, .digitsThenGPT2])
  func everyDigitStandsByItself(preTokenizer: PreTokenizer) {
    #expect(words("a 12b", preTokenizer) == ["a", " ", "1", "2", "b"])
    #expect(words("²٣", preTokenizer) == ["²", "٣"])
    #expect(words("v1.2's", preTokenizer) == ["v", "1", ".", "2", "'s"])
  }

  @Test func theOrderOfTheStepsCountsForBlanksBeforeADigit() throws {
    #expect(words("a  12", .gpt2ThenDigits) == ["a", " ", " ", "1", "2"])
    #expect(words("a  12", .digitsThenGPT2) == ["a", "  ", "1", "2"])
    #expect(try PreTokenizer(ggufName: "smollm") == .gpt2ThenDigits)  // two of the 200 reference texts decide it
  }
}
