import Glibc

/// A request of the common, small shape, read in one pass without allocating anything:
///
///     {"jsonrpc":"2.0","id":7,"method":"mixture.get","params":{"task":"arc_easy"}}
///
/// The scanner accepts a subset of what ``RPCRequest/parse(_:)`` accepts and gives it the same meaning (a test
/// compares the two on mutated lines): members in any order but each once, an id that is an integer of at most 15
/// digits or a short string, and at most eight parameters whose values are strings, integers of at most 15 digits,
/// true, false or null. Strings are printable ASCII without a backslash. All else is nil: the careful way takes it.
///
/// It points into the connection's buffer and is valid only during the call that it is given to: nobody keeps one.
/// @safe: every index is compared with the line's count before it is used, and slices come from the scanner only.
@safe
package struct FlatRequest {
  package static let maximumParameters = 8

  /// A part of the line. Lines are at most 1 MiB, and flat ones far below: see `maximumLine`.
  package struct Slice {
    var start: Int32 = 0
    var count: Int32 = 0
  }

  package enum Kind: UInt8 { case string, integer, boolean, null }

  struct Parameter {
    var key = Slice()
    var value = Slice()
    var kind = Kind.null
  }

  private static let maximumLine = 16 * 1024

  let line: UnsafeRawBufferPointer
  private(set) var idSlice = Slice()
  private(set) var methodSlice = Slice()
  private(set) var parameterCount = 0
  private var parameters = InlineArray<8, Parameter>(repeating: Parameter())

  /// The id as JSON text, quotes included. A notification has no bytes here.
  package var idBytes: UnsafeRawBufferPointer { unsafe bytes(idSlice) }

  package func isMethod(_ name: StaticString) -> Bool { equal(methodSlice, name) }

  /// The text of a string parameter. Fifteen bytes or fewer cost no allocation.
  package func string(_ name: StaticString) -> String? {
    guard let parameter = find(name), parameter.kind == .string else { return nil }
    return unsafe String(decoding: bytes(parameter.value), as: UTF8.self)
  }

  package func integer(_ name: StaticString) -> Int64? {
    guard let parameter = find(name), parameter.kind == .integer else { return nil }
    return number(parameter.value)
  }

  package func boolean(_ name: StaticString) -> Bool? {
    guard let parameter = find(name), parameter.kind == .boolean else { return nil }
    return unsafe line[Int(parameter.value.start)] == UInt8(ascii: "t")
  }

  /// Whether the table admits these parameters; where it does not, the careful way says why.
  package func satisfies(_ method: RPCMethod) -> Bool {
    var seen = 0
    for index in 0..<(parameterCount) {
      let parameter = parameters[index]
      guard let row = method.parameters.first(where: { equal(parameter.key, $0.name) }) else { return false }
      switch row.type {
      case .string: guard parameter.kind == .string else { return false }
      case .boolean: guard parameter.kind == .boolean else { return false }
      case .integer(let range):
        guard parameter.kind == .integer, let value = number(parameter.value), range.contains(value) else {
          return false
        }
      case .choice, .number, .list, .text, .tokens, .coefficients, .messages, .custom, .record, .any: return false
      }
      if row.isRequired { seen += 1 }
    }
    return seen == method.parameters.count(where: \.isRequired)
  }

  package func isMethod(_ method: RPCMethod) -> Bool { equal(methodSlice, method.name) }

  // MARK: - Scanning

  package init?(_ line: UnsafeRawBufferPointer) {
    guard line.count <= Self.maximumLine else { return nil }
    unsafe self.line = line
    var scanner = unsafe Scanner(line: line)
    var hasVersion = false
    var hasMethod = false
    var hasID = false
    var hasParams = false
    guard scanner.take(UInt8(ascii: "{")) else { return nil }
    repeat {
      guard let key = scanner.string(), scanner.take(UInt8(ascii: ":")) else { return nil }
      switch key.count {
      case 2 where equal(key, "id") && !hasID:
        guard let (slice, kind) = scanner.value(), kind == .string || kind == .integer else { return nil }
        // With its quotes, so that it can be copied into the answer.
        idSlice =
          kind == .string ? Slice(start: slice.start - 1, count: slice.count + 2) : slice
        guard slice.count <= RPCID.maximumBytes else { return nil }
        hasID = true
      case 6 where equal(key, "method") && !hasMethod:
        guard let name = scanner.string() else { return nil }
        methodSlice = name
        hasMethod = true
      case 6 where equal(key, "params") && !hasParams:
        guard scanParameters(&scanner) else { return nil }
        hasParams = true
      case 7 where equal(key, "jsonrpc") && !hasVersion:
        guard let version = scanner.string(), equal(version, "2.0") else { return nil }
        hasVersion = true
      default: return nil
      }
    } while scanner.take(UInt8(ascii: ","))
    guard scanner.take(UInt8(ascii: "}")), scanner.isAtEnd, hasVersion, hasMethod, hasID else { return nil }
  }

  private mutating func scanParameters(_ scanner: inout Scanner) -> Bool {
    guard scanner.take(UInt8(ascii: "{")) else { return false }
    if scanner.take(UInt8(ascii: "}")) { return true }
    repeat {
      guard parameterCount < Self.maximumParameters, let key = scanner.string(),
        scanner.take(UInt8(ascii: ":")), let (value, kind) = scanner.value()
      else { return false }
      for index in 0..<(parameterCount) where unsafe equal(parameters[index].key, bytes(key)) {
        return false
      }
      parameters[parameterCount] = Parameter(key: key, value: value, kind: kind)
      parameterCount += 1
    } while scanner.take(UInt8(ascii: ","))
    return scanner.take(UInt8(ascii: "}"))
  }

  // MARK: - Parts of the line

  private func bytes(_ slice: Slice) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: line[Int(slice.start)..<Int(slice.start) + Int(slice.count)])
  }

  private func equal(_ slice: Slice, _ text: StaticString) -> Bool {
    unsafe equal(slice, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  private func equal(_ slice: Slice, _ text: String) -> Bool {
    guard text.utf8.count == Int(slice.count) else { return false }
    return unsafe text.utf8.withContiguousStorageIfAvailable { unsafe equal(slice, UnsafeRawBufferPointer($0)) }
      ?? false
  }

  // memcmp instead of elementsEqual, which is not specialised for raw buffers and took a tenth of the server's time.
  private func equal(_ slice: Slice, _ other: UnsafeRawBufferPointer) -> Bool {
    guard other.count == Int(slice.count), other.count > 0, let base = unsafe line.baseAddress,
      let start = other.baseAddress
    else { return unsafe slice.count == 0 && other.isEmpty }
    return unsafe memcmp(base + Int(slice.start), start, other.count) == 0
  }

  private func find(_ name: StaticString) -> Parameter? {
    for index in 0..<(parameterCount) where equal(parameters[index].key, name) {
      return parameters[index]
    }
    return nil
  }

  private func number(_ slice: Slice) -> Int64? {
    var value: Int64 = 0
    var isNegative = false
    for index in Int(slice.start)..<Int(slice.start) + Int(slice.count) {
      let byte = unsafe line[index]
      // The scanner let at most 15 digits and one leading sign through.
      if byte == UInt8(ascii: "-") { isNegative = true } else { value = value * 10 + Int64(byte & 0x0f) }
    }
    return isNegative ? -value : value
  }
}

/// A cursor over one line. Every method that returns nil or false leaves the request to the careful parser.
/// @safe: `position` is compared with the line's count before every read.
@safe
private struct Scanner {
  let line: UnsafeRawBufferPointer
  var position = 0

  init(line: UnsafeRawBufferPointer) { unsafe self.line = line }

  var isAtEnd: Bool {
    mutating get {
      skipSpace()
      return unsafe position == line.count
    }
  }

  mutating func skipSpace() {
    while unsafe position < line.count {
      switch unsafe line[position] {
      case 0x20, 0x09, 0x0d: position += 1
      default: return
      }
    }
  }

  mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard unsafe position < line.count, unsafe line[position] == byte else { return false }
    position += 1
    return true
  }

  /// The inside of a string.
  mutating func string() -> FlatRequest.Slice? {
    guard take(UInt8(ascii: "\"")) else { return nil }
    let start = position
    while unsafe position < line.count {
      let byte = unsafe line[position]
      if byte == UInt8(ascii: "\"") {
        let slice = FlatRequest.Slice(start: Int32(start), count: Int32(position - start))
        position += 1
        return slice
      }
      guard byte >= 0x20, byte < 0x7f, byte != UInt8(ascii: "\\") else { return nil }
      position += 1
    }
    return nil
  }

  mutating func value() -> (FlatRequest.Slice, FlatRequest.Kind)? {
    skipSpace()
    guard unsafe position < line.count else { return nil }
    switch unsafe line[position] {
    case UInt8(ascii: "\""): return string().map { ($0, .string) }
    case UInt8(ascii: "t"): return word("true").map { ($0, .boolean) }
    case UInt8(ascii: "f"): return word("false").map { ($0, .boolean) }
    case UInt8(ascii: "n"): return word("null").map { ($0, .null) }
    default: return integer().map { ($0, .integer) }
    }
  }

  private mutating func word(_ word: StaticString) -> FlatRequest.Slice? {
    let count = word.utf8CodeUnitCount
    guard unsafe line.count - position >= count else { return nil }
    for index in 0..<count where unsafe line[position + index] != word.utf8Start[index] { return nil }
    defer { position += count }
    return FlatRequest.Slice(start: Int32(position), count: Int32(count))
  }

  /// An integer as JSON writes it, of at most 15 digits: no leading zero, no fraction, no exponent.
  private mutating func integer() -> FlatRequest.Slice? {
    let start = position
    if unsafe line[position] == UInt8(ascii: "-") { position += 1 }
    let first = position
    while unsafe position < line.count, unsafe (0x30...0x39).contains(line[position]) { position += 1 }
    let digits = position - first
    guard digits >= 1, digits <= 15, unsafe digits == 1 || line[first] != UInt8(ascii: "0") else { return nil }
    // "-0" is a number of its own to some readers.
    guard unsafe !(first > start && line[first] == UInt8(ascii: "0")) else { return nil }
    if unsafe position < line.count {
      switch unsafe line[position] {
      case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): return nil
      default: break
      }
    }
    return FlatRequest.Slice(start: Int32(start), count: Int32(position - start))
  }
}
