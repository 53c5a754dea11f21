import TestSupport
import Testing

@testable import Tokenizer

@Suite struct StreamingDecoderTests {
  @Test func incompleteCharactersAreHeldAndNothingIsLost() {
    let tokenizer = SmolLM2Fixture.tokenizer
    for item in SmolLM2Fixture.cases + SmolLM2Fixture.texts {
      var decoder = StreamingDecoder(tokenizer)
      var text = ""
      for id in item.ids {
        let piece = decoder.push(id)
        #expect(!piece.unicodeScalars.contains("\u{FFFD}"))
        text += piece
      }
      #expect(decoder.finish().isEmpty)
      #expect(text == item.text)
    }
  }

  @Test func brokenBytesComeOutAsInOnePiece() throws {
    let tokenizer = try SyntheticVocabulary().tokenizer()  // one token a byte
    let interesting: [UInt8] = [
      0x61, 0x80, 0xBF, 0xC1, 0xC3, 0xA9, 0xE0, 0xA0, 0x9F, 0xED, 0xF0, 0x90, 0x8F, 0xF4, 0xF5, 0xFF,
    ]
    var random = SplitMix(seed: 3)
    for _ in 0..<2000 {
      let ids = (0..<6).map { _ in Int32(interesting[random.below(interesting.count)]) }
      var decoder = StreamingDecoder(tokenizer)
      var text = ""
      for id in ids { text += decoder.push(id) }
      text += decoder.finish()
      #expect(Array(text.utf8) == Array(tokenizer.decode(ids).utf8), "\(ids)")
    }
  }
}
