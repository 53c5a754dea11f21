import TestSupport
import Testing

@testable import Tokenizer

@Suite struct BytePairMergerTests {
  /// The definition: again and again the first pair of the lowest rank.
  private func naive(_ symbols: [Int32], _ table: MergeTable) -> [Int32] {
    var symbols = symbols
    while true {
      var best = (rank: MergeTable.noRank, result: Int32(-1), position: -1)
      for index in symbols.indices.dropLast() {
        let pair = table.lookUp(symbols[index], symbols[index + 1])
        if pair.rank < best.rank { best = (pair.rank, pair.result, index) }
      }
      if best.position < 0 { return symbols }
      symbols.replaceSubrange(best.position...(best.position + 1), with: [best.result])
    }
  }

  @Test func shortAndLongWordsMergeAsTheDefinitionSays() throws {
    let merges = ["a a", "aa a", "b a", "aa aa", "a b", "ab ab", "aaa b", "c c", "b c", "ba cc", "aaaa aaaa"]
    let vocabulary = SyntheticVocabulary(merges: merges)
    let table = try MergeTable(
      merges: merges,
      vocabulary: Vocabulary(tokens: vocabulary.tokens, kinds: vocabulary.types.map { _ in .normal }))
    var random = SplitMix(seed: 7)
    var merger = BytePairMerger()
    for length in [0, 1, 2, 3, 5, 17, 47, 48, 49, 200, 500] {
      for _ in 0..<20 {
        let word = (0..<length).map { _ in 97 + Int32(random.below(3)) }
        var symbols = word
        merger.merge(&symbols, with: table)
        #expect(symbols == naive(word, table))
      }
    }
  }

  @Test func aWordOfAHundredKilobytesIsNotQuadratic() {
    let tokenizer = SmolLM2Fixture.tokenizer
    let unit = "abcdefghijklmnopqrstuvwxyz"
    let text = String(repeating: unit, count: 100_000 / unit.count)
    var ids: [Int32] = []
    // A quadratic one computes for minutes.
    #expect(processorTime { ids = tokenizer.encode(text) } < .seconds(20))
    #expect(tokenizer.decode(ids) == text)
    #expect(ids.count < text.utf8.count / 2)
  }
}
