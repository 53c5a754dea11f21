import CLinux
import Glibc
import struct Synchronization.Atomic
import SystemSupport
import TestSupport

/// One user that asks as fast as the daemon lets him: some connections, each with as many requests under way as it takes,
/// on one thread, which reads the answers and looks at none.
final class Flood: Sendable {
  private final class State: Sendable {
    let isStopped = Atomic<Bool>(false)
    let bytes = Atomic<Int>(0)
  }

  private let state = State()
  private let thread: OwnedThread

  /// Bytes of answers that came.
  var received: Int { state.bytes.load(ordering: .relaxed) }

  /// `lines` are sent again and again, each with its newline.
  init(_ path: String, user: UInt32, connections: Int, lines: [UInt8]) throws {
    let sockets = try asUser(user) { try (0..<connections).map { _ in try connectRaw(to: path) } }
    thread = try OwnedThread(name: "flood") { [state] in Self.run(sockets, lines, state) }
  }

  func stop() {
    state.isStopped.store(true, ordering: .relaxed)
    thread.join()
  }

  private static func run(_ sockets: [FileDescriptor], _ lines: [UInt8], _ state: State) {
    var offsets = [Int](repeating: 0, count: sockets.count)
    var buffer = [UInt8](repeating: 0, count: 256 << 10)
    var polled = sockets.map { pollfd(fd: $0.number, events: Int16(POLLIN | POLLOUT), revents: 0) }
    while !state.isStopped.load(ordering: .relaxed) {
      guard unsafe poll(&polled, nfds_t(polled.count), 100) > 0 else { continue }
      for index in sockets.indices {
        if polled[index].revents & Int16(POLLOUT) != 0 {
          let sent = unsafe lines.withUnsafeBytes {
            unsafe send(
              sockets[index].number, $0.baseAddress.map { unsafe $0 + offsets[index] }, lines.count - offsets[index],
              Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
          }
          if sent > 0 { offsets[index] = (offsets[index] + sent) % lines.count }
        }
        if polled[index].revents & Int16(POLLIN) != 0 {
          let count = unsafe buffer.withUnsafeMutableBytes {
            unsafe recv(sockets[index].number, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
          }
          state.bytes.add(max(0, count), ordering: .relaxed)
        }
      }
    }
  }
}

/// A connected socket that no client's code stands behind.
func connectRaw(to path: String) throws -> FileDescriptor {
  let socket = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(0) })
  try systemCall("connect to", path) { unsafe t2_unix_connect(socket.number, path) }
  return socket
}

/// How long one request after another took, by a client that waits a moment between them.
struct Latencies {
  private var taken: [Duration] = []

  /// Sends `line` so many times; each answer is one line.
  init(_ count: Int, _ line: String, over socket: FileDescriptor) throws {
    let bytes = Array(line.utf8)
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    for _ in 0..<count {
      let start = MonotonicInstant.now
      try socket.write(all: bytes)
      var last: UInt8 = 0
      while last != 0x0a {
        let read = try unsafe buffer.withUnsafeMutableBytes { try unsafe socket.read(into: $0) }
        guard read > 0 else { throw Ended() }
        last = buffer[read - 1]
      }
      taken.append(MonotonicInstant.now - start)
      usleep(200)  // Its pace: nothing is waited for.
    }
    taken.sort()
  }

  struct Ended: Error {}

  func percentile(_ percent: Int) -> Duration { taken[min(taken.count - 1, taken.count * percent / 100)] }
}
