import Search
import Testing

@Suite struct PhiloxTests {
  /// The known answers that come with Random123 (kat_vectors, philox4x32 10).
  @Test func theBlocksAreThePublishedOnes() {
    #expect(Philox(seed: 0).block([0, 0, 0, 0]) == [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8])
    #expect(
      Philox(seed: .max).block([.max, .max, .max, .max]) == [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD])
    #expect(
      Philox(seed: 0x299F_31D0_A409_3822).block([0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344])
        == [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1])
  }

  @Test func normalNumbersHaveTheirMoments() {
    let generator = Philox(seed: 7)
    var sums = (0.0, 0.0, 0.0)
    let count = 20_000
    for index in 0..<count / 2 {
      let (a, b) = generator.normals([UInt32(index), 0, 0, 3])
      for value in [a, b] {
        sums.0 += value
        sums.1 += value * value
        sums.2 += value * value * value * value
      }
    }
    #expect(abs(sums.0 / Double(count)) < 0.03)
    #expect(abs(sums.1 / Double(count) - 1) < 0.05)
    #expect(abs(sums.2 / Double(count) - 3) < 0.3)
  }

  @Test func aPermutationHoldsEveryNumberOnceAndDependsOnTheSeed() {
    let one = Philox(seed: 1).permutation(of: 50, stream: 9)
    #expect(one.sorted() == Array(0..<50))
    #expect(one == Philox(seed: 1).permutation(of: 50, stream: 9))
    #expect(one != Philox(seed: 2).permutation(of: 50, stream: 9))
    #expect(one != Philox(seed: 1).permutation(of: 50, stream: 8))
    #expect(Philox(seed: 1).permutation(of: 1, stream: 0) == [0])
    #expect(Philox(seed: 1).permutation(of: 0, stream: 0) == [])
  }
}
