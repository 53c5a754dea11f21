/// The lines of a `.jsonl` file, each one JSON value. Blank lines are passed over and counted.
///
/// A bad line does not end the sequence: what follows may be good, and all bad lines can be reported at once.
package struct JSONLines: Sequence, IteratorProtocol {
  package struct Line {
    /// From 1.
    package let number: Int
    /// The line's bytes within the file.
    package let range: Range<Int>
    /// Errors carry the file's line number and offset.
    package let value: Result<JSONValue, JSONError>
  }

  private let bytes: [UInt8]
  private let limits: JSONLimits
  private var position = 0
  private var lineNumber = 0

  /// `limits` hold for each line.
  package init(_ bytes: [UInt8], limits: JSONLimits = .init()) {
    self.bytes = bytes
    self.limits = limits
  }

  package mutating func next() -> Line? {
    while position < bytes.count {
      let start = position
      let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
      position = end + 1
      lineNumber += 1
      let text = bytes[start..<end]
      if text.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
      let value: Result<JSONValue, JSONError>
      do throws(JSONError) {
        value = .success(try parseJSON(text, limits: limits))
      } catch {
        value = .failure(
          JSONError(
            kind: error.kind, offset: error.offset + start, line: lineNumber, column: error.column,
            problem: error.problem))
      }
      return Line(number: lineNumber, range: start..<end, value: value)
    }
    return nil
  }
}
