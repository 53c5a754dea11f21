/// Reads one JSON text.
///
/// `bytes` are borrowed for the time of the call. The reader recurses once a level of nesting and `maximumDepth` bounds
/// it before the stack can. Every byte is looked at once; line and column are counted only when there is an error to report.
// @safe: `bytes` outlives the parser, which is created and dropped inside `parseJSON`, and every access goes through
// `byte(at:)` or `extract(_:)`, which check their range.
@safe
struct JSONParser {
  private let bytes: UnsafeRawBufferPointer
  let count: Int
  let limits: JSONLimits
  let isJSON5: Bool
  var position = 0
  private var depth = 0
  private var memberCount = 0

  init(_ bytes: UnsafeRawBufferPointer, limits: JSONLimits, dialect: JSONDialect) {
    unsafe self.bytes = unsafe bytes
    count = bytes.count
    self.limits = limits
    isJSON5 = dialect == .json5
  }

  mutating func document() throws(JSONError) -> JSONValue {
    guard count <= limits.maximumBytes else {
      throw error(.tooLarge, at: 0, "the text has \(count) bytes, at most \(limits.maximumBytes) are read")
    }
    if byte(at: 0) == 0xEF, byte(at: 1) == 0xBB, byte(at: 2) == 0xBF {
      throw error(.syntax, at: 0, "the text begins with a byte order mark; save it without one")
    }
    try skipSpace()
    let value = try value()
    try skipSpace()
    guard position == count else {
      throw error(.trailingBytes, at: position, "the value ends here, but \(found) follows")
    }
    return value
  }

  mutating func value() throws(JSONError) -> JSONValue {
    switch peek {
    case UInt8(ascii: "{"): return try object()
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "'") where isJSON5: return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    case UInt8(ascii: "+") where isJSON5, UInt8(ascii: ".") where isJSON5: return try number()
    case UInt8(ascii: "N") where limits.oddNumbers == .kept: return try word("NaN", .null)
    case UInt8(ascii: "I") where limits.oddNumbers == .kept: return try word("Infinity", .null)
    default: throw unexpected("a value")
    }
  }

  private mutating func object() throws(JSONError) -> JSONValue {
    try enter()
    var object = JSONObject()
    position += 1
    try skipSpace()
    if peek == UInt8(ascii: "}") { return leave(.object(object)) }
    object.reserveCapacity(4)
    while true {
      try countMember()
      let keyStart = position
      let key = try key()
      try skipSpace()
      guard peek == UInt8(ascii: ":") else { throw unexpected("':' after the key \"\(key.excerpt)\"") }
      position += 1
      try skipSpace()
      guard object.append(key, try value()) else {
        throw error(.duplicateKey, at: keyStart, "the key \"\(key.excerpt)\" appears twice in one object")
      }
      if try endsList(with: UInt8(ascii: "}"), named: "',' or '}'") { return leave(.object(object)) }
    }
  }

  private mutating func array() throws(JSONError) -> JSONValue {
    try enter()
    var elements: [JSONValue] = []
    position += 1
    try skipSpace()
    if peek == UInt8(ascii: "]") { return leave(.array(elements)) }
    while true {
      try countMember()
      elements.append(try value())
      if try endsList(with: UInt8(ascii: "]"), named: "',' or ']'") { return leave(.array(elements)) }
    }
  }

  /// After an element: true at the closing bracket (not yet consumed), false after a comma and the space behind it.
  mutating func endsList(with close: UInt8, named expected: String) throws(JSONError) -> Bool {
    try skipSpace()
    if peek == close { return true }
    guard peek == UInt8(ascii: ",") else { throw unexpected(expected) }
    position += 1
    try skipSpace()
    if isJSON5, peek == close { return true }
    if peek == close { throw error(.syntax, at: position, "a comma stands before \(character(close))") }
    return false
  }

  private mutating func key() throws(JSONError) -> String {
    if peek == UInt8(ascii: "\"") { return try string() }
    guard isJSON5 else { throw unexpected("a key in double quotes") }
    if peek == UInt8(ascii: "'") { return try string() }
    let start = position
    while isIdentifierByte(peek, first: position == start) { position += 1 }
    guard position > start else { throw unexpected("a key") }
    return unsafe String(decoding: extract(start..<position), as: UTF8.self)
  }

  private func isIdentifierByte(_ byte: UInt8, first: Bool) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
    case UInt8(ascii: "_"), UInt8(ascii: "$"): true
    case UInt8(ascii: "0")...UInt8(ascii: "9"): !first
    default: false
    }
  }

  mutating func word(_ word: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
    let start = position
    for expected in word.utf8 {
      if peek != expected {
        position = start
        throw unexpected("'\(word)'")
      }
      position += 1
    }
    return value
  }

  // MARK: Space and bounds

  @inline(__always)
  mutating func skipSpace() throws(JSONError) {
    // Most often there is none.
    if peek <= 0x20 || peek == UInt8(ascii: "/") { try skipSpaceAndComments() }
  }

  private mutating func skipSpaceAndComments() throws(JSONError) {
    while true {
      switch peek {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      case 0x0B where isJSON5, 0x0C where isJSON5: position += 1
      case UInt8(ascii: "/"):
        guard isJSON5 else {
          let next = byte(at: position + 1)
          let isComment = next == UInt8(ascii: "/") || next == UInt8(ascii: "*")
          throw isComment ? error(.syntax, at: position, "comments are not JSON") : unexpected("a value")
        }
        try skipComment()
      default: return
      }
    }
  }

  private mutating func skipComment() throws(JSONError) {
    let start = position
    switch byte(at: position + 1) {
    case UInt8(ascii: "/"):
      while position < count, peek != 0x0A { position += 1 }
    case UInt8(ascii: "*"):
      position += 2
      while !(peek == UInt8(ascii: "*") && byte(at: position + 1) == UInt8(ascii: "/")) {
        guard position < count else { throw error(.unexpectedEnd, at: start, "this comment has no end") }
        position += 1
      }
      position += 2
    default: throw unexpected("a value or a comment")
    }
  }

  private mutating func enter() throws(JSONError) {
    depth += 1
    guard depth <= limits.maximumDepth else {
      throw error(.tooDeep, at: position, "nested deeper than \(limits.maximumDepth) levels")
    }
  }

  private mutating func leave(_ value: JSONValue) -> JSONValue {
    position += 1
    depth -= 1
    return value
  }

  private mutating func countMember() throws(JSONError) {
    memberCount += 1
    guard memberCount <= limits.maximumMembers else {
      throw error(.tooLarge, at: position, "more than \(limits.maximumMembers) members and elements")
    }
  }

  // MARK: Bytes

  /// The byte at the position, 0 at the end. NUL is nowhere allowed, so it needs no case of its own.
  var peek: UInt8 { byte(at: position) }

  func byte(at index: Int) -> UInt8 { index < count ? unsafe bytes[index] : 0 }

  func extract(_ range: Range<Int>) -> UnsafeBufferPointer<UInt8> {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range \(range) outside of 0..<\(count)")
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[range]).assumingMemoryBound(to: UInt8.self)
  }

  // MARK: Errors

  /// What stands at the position, for a message.
  var found: String {
    guard position < count else { return "the end of the text" }
    return character(peek)
  }

  private func character(_ byte: UInt8) -> String {
    (0x21...0x7E).contains(byte) ? "'\(Unicode.Scalar(byte))'" : "byte 0x" + hex(byte)
  }

  func hex(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }

  func unexpected(_ expected: String) -> JSONError {
    error(position < count ? .syntax : .unexpectedEnd, at: position, "expected \(expected), found \(found)")
  }

  func error(_ kind: JSONError.Kind, at offset: Int, _ problem: String) -> JSONError {
    var line = 1
    var lineStart = 0
    for index in 0..<min(offset, count) where byte(at: index) == 0x0A {
      line += 1
      lineStart = index + 1
    }
    return JSONError(kind: kind, offset: offset, line: line, column: offset - lineStart + 1, problem: problem)
  }
}
