import CLinux
import Glibc
import SystemSupport

/// A client that sends lines as they are and gives back what comes, line by line.
final class LineClient {
  struct Ended: Error, CustomStringConvertible {
    var description: String
  }

  private let socket: FileDescriptor
  private var received: [UInt8] = []

  init(_ path: String) throws {
    socket = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(0) })
    try systemCall("connect to", path) { unsafe t2_unix_connect(socket.number, path) }
  }

  /// The file goes along with the line.
  func send(_ line: String, passing file: FileDescriptor? = nil) throws {
    let bytes = Array(line.utf8) + [0x0a]
    let sent = try unsafe bytes.withUnsafeBytes { try unsafe socket.send($0, passing: file) }
    try socket.write(all: Array(bytes[sent...]))
  }

  /// The next line; waits for it at most a minute.
  func line() throws -> String {
    while true {
      if let newline = received.firstIndex(of: 0x0a) {
        defer { received.removeSubrange(...newline) }
        return String(decoding: received[..<newline], as: UTF8.self)
      }
      var poll = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
      guard unsafe Glibc.poll(&poll, 1, 60_000) > 0 else { throw Ended(description: "no line came for a minute") }
      let bytes = try socket.read(upTo: 1 << 16)
      guard !bytes.isEmpty else { throw Ended(description: "the daemon closed the connection") }
      received += bytes
    }
  }
}
