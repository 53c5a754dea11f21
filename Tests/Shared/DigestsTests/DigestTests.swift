import Digests
import Testing

@Suite struct DigestTests {
  @Test func itsTextReadsBack() throws {
    let digest = SHA256.digest([1, 2, 3])
    #expect(digest.description == "sha256:039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81")
    #expect(Digest(description: digest.description) == digest)
    #expect(Digest(hex: digest.hex.uppercased()) == digest)
    #expect(Digest(bytes: digest.bytes) == digest)
  }

  @Test(arguments: ["", "sha256:", "sha256:00", "md5:" + String(repeating: "0", count: 64)])
  func otherTextsAreNotDigests(text: String) {
    #expect(Digest(description: text) == nil)
  }

  @Test func wrongDigitsAndLengthsAreNotDigests() {
    #expect(Digest(hex: String(repeating: "g", count: 64)) == nil)
    #expect(Digest(hex: String(repeating: "0", count: 63)) == nil)
    #expect(Digest(hex: String(repeating: "é", count: 32)) == nil)
    #expect(Digest(bytes: [UInt8](repeating: 0, count: 31)) == nil)
  }

  @Test func orderIsThatOfTheDigits() throws {
    let low = try #require(Digest(hex: "0f" + String(repeating: "f", count: 62)))
    let high = try #require(Digest(hex: "10" + String(repeating: "0", count: 62)))
    #expect(low < high)
    #expect(!(high < low))
    #expect(low != high)
  }
}
