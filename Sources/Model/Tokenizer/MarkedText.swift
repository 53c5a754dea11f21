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
    var start = 0
    for run in runs {
      let part = max(start, range.lowerBound)..<max(start, range.lowerBound, min(run.end, range.upperBound))
      if !part.isEmpty { body(part, run.control) }
      start = run.end
    }
  }

  /// Where control tokens that begin at the position must end; the position itself where none may stand there. Asked for
  /// rising positions: `run` is the caller's, at the beginning 0.
  func controlEnd(at position: Int, run: inout Int) -> Int {
    while run < runs.count, runs[run].end <= position { run += 1 }
    return run < runs.count && runs[run].control ? runs[run].end : position
  }
}
