import CLinux
import Glibc
import RPCProtocol
import SystemSupport

/// What the connections of one user share.
final class UserShare {
  var connections = 0
  let turns = FairTurns<ServerConnection>.User()
}

/// One client as the server's thread sees it: what has come, what is to go, and what it is waiting for.
final class ServerConnection {
  let socket: FileDescriptor
  let shared: RPCConnection
  let user: UserShare

  var input = ByteQueue()
  /// So many bytes of `input` hold no newline.
  var scanned = 0
  /// Whether `input` holds lines that wait for a turn, or until an answer has gone.
  var holdsLines = false
  /// Whether it waits for its turn.
  var isInLine = false
  /// When the line that is not complete began to arrive.
  var partialSince: MonotonicInstant?

  /// A file that came, and a byte of the line that it belongs to, by its place among all that were received.
  var passed: (file: PassedFile, byte: Int)?
  /// Bytes that have left `input`.
  var taken = 0
  /// A request with a file is in flight; until it is answered no other one is begun, so one file is open at a time.
  var hasFileInFlight = false

  var output = ByteQueue()
  /// Bytes ever sent; positions in `descriptors` count like it.
  private(set) var sent = 0
  private var descriptors: [(position: Int, descriptor: FileDescriptor)] = []
  /// Since when the peer has taken nothing.
  var stalledSince: MonotonicInstant?

  /// Requests that a handler has not answered yet.
  var inFlight = 0
  /// The peer has closed its writing side: it gets its answers, then the end.
  var isHalfClosed = false
  /// Nothing more is read; the connection ends when what is to go has gone.
  var isClosing = false
  /// What epoll was asked to report.
  var interest: Epoll.Events = .read

  init(socket: FileDescriptor, shared: RPCConnection, user: UserShare) {
    self.socket = socket
    self.shared = shared
    self.user = user
  }

  /// Marks the next byte of output as the one that the descriptor travels with.
  func attach(_ descriptor: FileDescriptor) {
    descriptors.append((sent + output.count, descriptor))
  }

  enum Progress { case all, blocked, broken }

  /// Sends as much as the socket takes.
  func flush(now: MonotonicInstant) -> Progress {
    while output.count > 0 {
      var passed: FileDescriptor?
      if let first = descriptors.first, first.position == sent { passed = first.descriptor }
      let next = passed == nil ? descriptors.first : descriptors.dropFirst().first
      let chunk = next.map { min(output.count, $0.position - sent) } ?? output.count
      let count =
        if let passed {
          unsafe t2_send_descriptor(socket.number, output.bytes.baseAddress, chunk, passed.number, Int32(MSG_DONTWAIT))
        } else {
          unsafe send(socket.number, output.bytes.baseAddress, chunk, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        }
      if count < 0 {
        // ETOOMANYREFS: too many descriptors are under way to peers that do not take them (man 7 unix).
        if errno == EINTR { continue }
        guard errno == EAGAIN || errno == ETOOMANYREFS else { return .broken }
        stalledSince = stalledSince ?? now
        return .blocked
      }
      if passed != nil { descriptors.removeFirst() }
      sent += count
      output.removeFirst(count)
      stalledSince = nil
    }
    return .all
  }
}
