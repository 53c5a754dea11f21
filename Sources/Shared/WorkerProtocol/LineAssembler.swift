/// Cuts a byte stream into lines of bounded length.
///
/// A pure struct for either end, blocking or not: feed it what `read` gave, take out the lines. Not thread-safe.
package struct LineAssembler: Sendable {
  private var bytes: [UInt8] = []
  private var searched = 0
  private var start = 0
  private let limit: Int

  package init(limit: Int = WorkerProtocol.longestLine) { self.limit = limit }

  /// True where the stream may end without losing anything.
  package var isEmpty: Bool { start == bytes.count }

  package mutating func append(_ more: some Collection<UInt8>) { bytes.append(contentsOf: more) }

  /// The next whole line without its `\n`, or nil when more bytes are needed. Throws once the unfinished line is longer
  /// than the limit: the peer cannot be understood any more and the connection must go.
  package mutating func next() throws(WorkerProtocolError) -> [UInt8]? {
    guard let end = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) else {
      searched = bytes.count
      guard bytes.count - start <= limit else { throw .lineTooLong(limit: limit) }
      compact()
      return nil
    }
    guard end - start <= limit else { throw .lineTooLong(limit: limit) }
    let line = Array(bytes[start..<end])
    start = end + 1
    searched = start
    return line
  }

  /// Gives taken lines' memory back; called only when all lines are taken, so each byte moves at most once a read.
  private mutating func compact() {
    guard start > 0 else { return }
    bytes.removeFirst(start)
    searched -= start
    start = 0
  }
}
