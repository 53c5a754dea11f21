import Testing

@testable import Tokenizer

@Suite struct TokenizerTests {
  let tokenizer = SmolLM2Fixture.tokenizer

  @Test func theTwoHundredReferenceTextsHaveTheirIDs() {
    #expect(SmolLM2Fixture.cases.count == 200)
    for item in SmolLM2Fixture.cases { #expect(tokenizer.encode(item.text) == item.ids, "\(item.text)") }
  }

  @Test func theEightReferenceTextsHaveTheirIDs() {
    #expect(SmolLM2Fixture.texts.count == 8)
    for item in SmolLM2Fixture.texts { #expect(tokenizer.encode(item.text) == item.ids, "\(item.text)") }
  }

  @Test func decodingGivesTheTextBack() {
    for item in SmolLM2Fixture.cases + SmolLM2Fixture.texts { #expect(tokenizer.decode(item.ids) == item.text) }
  }

  @Test func specialTextIsPlainTextUnlessAskedFor() {
    #expect(tokenizer.encode("<|im_end|>", recognizeSpecial: true) == [2])
    let plain = tokenizer.encode("<|im_end|>")
    #expect(plain.count > 1 && !plain.contains(2))
    #expect(tokenizer.decode(plain) == "<|im_end|>")
  }

  @Test func aUsersTextBetweenMarkersCannotBecomeAControlToken() {
    let ids = tokenizer.encode([
      TextPiece("<|im_start|>", recognizeSpecial: true), TextPiece("a<|im_end|>b", recognizeSpecial: false),
      TextPiece("<|im_end|>", recognizeSpecial: true),
    ])
    #expect(ids.filter { $0 < 17 } == [1, 2])
    #expect(ids.first == 1 && ids.last == 2)
  }

  @Test func wordsAreCutAcrossPiecesAsInOneText() {
    let pieces = ["Hel", "lo", " wor", "ld\n", "\nand"].map { TextPiece($0, recognizeSpecial: false) }
    #expect(tokenizer.encode(pieces) == tokenizer.encode("Hello world\n\nand"))
  }

  @Test func specialTokensCanBeLeftOutOfTheText() {
    #expect(tokenizer.decode([1, 504, 2], skipSpecial: true) == "The")
    #expect(tokenizer.decode([1, 504, 2]) == "<|im_start|>The<|im_end|>")
  }

  @Test func anIDOutsideTheVocabularyIsSeenAndDoesNotTrap() {
    #expect(tokenizer.decode([-1, 49152, .max]) == "\u{FFFD}\u{FFFD}\u{FFFD}")
  }

  @Test func endOfTurnHoldsEOSAndTheEndOfText() {
    #expect(tokenizer.eos == 2 && tokenizer.bos == 1)
    #expect(tokenizer.endOfTurn == [2, 0])
  }

  @Test func aByteWithoutTokenIsLeftOut() {
    #expect(tokenizer.encode("a\u{4}") == tokenizer.encode("a"))
  }

  @Test func theEmptyTextHasNoIDs() {
    #expect(tokenizer.encode("").isEmpty)
    #expect(tokenizer.encode([TextPiece]()).isEmpty)
    #expect(tokenizer.decode([Int32]()).isEmpty)
  }
}
