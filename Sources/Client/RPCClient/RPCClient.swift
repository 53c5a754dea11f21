import CLinux
import Glibc
package import RPCProtocol
package import StrictJSON
package import SystemSupport

/// A blocking connection to the daemon, for one thread at a time.
///
/// `call` is a request and its answer. For pipelining, `send` many, then `receive` each by its number, in any order.
/// Notifications that come meanwhile are kept for `nextNotification`.
package final class RPCClient {
  /// A notification of the daemon.
  package struct Notification: Sendable, Equatable {
    package let method: String
    package let params: JSONObject
  }

  /// How long a `call` waits unless it says otherwise; nil for no limit.
  package var timeout: Duration?

  private let socket: FileDescriptor
  private var nextID: Int64 = 1
  private var input: [UInt8] = []
  /// Bytes at the front of `input` that are used up, and bytes after them that hold no newline.
  private var consumed = 0
  private var scanned = 0
  private var answers: [Int64: Result<JSONValue, RPCError>] = [:]
  private var notifications: [Notification] = []
  private var descriptors: [FileDescriptor] = []
  private var readBuffer = [UInt8](repeating: 0, count: 64 << 10)

  package init(socketPath path: String, timeout: Duration? = .seconds(30)) throws(RPCClientError) {
    self.timeout = timeout
    guard path.utf8.count <= 107 else { throw .pathTooLong(path: path, bytes: path.utf8.count) }
    do throws(SystemCallError) {
      let socket = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(0) })
      try systemCall("connect to", path) {
        unsafe t2_unix_connect(socket.number, path.utf8.first == UInt8(ascii: "@") ? "./" + path : path)
      }
      self.socket = socket
    } catch {
      switch error.number {
      case ENOENT, ENOTDIR: throw .notRunning(path: path)
      case ECONNREFUSED: throw .stale(path: path)
      case EACCES, EPERM: throw .noPermission(path: path)
      default: throw .system(error)
      }
    }
  }

  /// Sends a request and waits for its answer. An error of the daemon is `.refused`. `file` goes along, for a method that
  /// takes one, and stays open here.
  @discardableResult
  package func call(
    _ method: String, _ params: JSONObject = [:], file: FileDescriptor? = nil, timeout: Duration? = nil
  ) throws(RPCClientError) -> JSONValue {
    let id = try send(method, params, file: file)
    return try receive(id, "'\(method)'", timeout: timeout)
  }

  /// The same of a method that this end knows; what comes back is read as its result.
  @discardableResult
  package func call<Method: RPCMethodDeclaration>(
    _ method: Method.Type, _ params: JSONObject = [:], file: FileDescriptor? = nil, timeout: Duration? = nil
  ) throws(RPCClientError) -> Answer<Method.Result> {
    try Answer(of: method, try call(Method.name, params, file: file, timeout: timeout))
  }

  /// Sends a request and returns its number for `receive`.
  package func send(
    _ method: String, _ params: JSONObject = [:], file: FileDescriptor? = nil
  ) throws(RPCClientError) -> Int64 {
    let id = nextID
    nextID += 1
    try write(RPCAnswer.request(id: id, method: method, params: params), passing: file)
    return id
  }

  /// Waits for the answer to a request that `send` has sent. Notifications that come meanwhile are handed to
  /// `onNotification`, if there is one; `timeout` is then the longest silence.
  package func receive(
    _ id: Int64, _ what: String = "the request", timeout: Duration? = nil,
    onNotification: ((Notification) -> Void)? = nil
  ) throws(RPCClientError) -> JSONValue {
    let limit = timeout ?? self.timeout
    var deadline = limit.map { Deadline.after($0) } ?? .never
    while true {
      if let onNotification, !notifications.isEmpty {
        let seen = notifications
        notifications = []
        for notification in seen { onNotification(notification) }
        deadline = limit.map { Deadline.after($0) } ?? .never
      }
      if let answer = answers.removeValue(forKey: id) {
        switch answer {
        case .success(let value): return value
        case .failure(let error): throw .refused(error)
        }
      }
      guard try readLine(until: deadline, what) else { throw .timedOut(waitingFor: what, after: limit ?? .zero) }
    }
  }

  /// The next notification, waiting for it at most so long; nil when the time is up.
  package func nextNotification(timeout: Duration? = nil) throws(RPCClientError) -> Notification? {
    let deadline = timeout.map { Deadline.after($0) } ?? .never
    while notifications.isEmpty {
      guard try readLine(until: deadline, "the next event") else { return nil }
    }
    return notifications.removeFirst()
  }

  /// The oldest descriptor that came with an answer and was not taken yet.
  package func takeDescriptor() -> FileDescriptor? { descriptors.isEmpty ? nil : descriptors.removeFirst() }

  // MARK: - Bytes

  /// The descriptor goes with the first byte, in a message of this line alone.
  private func write(_ bytes: [UInt8], passing file: FileDescriptor?) throws(RPCClientError) {
    let deadline = timeout.map { Deadline.after($0) } ?? .never
    var done = 0
    while done < bytes.count {
      let passed = done == 0 ? file?.number ?? -1 : -1
      let count = unsafe bytes.withUnsafeBytes {
        unsafe t2_send_descriptor(
          socket.number, $0.baseAddress.map { unsafe $0 + done }, bytes.count - done, passed, Int32(MSG_DONTWAIT))
      }
      if count >= 0 {
        done += count
      } else if errno == EAGAIN {
        // The daemon reads no more until some of its answers are read: so read them.
        guard try wait(for: Int16(POLLIN | POLLOUT), until: deadline) else {
          throw .timedOut(waitingFor: "room to send", after: timeout ?? .zero)
        }
        try readWhatIsThere("a request")
      } else if errno == EPIPE || errno == ECONNRESET {
        // What it said before it closed is the better error.
        while try readLine(until: deadline, "a request") {}
        throw .closed(waitingFor: "a request")
      } else if errno != EINTR {
        throw .system(SystemCallError("send to the daemon"))
      }
    }
  }

  /// Takes in one more line; false when the time is up.
  private func readLine(until deadline: Deadline, _ what: String) throws(RPCClientError) -> Bool {
    while true {
      if let newline = input[(consumed + scanned)...].firstIndex(of: 0x0a) {
        let line = input[consumed..<newline]
        defer {
          consumed = newline + 1
          scanned = 0
          if consumed == input.count {
            input.removeAll(keepingCapacity: true)
            consumed = 0
          }
        }
        if line.isEmpty { continue }
        try take(line)
        return true
      }
      scanned = input.count - consumed
      if consumed > 64 << 10 {
        input.removeSubrange(..<consumed)
        consumed = 0
      }
      guard try wait(for: Int16(POLLIN), until: deadline) else { return false }
      try readWhatIsThere(what)
    }
  }

  private func readWhatIsThere(_ what: String) throws(RPCClientError) {
    var passed: Int32 = -1
    let count = unsafe readBuffer.withUnsafeMutableBytes {
      unsafe t2_receive_descriptor(socket.number, $0.baseAddress, $0.count, &passed, Int32(MSG_DONTWAIT))
    }
    if passed >= 0 { descriptors.append(FileDescriptor(takingOwnershipOf: passed)) }
    if count > 0 {
      input.append(contentsOf: readBuffer[..<count])
    } else if count == 0 || errno == ECONNRESET || errno == EPIPE {
      throw .closed(waitingFor: what)
    } else if errno != EAGAIN, errno != EINTR {
      throw .system(SystemCallError("read from the daemon"))
    }
  }

  private func wait(for events: Int16, until deadline: Deadline) throws(RPCClientError) -> Bool {
    while true {
      var poll = pollfd(fd: socket.number, events: events, revents: 0)
      let ready = unsafe Glibc.poll(&poll, 1, deadline.pollMilliseconds)
      if ready > 0 { return true }
      if ready < 0, errno != EINTR { throw .system(SystemCallError("wait for the daemon")) }
      if ready == 0, deadline.hasPassed { return false }
    }
  }

  private func take(_ line: ArraySlice<UInt8>) throws(RPCClientError) {
    let value: JSONValue
    do {
      value = try parseJSON(line)
    } catch {
      throw .notAnAnswer("\(error)")
    }
    guard let object = value.objectValue else { throw .notAnAnswer("it is \(value.asFound)") }
    if let method = object["method"]?.stringValue, object["id"] == nil {
      notifications.append(Notification(method: method, params: object["params"]?.objectValue ?? [:]))
      return
    }
    let id = object["id"]?.integerValue
    if let error = object["error"] {
      guard let error = RPCError(json: error) else { throw .notAnAnswer("its error has no code") }
      // Without a number it concerns the connection, not one request.
      guard let id else { throw .refused(error) }
      answers[id] = .failure(error)
    } else if let id, let result = object["result"] {
      answers[id] = .success(result)
    } else {
      throw .notAnAnswer("it has neither a result nor an error")
    }
  }
}
