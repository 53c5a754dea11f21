/// Text in UTF-8, and in which stretches of it control tokens may stand.
struct MarkedText: Sendable {
  private struct Run {
    var end: Int
    var control: Bool
  }

  private(set) var bytes: [UInt8] = []
  private var runs: [Run] = []

  mutating func append(_ text: some Sequence<UInt8>, control: Bool) {
    bytes.append(contentsOf: text)
    if runs.last?.control == control {
      runs[runs.count - 1].end = bytes.count
    } else if runs.last?.end ?? 0 < bytes.count {
      runs.append(Run(end: bytes.count, control: control))
    }
  }

  /// Calls `body` with the parts of a range in which control tokens may stand, or may not.
  func forEachRun(in range: Range<Int>, _ body: (Range<Int>, _ control: Bool) -> Void) {
    // Of a long chat there are as many ranges as runs, so none is looked at that lies in front.
    var (index, end) = (0, runs.count)
    while index < end {
      let middle = (index + end) / 2
      if runs[middle].end <= range.lowerBound { index = middle + 1 } else { end = middle }
    }
    var start = range.lowerBound
    while start < range.upperBound, index < runs.count {
      let part = start..<min(runs[index].end, range.upperBound)
      body(part, runs[index].control)
      start = part.upperBound
      index += 1
    }
  }

  /// Where control tokens that begin at the position must end; the position itself where none may stand there. Asked for
  /// rising positions: `run` is the caller's, at the beginning 0.
  func controlEnd(at position: Int, run: inout Int) -> Int {
    while run < runs.count, runs[run].end <= position { run += 1 }
    return run < runs.count && runs[run].control ? runs[run].end : position
  }
}
