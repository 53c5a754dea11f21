import CLinux
import Glibc
package import SystemSupport

/// A well-behaved client: one request after the other on a thread of its own, a few thousand a second, whatever others do.
package final class HealthyClient: Sendable {
  private struct Talk {
    var isStopped = false
    var answered = 0
    var failure: String?
    var latencies = Latencies()
  }

  private final class State: Sendable {
    let talk = Mutex(Talk())
  }

  private let state = State()
  private let thread: OwnedThread

  /// Is connected and answered when this returns. `line` is a request with its newline and the number 1.
  package init(_ path: String, _ line: String) throws {
    let socket = try connectRaw(to: path)
    var first = Latencies()
    try first.ask(1, line, over: socket)
    thread = try OwnedThread(name: "healthy") { [state] in
      while !state.talk.withLock({ $0.isStopped }) {
        var asked = Latencies()
        do {
          let answer = try asked.ask(1, line, over: socket)
          state.talk.withLock { talk in
            if !answer.starts(with: #"{"jsonrpc":"2.0","id":1,"result":"#.utf8) {
              talk.failure = String(decoding: answer, as: UTF8.self)
            }
            talk.answered += 1
            talk.latencies.add(asked)
          }
        } catch {
          state.talk.withLock { $0.failure = "\(error)" }
          return
        }
      }
    }
  }

  /// How often it was.
  package var answered: Int { state.talk.withLock { $0.answered } }
  /// What it got instead of a result; nil where nothing was.
  package var failure: String? { state.talk.withLock { $0.failure } }

  /// How long it took since this was asked last.
  package func take() -> Latencies {
    state.talk.withLock { talk in
      defer { talk.latencies = Latencies() }
      return talk.latencies
    }
  }

  package func stop() {
    state.talk.withLock { $0.isStopped = true }
    thread.join()
  }
}

/// How long one request after another took, by a client that waits a moment between them.
package struct Latencies: Sendable {
  private var taken: [Duration] = []

  package init() {}

  package var count: Int { taken.count }

  package mutating func add(_ others: Latencies) { taken += others.taken }

  /// Sends `line` so many times; each answer is one line. Gives the last one.
  @discardableResult
  package mutating func ask(_ count: Int, _ line: String, over socket: FileDescriptor) throws -> [UInt8] {
    let bytes = Array(line.utf8)
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    var answer: [UInt8] = []
    for _ in 0..<count {
      answer = []
      let start = MonotonicInstant.now
      try socket.write(all: bytes)
      while answer.last != 0x0a {
        let read = try unsafe buffer.withUnsafeMutableBytes { try unsafe socket.read(into: $0) }
        guard read > 0 else { throw Ended() }
        answer += buffer[..<read]
      }
      taken.append(MonotonicInstant.now - start)
      usleep(200)  // Its pace: nothing is waited for.
    }
    return answer
  }

  package struct Ended: Error {}

  /// Of all that were asked.
  package func percentile(_ percent: Int) -> Duration {
    taken.isEmpty ? .zero : taken.sorted()[min(taken.count - 1, taken.count * percent / 100)]
  }

  /// How many times as long as `idle` this took at the 99th percentile. An idle time below `noise` says nothing, since a
  /// core that something else has for a moment costs more now and then.
  package func ratio(to idle: Latencies, noise: Duration) -> Double {
    percentile(99) / max(idle.percentile(99), noise)
  }
}

/// A connected socket that no client's code stands behind.
package func connectRaw(to path: String) throws -> FileDescriptor {
  let socket = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(0) })
  try systemCall("connect to", path) { unsafe t2_unix_connect(socket.number, path) }
  return socket
}
