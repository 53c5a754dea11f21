import StrictJSON

/// An answer on its way: a body of known length, or lines in chunks.
struct FakeAnswer {
  var status = 200
  var type: String
  var body: [UInt8] = []
  /// Of a stream.
  var lines: [[UInt8]]?
  var closes = false

  static func json(_ status: Int = 200, _ json: JSONValue) -> FakeAnswer {
    FakeAnswer(status: status, type: "application/json", body: json.serialized())
  }

  static func error(_ status: Int, _ code: String, _ message: String, mixture: String? = nil) -> FakeAnswer {
    var error: JSONObject = ["code": .string(code), "message": .string(message)]
    if let mixture { error["mixture"] = .string(mixture) }
    return json(status, ["error": .object(error)])
  }

  static func frame(_ line: JSONValue, _ floats: [Float]) -> FakeAnswer {
    FakeAnswer(
      type: "application/x-t2-frame",
      body: line.serialized() + [0x0A]
        + floats.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } })
  }

  static func stream(_ lines: [JSONValue]) -> FakeAnswer {
    FakeAnswer(type: "application/x-ndjson", lines: lines.map { $0.serialized() + [0x0A] })
  }

  var wire: [UInt8] { wire(lengthOffBy: 0) }

  func wire(lengthOffBy difference: Int) -> [UInt8] {
    if let lines { return begin(lines: lines.count) + Array("0\r\n\r\n".utf8) }
    return head("Content-Length: \(body.count + difference)") + body
  }

  /// The first lines of a stream.
  func begin(lines count: Int) -> [UInt8] {
    (lines ?? []).prefix(count).reduce(into: head("Transfer-Encoding: chunked")) { bytes, line in
      bytes += Array("\(String(line.count, radix: 16))\r\n".utf8) + line + Array("\r\n".utf8)
    }
  }

  func without(last count: Int) -> FakeAnswer {
    var shorter = self
    shorter.lines?.removeLast(count)
    return shorter
  }

  /// Bytes at the end of which an answer is cut in its body, or in a chunk, when they are left out.
  var tail: Int { lines?.last.map { 5 + 2 + $0.count / 2 } ?? (body.count + 1) / 2 }

  private func head(_ length: String) -> [UInt8] {
    let length = closes ? "Connection: close\r\n" + length : length
    return Array(
      "HTTP/1.1 \(status) \(status == 200 ? "OK" : "Error")\r\nContent-Type: \(type)\r\n\(length)\r\n\r\n".utf8)
  }
}
