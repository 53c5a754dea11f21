/// The values of a file that holds several, however they are set: one a line, written over many lines after each other, or
/// as the elements of one array. Which it is follows from the beginning of the file.
///
/// Of one value a line a bad one does not end the sequence. In the other forms nothing tells where the next value begins, so
/// a bad one is the last.
package struct JSONTexts: Sequence, IteratorProtocol {
  private enum Form {
    case lines(JSONLines)
    case texts(at: Int)
    case array(at: Int)
    case ended
  }

  private let bytes: [UInt8]
  private let limits: JSONLimits
  private var form: Form
  private var lines = LineCounter()

  /// `limits` hold for each value.
  package init(_ bytes: [UInt8], limits: JSONLimits = .init()) {
    self.bytes = bytes
    self.limits = limits
    let start = bytes.firstIndex { !Self.isBlank($0) } ?? bytes.count
    if start < bytes.count, bytes[start] == UInt8(ascii: "[") {
      form = .array(at: start + 1)
    } else if Self.isCutByItsFirstLine(bytes, start, limits) {
      form = .texts(at: start)
    } else {
      form = .lines(JSONLines(bytes, limits: limits))
    }
  }

  package mutating func next() -> JSONLines.Line? {
    switch form {
    case .lines(var iterator):
      let line = iterator.next()
      form = .lines(iterator)
      return line
    case .texts(let start):
      guard let start = bytes[start...].firstIndex(where: { !Self.isBlank($0) }) else { return nil }
      return read(at: start) { .texts(at: $0) }
    case .array(let start):
      guard let start = bytes[start...].firstIndex(where: { !Self.isBlank($0) }) else {
        return failure(at: bytes.count, .unexpectedEnd, "the array that begins the file has no end")
      }
      if bytes[start] == UInt8(ascii: "]") { return end(after: start + 1) }
      return read(at: start) { .array(at: $0) }
    case .ended: return nil
    }
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

  /// Whether a value begins in the first line and does not end there, and is good as a whole.
  private static func isCutByItsFirstLine(_ bytes: [UInt8], _ start: Int, _ limits: JSONLimits) -> Bool {
    guard start < bytes.count, let end = bytes[start...].firstIndex(of: 0x0A) else { return false }
    do throws(JSONError) {
      _ = try parseJSON(bytes[start..<end], limits: limits)
      return false
    } catch {
      guard error.kind == .unexpectedEnd else { return false }
    }
    return (try? parseFirst(bytes, at: start, limits)) != nil
  }

  private static func parseFirst(
    _ bytes: [UInt8], at start: Int, _ limits: JSONLimits
  ) throws(JSONError) -> (value: JSONValue, end: Int) {
    try unsafe bytes.span.withUnsafeBytes { buffer throws(JSONError) in
      var parser = unsafe JSONParser(
        UnsafeRawBufferPointer(rebasing: buffer[start...]), limits: limits, dialect: .strict)
      let value = try parser.value()
      return (value, start + parser.position)
    }
  }

  private mutating func read(at start: Int, then next: (Int) -> Form) -> JSONLines.Line? {
    let number = lines.number(at: start, in: bytes)
    do throws(JSONError) {
      let (value, valueEnd) = try Self.parseFirst(bytes, at: start, limits)
      var end = valueEnd
      if case .array = form {
        while end < bytes.count, Self.isBlank(bytes[end]) { end += 1 }
        guard end < bytes.count, bytes[end] == UInt8(ascii: ",") || bytes[end] == UInt8(ascii: "]") else {
          return failure(
            at: end, end < bytes.count ? .syntax : .unexpectedEnd, "expected ',' or ']' behind an element of the array")
        }
        if bytes[end] == UInt8(ascii: ",") { end += 1 }
      }
      form = next(end)
      return JSONLines.Line(number: number, range: start..<valueEnd, value: .success(value))
    } catch {
      form = .ended
      let line = number + error.line - 1
      return JSONLines.Line(
        number: line, range: start..<bytes.count,
        value: .failure(
          JSONError(
            kind: error.kind, offset: start + error.offset, line: line, column: error.column, problem: error.problem)))
    }
  }

  private mutating func end(after position: Int) -> JSONLines.Line? {
    form = .ended
    guard let rest = bytes[position...].firstIndex(where: { !Self.isBlank($0) }) else { return nil }
    return failure(at: rest, .trailingBytes, "the array ends here, but more follows")
  }

  private mutating func failure(at position: Int, _ kind: JSONError.Kind, _ problem: String) -> JSONLines.Line? {
    form = .ended
    let number = lines.number(at: position, in: bytes)
    return JSONLines.Line(
      number: number, range: position..<bytes.count,
      value: .failure(JSONError(kind: kind, offset: position, line: number, column: 1, problem: problem)))
  }
}

/// Line numbers of positions that only grow, so that the whole file is counted once.
private struct LineCounter {
  private var position = 0
  private var line = 1

  mutating func number(at wanted: Int, in bytes: [UInt8]) -> Int {
    for index in position..<max(position, min(wanted, bytes.count)) where bytes[index] == 0x0A { line += 1 }
    position = max(position, wanted)
    return line
  }
}
