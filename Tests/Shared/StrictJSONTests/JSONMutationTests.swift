import TestSupport
import StrictJSON
import Testing

/// What was JSON once and is hostile now.
@Suite struct JSONMutationTests {
  /// What is accepted reads back as it was written, too.
  private static func readBack(_ bytes: [UInt8], _ dialect: JSONDialect) throws {
    let value = try parseJSON(bytes, dialect: dialect)
    guard try parseJSON(value.serialized()) == value else { throw Changed() }
  }

  private struct Changed: Error {}

  private static let strict = [
    #"{"a":[1,-2.5e3,true,false,null,"x\n\u00e9\ud83d\ude00"],"b":{"c":"","d":[[],{}]},"n":9223372036854775807}"#,
    #"[0.1, 1e-300, 123456789012345678901e5, "é", "\/\b\f\t\"\\", {"\u0061":[{"a":[{}]}]}]"#,
  ].map { Array($0.utf8) }

  @Test func aMutatedTextIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let problem = withstand(Self.strict) { try Self.readBack($0, .strict) }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  @Test func aMutatedTextOfJSON5IsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let texts = [
        "{'a': 0x1F, b: +.5e1, /* c */ c: [1, 2,], // d\n d: 'x\\\n\\x41',}", "[+1, .5, -0xff, '\\'', \"\\v\"]",
      ]
      let problem = withstand(texts.map { Array($0.utf8) }) { try Self.readBack($0, .json5) }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  @Test func mutatedLinesAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let lines = Array("{\"a\":1}\n\n{\"b\":[2,\"x\"]}\r\n[3]\n".utf8)
      let problem = withstand([lines]) { bytes in
        for line in JSONLines(bytes) { _ = try line.value.get() }
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }
}
