import Glibc
import Synchronization
import SystemSupport

/// Lines on their way from any thread to the server's thread, which alone touches connections.
final class Outbox: Sendable {
  struct Line: Sendable {
    let connection: UInt64
    let bytes: [UInt8]
    let descriptor: FileDescriptor?
    /// Whether it answers a request, which is then no longer in flight.
    let isAnswer: Bool
  }

  private struct State {
    var lines: [Line] = []
    var stopDeadline: Deadline?
  }

  let wake: EventDescriptor
  private let state = Mutex(State())

  init() throws(SystemCallError) { wake = try EventDescriptor() }

  func post(_ line: Line) {
    let wasEmpty = state.withLock { state in
      state.lines.append(line)
      return state.lines.count == 1
    }
    // The thread empties the box before it waits, so one signal is enough for all that come until then.
    if wasEmpty { wake.signal() }
  }

  func requestStop(by deadline: Deadline) {
    state.withLock { $0.stopDeadline = $0.stopDeadline ?? deadline }
    wake.signal()
  }

  /// Swaps the waiting lines for `empty`, so that the two arrays keep their memory.
  func take(into lines: inout [Line]) -> Deadline? {
    state.withLock { state in
      swap(&state.lines, &lines)
      return state.stopDeadline
    }
  }
}
