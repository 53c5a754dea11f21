import EngineLink
import TestSupport
import Testing

@Suite struct HTTPAnswerParserTests {
  private static func read(_ text: String, limit: Int = 1000, cutAt size: Int = .max) throws -> HTTPAnswerParser {
    var parser = HTTPAnswerParser(bodyBytes: limit)
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      try parser.take(rest.prefix(size))
      rest = rest.dropFirst(size)
    }
    return parser
  }

  static let good = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true),
    ("HTTP/1.1 200\r\nCONTENT-LENGTH:5\r\n\r\nhello", "hello", true),
    ("HTTP/1.0 200 OK\r\ncontent-length: \t5 \r\n\r\nhello", "hello", false),
    ("HTTP/1.1 500 Oh dear\r\nconnection: Keep, Close\r\nContent-Length: 0\r\n\r\n", "", false),
    (
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n03;x=y\r\nllo\r\n0\r\nX: y\r\n\r\n", "hello",
      true
    ),
    ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true),
    ("HTTP/1.1 204 None\r\n\r\n", "", true),
  ]

  @Test(arguments: good) func anAnswerIsReadHoweverItIsCut(text: String, body: String, keeps: Bool) throws {
    for size in 1...text.utf8.count {
      var parser = try Self.read(text, cutAt: size)
      #expect(parser.isComplete)
      #expect(parser.keepsConnection == keeps)
      #expect(String(decoding: parser.takeBody(), as: UTF8.self) == body)
      #expect(parser.takeBody().isEmpty)
    }
  }

  @Test(arguments: good) func aBeginningIsNoAnswer(text: String, body: String, keeps: Bool) throws {
    for size in 0..<text.utf8.count {
      #expect(try !Self.read(String(text.unicodeScalars.prefix(size))).isComplete)
    }
  }

  @Test(arguments: [
    ("SSH-2.0-OpenSSH_9.6\r\n", "it begins with 'S'"), ("HTTQ", "it begins with 'HTTQ'"),
    ("HTTP/2.0 200 OK\r\n", "its first line is 'HTTP/2.0 200 OK'"), ("HTTP/1.1 20 OK\r\n", "its first line"),
    ("HTTP/1.1 099 OK\r\n", "its status is 99"), ("HTTP/1.1 600 OK\r\n", "its status is 600"),
    ("HTTP/1.1 200 OK\n", "a line ends without CR"), ("HTTP/1.1 200 O\u{1}K\r\n", "control character 1"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n folded: 1\r\n\r\n", "a header is ' folded: 1'"),
    ("HTTP/1.1 200 OK\r\nContent Length: 5\r\n\r\n", "a header is"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "two Content-Lengths"),
    ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", "its Content-Length is '+5'"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "its Content-Length is"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "1001 bytes, and at most 1000"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "only 'chunked' is read"),
    ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "which nobody asked for"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both Content-Length and chunks"),
    ("HTTP/1.1 200 OK\r\n\r\n", "neither Content-Length nor chunks"),
    ("HTTP/1.1 101 Upgrade\r\n\r\n", "it answers 101"),
    (String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 5), "it answers 100"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", "1 bytes follow behind the end"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "the size of a chunk is 'xyz'"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "the size of a chunk is '-1'"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "the size of a chunk is ''"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "the size of a chunk is"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n", "more than the 1000 bytes"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "longer than it says"),
  ])
  func whatIsNoAnswerIsRefused(text: String, problem: String) throws {
    for size in [1, 7, text.utf8.count] {
      let error = #expect(throws: EngineFailure.Cause.self) { try Self.read(text, cutAt: size) }
      let description = try #require(error).description
      #expect(description.contains(problem), "\(description)")
    }
  }

  @Test func aHeadWithoutEndIsRefusedAndNotKept() throws {
    let header = "X-Word: " + String(repeating: "a", count: 1000) + "\r\n"
    let error = #expect(throws: EngineFailure.Cause.self) {
      try Self.read("HTTP/1.1 200 OK\r\n" + String(repeating: header, count: 40))
    }
    #expect(try #require(error).description.contains("its head has more than 32768 bytes"))
    #expect(throws: EngineFailure.Cause.self) {
      try Self.read("HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 40_000))
    }
  }

  @Test func manyChunksMayFillTheLimitAndNoMore() throws {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    var parser = try Self.read(head + String(repeating: "1\r\na\r\n", count: 1000) + "0\r\n\r\n")
    #expect(parser.isComplete)
    #expect(parser.takeBody().count == 1000)
    #expect(throws: EngineFailure.Cause.self) { try Self.read(head + String(repeating: "1\r\na\r\n", count: 1001)) }
  }

  @Test func hostileBytesAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let samples = HTTPAnswerParserTests.good.map { Array($0.0.utf8) }
      let problem = withstand(samples) { bytes in
        var parser = HTTPAnswerParser(bodyBytes: 1000)
        try parser.take(bytes[...])
        _ = parser.takeBody()
      }
      #expect(problem == nil)
    }
  }
}
