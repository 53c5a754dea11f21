import Digests
import Testing

@Suite struct XXH64Tests {
  /// Of the specification and of the reference implementation's documentation, and around each of its steps.
  @Test(
    arguments: [
      ("", 0xEF46_DB37_51D8_E999), ("a", 0xD24E_C4F1_A98C_6E5B), ("abc", 0x44BC_2CF5_AD77_0999),
      ("Nobody inspects the spammish repetition", 0xFBCE_A83C_8A37_8BF1),
    ] as [(String, UInt64)])
  func publishedVectors(text: String, expected: UInt64) {
    #expect(XXH64.sum(Array(text.utf8)) == expected)
  }

  @Test func aStripeEachWayAndASeed() {
    let bytes = (0..<101).map { UInt8($0) }
    #expect(XXH64.sum(bytes) == 0xE990_3849_5F85_381E)
    #expect(XXH64.sum(bytes, seed: 7) == 0xE878_E979_1DBC_64FA)
  }

  @Test func anyFlippedBitChangesIt() {
    for count in [1, 4, 7, 8, 31, 32, 63, 64, 100] {
      var bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 37) }
      let sum = XXH64.sum(bytes)
      for index in bytes.indices {
        for bit in 0..<8 {
          bytes[index] ^= 1 << bit
          #expect(XXH64.sum(bytes) != sum)
          bytes[index] ^= 1 << bit
        }
      }
    }
  }
}
