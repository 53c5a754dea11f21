import CLinux
import Glibc
import Settings
import SystemSupport

/// A request, apart from what every one has.
struct HTTPRequest: Sendable {
  enum Method: String { case get = "GET", put = "PUT", delete = "DELETE", post = "POST" }

  var method: Method
  /// With its leading slash, without anything that would need an escape.
  var path: String
  var contentType = "application/json"
  var body: [UInt8] = []
  /// Whether the engine may be asked a second time where nobody knows if it has heard the first. All of the protocol's
  /// calls may: they compute or set the same again.
  var isRepeatable = true

  func bytes(for address: EngineAddress) -> [UInt8] {
    let host =
      switch address {
      case .unix: "localhost"
      case .loopback(let host, let port): "\(host.rawValue):\(port)"
      }
    var head = "\(method.rawValue) \(path) HTTP/1.1\r\nHost: \(host)\r\nAccept-Encoding: identity\r\n"
    switch method {
    case .get, .delete: break
    case .put, .post: head += "Content-Type: \(contentType)\r\nContent-Length: \(body.count)\r\n"
    }
    return Array((head + "\r\n").utf8) + body
  }
}

/// A connected socket and the answers that come through it, one after another. For one thread at a time.
///
/// All waiting is in `poll`, on a descriptor that never blocks. After an error it is of no use.
final class HTTPConnection {
  let address: EngineAddress
  let socket: FileDescriptor
  /// Of the answer that is being read.
  private(set) var parser = HTTPAnswerParser(bodyBytes: 0)
  /// Bytes of this answer, head and all.
  private(set) var received = 0
  /// Whether an answer has come through it already, so that the engine may have closed it since.
  private(set) var wasUsed = false
  /// Whether the engine has closed its side.
  private var hasEnded = false
  private var isBroken = false
  private var buffer = [UInt8](repeating: 0, count: 64 << 10)

  init(to address: EngineAddress, _ patience: Patience) throws(EngineFailure.Cause) {
    self.address = address
    socket = try Self.connect(to: address, patience)
  }

  // MARK: - Connecting

  private static func connect(
    to address: EngineAddress, _ patience: Patience
  ) throws(EngineFailure.Cause) -> FileDescriptor {
    switch address {
    case .unix(let path): return try connectUnix(path, patience)
    case .loopback(.ipv4, let port): return try connectLoopback(isIPv6: false, port, patience)
    case .loopback(.ipv6, let port): return try connectLoopback(isIPv6: true, port, patience)
    case .loopback(.localhost, let port):
      do throws(EngineFailure.Cause) {
        return try connectLoopback(isIPv6: false, port, patience)
      } catch .nobodyListens {
        return try connectLoopback(isIPv6: true, port, patience)
      } catch {
        throw error
      }
    }
  }

  /// Where the listener's queue is full a Unix socket cannot be waited for with poll (connect(2), EAGAIN). It blocks, for as
  /// long as a question to `shouldStop` may wait, and again.
  private static func connectUnix(_ path: String, _ patience: Patience) throws(EngineFailure.Cause) -> FileDescriptor {
    let socket = try made { t2_unix_socket(0) }
    while true {
      guard t2_send_timeout(socket.number, max(1, patience.nextQuestion.pollMilliseconds)) == 0 else {
        throw .system(SystemCallError("set the time limit of a socket"))
      }
      if unsafe t2_unix_connect(socket.number, path) == 0 { break }
      let error = SystemCallError("connect to", path)
      guard error.number == EAGAIN || error.number == EINTR else { throw cause(of: error, path: path) }
      try patience.check(received: 0)
    }
    do throws(SystemCallError) { try socket.setNonBlocking(true) } catch { throw .system(error) }
    return socket
  }

  private static func made(_ create: () -> Int32) throws(EngineFailure.Cause) -> FileDescriptor {
    let number = create()
    guard number >= 0 else { throw .system(SystemCallError("create a socket")) }
    return FileDescriptor(takingOwnershipOf: number)
  }

  private static func connectLoopback(
    isIPv6: Bool, _ port: UInt16, _ patience: Patience
  ) throws(EngineFailure.Cause) -> FileDescriptor {
    let family: Int32 = isIPv6 ? 1 : 0
    let socket = try made { t2_loopback_socket(family) }
    if t2_loopback_connect(socket.number, family, port) == 0 { return socket }
    guard errno == EINPROGRESS || errno == EINTR else { throw cause(of: SystemCallError("connect"), path: nil) }
    while true {
      var poll = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
      let ready = unsafe Glibc.poll(&poll, 1, patience.nextQuestion.pollMilliseconds)
      if ready > 0 { break }
      if ready < 0, errno != EINTR { throw .system(SystemCallError("wait for a connection")) }
      try patience.check(received: 0)
    }
    let failure = t2_connection_error(socket.number)
    guard failure == 0 else {
      throw cause(of: SystemCallError("connect", number: failure < 0 ? errno : failure), path: nil)
    }
    return socket
  }

  private static func cause(of error: SystemCallError, path: String?) -> EngineFailure.Cause {
    switch error.number {
    case ENOENT, ENOTDIR: return .noSocket
    case ENOTSOCK, EPROTOTYPE: return .notASocket
    case EACCES, EPERM: return .noPermission
    case ECONNREFUSED:
      // Of a file that is no socket Linux says the same as of a socket that nobody has.
      guard let path, let status = try? FileSystem.status(path), status.kind != .socket else { return .nobodyListens }
      return .notASocket
    default: return .system(error)
    }
  }

  // MARK: - Sending

  /// Sends a request and reads until the head of its answer has come.
  func begin(
    _ request: HTTPRequest, _ limits: HTTPLimits, _ patience: Patience
  ) throws(EngineFailure.Cause) {
    precondition(!isBroken && (!wasUsed || isReusable), "a connection is used again that cannot be")
    parser = HTTPAnswerParser(limits)
    received = 0
    do throws(EngineFailure.Cause) {
      try send(request.bytes(for: address), patience)
      while !parser.hasHead { try receive(patience) }
    } catch {
      isBroken = true
      throw error
    }
    wasUsed = true
  }

  /// Whether the answer before was read to its end and another request may follow.
  var isReusable: Bool { !isBroken && !hasEnded && parser.isComplete && parser.keepsConnection }

  /// Whether it is as nobody has touched it since the last answer: not closed by the engine, and nothing came.
  var isQuiet: Bool {
    var poll = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
    return unsafe Glibc.poll(&poll, 1, 0) == 0
  }

  private func send(_ bytes: [UInt8], _ patience: Patience) throws(EngineFailure.Cause) {
    var done = 0
    while done < bytes.count {
      try patience.check(received: received)
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(
          socket.number, $0.baseAddress.map { unsafe $0 + done }, bytes.count - done,
          Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
      }
      if count >= 0 {
        done += count
      } else if errno == EPIPE || errno == ECONNRESET {
        // What it said before it closed is the better error.
        isBroken = true
        while !parser.hasHead { try receive(patience) }
        return
      } else if errno == EAGAIN {
        let events = try wait(for: Int16(POLLIN | POLLOUT), patience)
        // An answer before the request is whole is a refusal: of a body that is too long, say. Nobody reads the rest of it.
        if events & Int16(POLLIN) != 0 {
          try receive(patience)
          if parser.hasHead {
            isBroken = true
            return
          }
        }
      } else if errno != EINTR {
        throw .system(SystemCallError("send to the engine"))
      }
    }
  }

  // MARK: - Receiving

  /// Takes in what there is, waiting for it.
  func receive(_ patience: Patience) throws(EngineFailure.Cause) {
    do throws(EngineFailure.Cause) {
      while true {
        let count = unsafe buffer.withUnsafeMutableBytes {
          unsafe recv(socket.number, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
        }
        if count > 0 {
          received += count
          return try parser.take(buffer[..<count])
        }
        if count == 0 || errno == ECONNRESET || errno == EPIPE {
          hasEnded = true
          throw .closed(received: received)
        }
        guard errno == EAGAIN || errno == EINTR else { throw .system(SystemCallError("read from the engine")) }
        try patience.check(received: received)
        _ = try wait(for: Int16(POLLIN), patience)
      }
    } catch {
      isBroken = true
      throw error
    }
  }

  /// The rest of the body.
  func readToEnd(_ patience: Patience) throws(EngineFailure.Cause) -> [UInt8] {
    while !parser.isComplete { try receive(patience) }
    return parser.takeBody()
  }

  func takeBody() -> [UInt8] { parser.takeBody() }

  /// Returns when there are bytes, at the deadline, or on a signal.
  func waitForBytes(until deadline: Deadline) {
    var poll = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
    _ = unsafe Glibc.poll(&poll, 1, deadline.pollMilliseconds)
  }

  /// Lets the engine know that nobody reads any more, also where somebody holds the descriptor still.
  func shutDown() {
    isBroken = true
    shutdown(socket.number, Int32(SHUT_RDWR))
  }

  /// What poll says; nothing where only its time was up.
  private func wait(for events: Int16, _ patience: Patience) throws(EngineFailure.Cause) -> Int16 {
    while true {
      var poll = pollfd(fd: socket.number, events: events, revents: 0)
      let ready = unsafe Glibc.poll(&poll, 1, patience.nextQuestion.pollMilliseconds)
      if ready > 0 { return poll.revents }
      if ready < 0, errno != EINTR { throw .system(SystemCallError("wait for the engine")) }
      try patience.check(received: received)
    }
  }
}
