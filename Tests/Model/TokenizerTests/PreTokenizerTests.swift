import TestSupport
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

  @Test func llama3CutsAsItsExpressionDoes() {
    func llama3(_ text: String) -> [String] { words(text, .llama3) }
    #expect(llama3("I'M you'Re we'LL x'y 'tis") == ["I", "'M", " you", "'Re", " we", "'LL", " x", "'y", " '", "tis"])
    #expect(llama3("(word)\tword $x") == ["(word", ")", "\tword", " $", "x"])
    #expect(llama3("1234567 12") == ["123", "456", "7", " ", "12"])
    #expect(llama3("a.\n\nb!\r\n c") == ["a", ".\n\n", "b", "!\r\n", " c"])
    #expect(llama3("a  \n\n  b") == ["a", "  \n\n", " ", " b"])
    #expect(llama3("a   b   ") == ["a", "  ", " b", "   "])
    #expect(llama3("\u{3000}全角") == ["\u{3000}全角"])
    #expect(llama3(" \n x") == [" \n", " x"])
    #expect(llama3("'\u{17F}x") == ["'\u{17F}", "x"])
    #expect(words("'\u{17F}x", .words(.init(digits: 3, foldsLongS: false))) == ["'\u{17F}x"])
    #expect(words("1234 x", .qwen2) == ["1", "2", "3", "4", " x"])
    #expect(
      words("camelCase HTMLPage it's a/b!//", .tekken) == [
        "camel", "Case", " HTMLPage", " it", "'s", " a", "/b", "!//",
      ])
  }

  private static let llama3 =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let qwen2 = llama3.replacing("{1,3}", with: "")
  private static let tekken =
    #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// Against the expressions themselves, on texts of what they tell apart. Swift's engine folds no long s.
  @Test(arguments: [
    (llama3, PreTokenizer.llama3, UInt64(1)), (qwen2, .qwen2, 2), (gpt2, .gpt2, 3), (tekken, .tekken, 4),
  ])
  func theMatchersAgreeWithTheExpressions(expression: String, preTokenizer: PreTokenizer, seed: UInt64) throws {
    let regex = try Regex(expression).matchingSemantics(.unicodeScalar)
    let parts = [
      "a", "Zé", "漢", "s", "S", "LL", "re", "'", "'", " ", " ", "  ", "\n", "\r", "\r\n", "\t", "\u{A0}", "\u{3000}",
      "\u{85}",
      "\u{2028}", "1", "12", "1234", "²", "Ⅷ", "٣", ".", "!?", "/", "_", "\u{301}", "AB", "Ab", "😀", "\u{200B}",
      "\u{0}", "ǅ", "ʰ",
    ]
    var random = SplitMix(seed: seed)
    for _ in 0..<1500 {
      let text = (0..<random.below(9)).map { _ in parts[random.below(parts.count)] }.joined()
      let expected = text.matches(of: regex).map { Array(String(text[$0.range]).utf8) }
      #expect(words(text, preTokenizer).map { Array($0.utf8) } == expected, "\(text.debugDescription)")
    }
  }

  @Test func anExpressionIsKnownInItsSpellings() {
    #expect(PreTokenizer(expression: Self.llama3) == .llama3)
    #expect(PreTokenizer(expression: Self.qwen2) == .qwen2)
    #expect(PreTokenizer(expression: Self.gpt2) == .gpt2)
    #expect(PreTokenizer(expression: Self.tekken) == .tekken)
    #expect(PreTokenizer(expression: Self.llama3.replacing(#"\r\n"#, with: "\r\n")) == .llama3)
    let cl100k =
      #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
    #expect(PreTokenizer(expression: cl100k) == .llama3)
    for other in [
      "", "|", Self.llama3 + "|x", "x|" + Self.llama3, Self.llama3.replacing("{1,3}", with: "{1,4}"),
      Self.llama3.replacing("(?i:", with: "("), Self.llama3.replacing(#"\p{L}+"#, with: #"[\p{L}\p{M}]+"#),
    ] {
      #expect(PreTokenizer(expression: other) == nil, "\(other)")
    }
  }

  @Test func namesOfGGUFThatMeanTheSame() throws {
    for (name, expected) in [
      ("llama-bpe", PreTokenizer.llama3), ("llama3", .llama3), ("llama-v3", .llama3), ("smaug-bpe", .llama3),
      ("qwen2", .qwen2), ("deepseek-r1-qwen", .qwen2), ("gpt-2", .gpt2), ("tekken", .tekken),
    ] {
      #expect(try PreTokenizer(ggufName: name) == expected, "\(name)")
    }
  }
}
