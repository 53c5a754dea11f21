import SystemSupport

/// What an answer may cost.
struct HTTPLimits: Sendable, Equatable {
  /// Of status line, headers and trailers together.
  var headBytes = 32 << 10
  /// Decoded.
  var bodyBytes: Int
}

/// Reads one answer of HTTP/1.1 (RFC 9112) from bytes as they come, however they are cut.
///
/// Stricter than a browser: lines end with CRLF, a body has either one Content-Length or chunks, nothing is compressed, and
/// nothing follows. Whoever does otherwise is not an engine, or two readers of the answer would disagree about its end.
package struct HTTPAnswerParser {
  private enum Phase: Equatable {
    case statusLine, headers
    case body(remaining: Int)
    case chunkSize, chunk(remaining: Int), chunkEnd, trailers
    case complete
  }

  private let limits: HTTPLimits
  private var phase = Phase.statusLine
  /// The line that has begun, without its end.
  private var line: [UInt8] = []
  private var headBytes = 0
  private var contentLength: Int?
  private var isChunked = false
  private var interimAnswers = 0
  private var isOldVersion = false
  private var saysClose = false

  /// 0 until it has come.
  package private(set) var status = 0
  /// Decoded bytes that nobody has taken.
  package private(set) var body: [UInt8] = []
  /// With those that were taken.
  private var bodyBytes = 0

  init(_ limits: HTTPLimits) { self.limits = limits }

  /// For one whole answer of at most so many bytes.
  package init(bodyBytes: Int) { self.init(HTTPLimits(bodyBytes: bodyBytes)) }

  package var hasHead: Bool {
    switch phase {
    case .statusLine, .headers: false
    case .body, .chunkSize, .chunk, .chunkEnd, .trailers, .complete: true
    }
  }

  package var isComplete: Bool { phase == .complete }

  /// Whether another request may follow on this connection, once the answer is complete.
  package var keepsConnection: Bool { !isOldVersion && !saysClose }

  package mutating func takeBody() -> [UInt8] {
    defer { body = [] }
    return body
  }

  /// After an error the parser is of no use.
  package mutating func take(_ bytes: ArraySlice<UInt8>) throws(EngineFailure.Cause) {
    var rest = bytes
    while let first = rest.first {
      switch phase {
      case .body(let remaining):
        let count = takeBody(&rest, atMost: remaining)
        phase = count == remaining ? .complete : .body(remaining: remaining - count)
      case .chunk(let remaining):
        let count = takeBody(&rest, atMost: remaining)
        phase = count == remaining ? .chunkEnd : .chunk(remaining: remaining - count)
      case .complete:
        throw .notHTTP("\(rest.count) bytes follow behind the end of the answer, as if its length were wrong")
      case .statusLine, .headers, .chunkSize, .chunkEnd, .trailers:
        try takeByteOfLine(first)
        rest = rest.dropFirst()
      }
    }
  }

  private mutating func takeBody(_ rest: inout ArraySlice<UInt8>, atMost remaining: Int) -> Int {
    let part = rest.prefix(remaining)
    body.append(contentsOf: part)
    rest = rest.dropFirst(part.count)
    return part.count
  }

  // MARK: - Lines

  private mutating func takeByteOfLine(_ byte: UInt8) throws(EngineFailure.Cause) {
    headBytes += 1
    // The lines between chunks are bounded with the chunks: one that carries a byte may cost some more.
    guard headBytes <= limits.headBytes else {
      throw .tooLarge("its head has more than \(limits.headBytes) bytes")
    }
    guard byte == 0x0A else {
      line.append(byte)
      // What is no HTTP shows at once: waiting for the end of a line that never comes would not say it.
      if phase == .statusLine, line.count <= 5, !"HTTP/".utf8.starts(with: line) {
        throw .notHTTP("it begins with '\(escaped(bytes: line))'")
      }
      return
    }
    guard line.last == 0x0D else { throw .notHTTP("a line ends without CR: '\(excerpt(line))'") }
    line.removeLast()
    let line = self.line
    self.line.removeAll(keepingCapacity: true)
    if let odd = line.first(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F }) {
      throw .notHTTP("a line has the control character \(odd) in it: '\(excerpt(line))'")
    }
    switch phase {
    case .statusLine: try readStatus(line)
    case .headers: if line.isEmpty { try endHead() } else { try readHeader(line) }
    case .chunkSize: try readChunkSize(line)
    case .chunkEnd:
      guard line.isEmpty else { throw .notHTTP("a chunk is longer than it says: '\(excerpt(line))' follows") }
      phase = .chunkSize
    case .trailers: if line.isEmpty { phase = .complete }
    case .body, .chunk, .complete: preconditionFailure("no line is read in \(phase)")
    }
  }

  private func excerpt(_ line: [UInt8]) -> String { escaped(bytes: line, limit: 60) }

  /// `HTTP/1.1 200 OK`
  private mutating func readStatus(_ line: [UInt8]) throws(EngineFailure.Cause) {
    let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
    guard line.count >= 12, line.starts(with: "HTTP/1.".utf8), isDigit(line[7]), line[8] == 0x20,
      line[9..<12].allSatisfy(isDigit), line.count == 12 || line[12] == 0x20
    else { throw .notHTTP("its first line is '\(excerpt(line))'") }
    isOldVersion = line[7] == UInt8(ascii: "0")
    status = line[9..<12].reduce(0) { $0 * 10 + Int($1 - 0x30) }
    guard (100..<600).contains(status) else { throw .notHTTP("its status is \(status)") }
    phase = .headers
  }

  private mutating func readHeader(_ line: [UInt8]) throws(EngineFailure.Cause) {
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0, line[..<colon].allSatisfy(Self.isTokenByte)
    else { throw .notHTTP("a header is '\(excerpt(line))'") }
    let name = line[..<colon].map(Self.lowercased)
    let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
    let value = Array(line[(colon + 1)...].drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    func isCalled(_ wanted: String) -> Bool { name.elementsEqual(wanted.utf8) }
    if isCalled("content-length") {
      guard contentLength == nil else { throw .notHTTP("it has two Content-Lengths") }
      guard !value.isEmpty, value.count <= 18, value.allSatisfy({ (0x30...0x39).contains($0) }) else {
        throw .notHTTP("its Content-Length is '\(excerpt(value))'")
      }
      contentLength = value.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    } else if isCalled("transfer-encoding") {
      guard !isChunked, value.map(Self.lowercased).elementsEqual("chunked".utf8) else {
        throw .notHTTP("its Transfer-Encoding is '\(excerpt(value))', and only 'chunked' is read")
      }
      isChunked = true
    } else if isCalled("content-encoding") {
      guard value.map(Self.lowercased).elementsEqual("identity".utf8) else {
        throw .notHTTP("it is encoded with '\(excerpt(value))', which nobody asked for")
      }
    } else if isCalled("connection") {
      let words = value.map(Self.lowercased).split { $0 == UInt8(ascii: ",") || isBlank($0) }
      if words.contains(where: { $0.elementsEqual("close".utf8) }) { saysClose = true }
    }
  }

  private mutating func endHead() throws(EngineFailure.Cause) {
    if status < 200 {
      // An interim answer (RFC 9110, 15.2), behind which the real one comes. 101 would be another protocol.
      interimAnswers += 1
      guard status != 101, interimAnswers <= 4 else { throw .notHTTP("it answers \(status), which nobody asked for") }
      (phase, status, contentLength, isChunked) = (.statusLine, 0, nil, false)
      return
    }
    switch (contentLength, isChunked) {
    case (nil, true): phase = .chunkSize
    case (let length?, false):
      guard length <= limits.bodyBytes else {
        throw .tooLarge("its body has \(length) bytes, and at most \(limits.bodyBytes) are taken")
      }
      phase = length == 0 ? .complete : .body(remaining: length)
    case (.some, true): throw .notHTTP("it has both Content-Length and chunks, so nobody knows its end")
    case (nil, false):
      // No body at all (RFC 9112, 6.3).
      guard status == 204 || status == 304 else {
        throw .notHTTP("it has neither Content-Length nor chunks, so nobody knows its end")
      }
      phase = .complete
    }
  }

  /// `1a2b` in hexadecimal, with extensions behind a semicolon, which mean nothing here.
  private mutating func readChunkSize(_ line: [UInt8]) throws(EngineFailure.Cause) {
    let digits = line.prefix { $0 != UInt8(ascii: ";") }.reversed().drop { $0 == 0x20 || $0 == 0x09 }.reversed()
    guard let text = String(validating: digits, as: UTF8.self), (1...15).contains(text.utf8.count),
      text.utf8.allSatisfy(Self.isHexDigit), let size = Int(text, radix: 16)
    else { throw .notHTTP("the size of a chunk is '\(excerpt(line))'") }
    guard size > 0 else {
      phase = .trailers
      return
    }
    let (total, overflow) = bodyBytes.addingReportingOverflow(size)
    guard !overflow, total <= limits.bodyBytes else {
      throw .tooLarge("its body has more than the \(limits.bodyBytes) bytes that are taken")
    }
    bodyBytes = total
    // Its own lines were counted as of the head: they are paid with the chunk.
    headBytes = 0
    phase = .chunk(remaining: size)
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
      UInt8(ascii: "A")...UInt8(ascii: "F"):
      true
    default: false
    }
  }

  private static func lowercased(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
  }

  /// RFC 9110, 5.6.2.
  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }
}
