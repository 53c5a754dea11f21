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
