import RPCProtocol
import StrictJSON
import Testing

@Suite struct RPCRequestTests {
  static func parse(_ line: [UInt8]) throws(RPCRefusal) -> RPCRequest {
    try unsafe line.span.withUnsafeBytes { bytes throws(RPCRefusal) in try unsafe RPCRequest.parse(bytes) }
  }

  private func refusal(_ line: String) throws -> RPCRefusal {
    try #require(#expect(throws: RPCRefusal.self) { try Self.parse(Array(line.utf8)) })
  }

  @Test func aRequestIsRead() throws {
    let request = try Self.parse(
      Array(#" {"jsonrpc":"2.0","id":"a","method":"mixture.get","params":{"task":"t"},"trace":1} "#.utf8))
    #expect(request.id == .string("a"))
    #expect(request.method.name == "mixture.get")
    #expect(request.params == ["task": "t"])
    #expect(try Self.parse(Array(#"{"jsonrpc":"2.0","method":"system.status"}"#.utf8)).id == nil)
    #expect(try Self.parse(Array(#"{"jsonrpc":"2.0","method":"system.status","id":null}"#.utf8)).id == .null)
  }

  @Test(arguments: [
    (#"[]"#, "invalid_request"), (#"[{"jsonrpc":"2.0","id":1,"method":"system.status"}]"#, "invalid_request"),
    ("1", "invalid_request"), ("\"x\"", "invalid_request"), ("null", "invalid_request"), ("{}", "invalid_request"),
    (#"{"id":1}"#, "invalid_request"), (#"{"jsonrpc":2.0,"id":1,"method":"system.status"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.1","id":1,"method":"system.status"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":1.5,"method":"system.status"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":{},"method":"system.status"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":[],"method":"system.status"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":true,"method":"system.status"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":9007199254740993,"method":"system.status"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":1}"#, "invalid_request"), (#"{"jsonrpc":"2.0","id":1,"method":7}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":1,"id":2,"method":"system.status"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":1,"method":"system.status","method":"system.sync"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":1,"method":"nope"}"#, "method_not_found"),
    (#"{"jsonrpc":"2.0","id":1,"method":"system.status","params":[]}"#, "invalid_params"),
    (#"{"jsonrpc":"2.0","id":1,"method":"system.status","params":null}"#, "invalid_params"),
    (#"{"jsonrpc":"2.0","id":1,"method":"system.status","params":{"a":1}}"#, "invalid_params"),
  ])
  func whatIsNotARequestIsRefusedAndTheConnectionGoesOn(line: String, kind: String) throws {
    let refusal = try refusal(line)
    #expect(refusal.error.kind == kind)
    #expect(!refusal.closes)
    #expect(!refusal.isNotification)
  }

  @Test(arguments: [
    "", "{", "{\"jsonrpc\":\"2.0\"", "nonsense", "GET / HTTP/1.1", "\u{feff}{}", "{}{}", "{} x",
    String(repeating: "[", count: 100_000), #"{"id":1e400}"#, "{\"a\":\"\\ud800\"}", "\0",
    "{\"id\":" + String(repeating: "9", count: 100_000) + "}",
  ])
  func whatIsNotJSONClosesTheConnection(line: String) throws {
    let refusal = try refusal(line)
    #expect(refusal.error.kind == "parse_error")
    #expect(refusal.closes)
    #expect(refusal.id == .null)
    #expect(refusal.error.message.utf8.count < 300)
  }

  @Test func whatIsNotUTF8ClosesTheConnection() {
    for bytes: [UInt8] in [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82]] {
      let refusal = #expect(throws: RPCRefusal.self) {
        try Self.parse(
          Array("{\"jsonrpc\":\"2.0\",\"id\":\"".utf8) + bytes + Array("\",\"method\":\"system.status\"}".utf8))
      }
      #expect(refusal?.closes == true)
    }
  }

  @Test func aMistypedMethodGetsASuggestion() throws {
    let refusal = try refusal(#"{"jsonrpc":"2.0","id":1,"method":"mixture.gte"}"#)
    #expect(refusal.error.hint == "did you mean 'mixture.get'?")
    #expect(refusal.id == .integer(1))
  }

  @Test func otherProtocolsAreRecognised() throws {
    #expect(try refusal("GET / HTTP/1.1").error.hint?.contains("HTTP") == true)
    #expect(try refusal("\u{16}\u{3}\u{1}").error.hint?.contains("TLS") == true)
    #expect(try refusal("\u{feff}{}").error.hint?.contains("byte order mark") == true)
  }

  @Test func aWrongNotificationIsNotAnswered() throws {
    #expect(try refusal(#"{"jsonrpc":"2.0","method":"nope"}"#).isNotification)
    #expect(try refusal(#"{"jsonrpc":"2.0","method":"system.status","params":{"x":1}}"#).isNotification)
  }

  @Test func longTextsAreNotEchoed() throws {
    let refusal = try refusal(#"{"jsonrpc":"2.0","id":1,"method":""# + String(repeating: "x", count: 10_000) + #""}"#)
    #expect(refusal.error.message.utf8.count < 200)
  }
}
