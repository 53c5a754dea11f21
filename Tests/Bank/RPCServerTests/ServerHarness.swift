import CLinux
import Glibc
import RPCClient
import Records
import RPCProtocol
import RPCServer
import StrictJSON
import struct Synchronization.Atomic
import SystemSupport
import Testing

/// Answers what the tests ask: `mixture.get` fast and from a table, `job.wait` when told, everything else at once
/// with its own method and parameters.
final class EchoHandler: RPCHandler {
  let fastMethods = ["mixture.get"]
  let prepared: PreparedAnswer
  private let held = Mutex<[RPCReply]>([])
  private let subscribers = Mutex<[RPCConnection]>([])
  let disconnects = Atomic<Int>(0)
  /// Whether a file that came is one that hangs.
  let holdsFiles = Atomic<Bool>(false)

  init(descriptor: FileDescriptor? = nil) {
    let alpha: JSONValue = ["science": 0.8125, "social": 0.03125]
    let padding = String(repeating: "x", count: 900)
    let result: JSONValue = ["task": "arc_easy", "alpha": alpha, "generation": 7, "padding": .string(padding)]
    prepared = PreparedAnswer(result: result.serialized(), descriptor: descriptor)
  }

  func fastAnswer(_ request: FlatRequest) -> PreparedAnswer? {
    guard request.string("task") == "arc_easy" else { return nil }
    if request.boolean("pass_fd") == true { return prepared }
    return PreparedAnswer(result: prepared.result)
  }

  func handle(_ request: RPCRequest, _ reply: RPCReply) {
    switch request.method.name {
    case "mixture.get":
      reply.fail(RPCError(.unknownTask, "there is no task \(quoted(request.params["task"]?.stringValue ?? ""))"))
    case "job.wait":
      reply.connection.onDisconnect { [self] in disconnects.add(1, ordering: .relaxed) }
      held.withLock { $0.append(reply) }
    case "job.cancel": break  // dropped
    case "events.subscribe":
      subscribers.withLock { $0.append(reply.connection) }
      reply.succeed(["sequence": 1])
    case "expert.verify":  // what is in the file that came, when the test lets it
      guard let file = reply.file else { return reply.succeed(["text": .null]) }
      file.use { [self] descriptor in
        while holdsFiles.load(ordering: .relaxed) { usleep(1000) }
        let bytes = (try? descriptor.bytes(at: 0, count: 64)) ?? []
        reply.succeed(["text": .string(String(decoding: bytes, as: UTF8.self))])
      }
    case "model.tokenize":  // as large an answer as asked for
      reply.succeed(raw: [UInt8](repeating: 0x20, count: Int(request.params["text"]?.stringValue ?? "") ?? 0) + [0x31])
    default:
      reply.succeed(["method": .string(request.method.name), "params": .object(request.params)])
    }
  }

  /// What was said of the socket, in order.
  let socketProblems = Mutex<[RPCServerError?]>([])

  func socketWasLost(_ problem: RPCServerError?) { socketProblems.withLock { $0.append(problem) } }

  func releaseAll(_ result: JSONValue = ["state": "done"]) -> Int {
    let replies = held.withLock { held in
      defer { held = [] }
      return held
    }
    for reply in replies { reply.succeed(result) }
    return replies.count
  }

  var heldCount: Int { held.withLock { $0.count } }

  func publish(_ params: JSONObject) {
    for subscriber in subscribers.withLock({ $0 }) { subscriber.notify(method: "event", params: params) }
  }
}

struct Harness {
  let path: String
  let server: RPCServer
  let handler: EchoHandler

  func client(timeout: Duration = .seconds(20)) throws(RPCClientError) -> RPCClient {
    try RPCClient(socketPath: path, timeout: timeout)
  }
}

/// A server in a directory of its own, ended and removed after the test, with nothing left open.
func withServer(
  _ limits: RPCLimits = RPCLimits(), authority: RPCAuthority = RPCAuthority(), handler: EchoHandler = EchoHandler(),
  _ body: (Harness) throws -> Void
) throws {
  try withSocketDirectory { directory in
    let path = directory + "/s"
    let server = try RPCServer(path: path, limits: limits, authority: authority, handler: handler)
    try server.start()
    defer { server.stop(within: .zero) }
    try body(Harness(path: path, server: server, handler: handler))
  }
}

func withSocketDirectory(_ body: (String) throws -> Void) throws {
  var template = Array("/tmp/t2rpc.XXXXXX".utf8CString)
  let made = unsafe template.withUnsafeMutableBufferPointer { buffer in
    guard let start = buffer.baseAddress else { return false }
    return unsafe mkdtemp(start) != nil
  }
  try #require(made)
  let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  defer {
    _ = unsafe unlink(directory + "/s")
    #expect(unsafe rmdir(directory) == 0, "something is left in \(directory)")
  }
  try body(directory)
}

/// A client that sends bytes, not requests.
/// @unchecked: one thread may send while another receives; the bytes received belong to the latter.
final class RawClient: @unchecked Sendable {
  let socket: FileDescriptor
  private var received: [UInt8] = []

  init(_ path: String) throws {
    socket = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(0) })
    try systemCall("connect to", path) { unsafe t2_unix_connect(socket.number, path) }
  }

  /// Sends as much as the server takes; the number of bytes that it took.
  @discardableResult
  func send(_ bytes: [UInt8], waiting: Bool = true) -> Int {
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(
          socket.number, $0.baseAddress.map { unsafe $0 + done }, bytes.count - done,
          Int32(MSG_NOSIGNAL) | (waiting ? 0 : Int32(MSG_DONTWAIT)))
      }
      guard count > 0 else { break }
      done += count
    }
    return done
  }

  func send(_ text: String) { send(Array(text.utf8)) }

  func send(_ text: String, passing file: FileDescriptor) throws {
    let bytes = Array(text.utf8)
    let sent = try unsafe bytes.withUnsafeBytes { try unsafe socket.send($0, passing: file) }
    send(Array(bytes[sent...]))
  }

  /// The next line, or nil at the end of the connection. Gives up after ten seconds.
  func line() -> String? {
    while true {
      if let newline = received.firstIndex(of: 0x0a) {
        defer { received.removeSubrange(...newline) }
        return String(decoding: received[..<newline], as: UTF8.self)
      }
      guard receive() > 0 else { return nil }
    }
  }

  /// All lines until the end of the connection.
  func lines() -> [String] {
    var lines: [String] = []
    while let line = line() { lines.append(line) }
    return lines
  }

  /// Drops what has been received and not been taken as a line; how much it was.
  func takeReceived() -> Int {
    defer { received = [] }
    return received.count
  }

  /// Receives and drops; 0 at the end of the connection.
  func discard() -> Int {
    let count = receive()
    received.removeAll(keepingCapacity: true)
    return count
  }

  private func receive() -> Int {
    var poll = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
    guard unsafe Glibc.poll(&poll, 1, 10_000) > 0 else { return -1 }
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(socket.number, $0.baseAddress, $0.count, 0) }
    if count > 0 { received.append(contentsOf: buffer[..<count]) }
    return count
  }
}

/// Waits until it is so, at most ten seconds.
func eventually(_ condition: () -> Bool) -> Bool {
  let deadline = Deadline.after(.seconds(10))
  while !deadline.hasPassed {
    if condition() { return true }
    usleep(1000)  // Between two looks at the condition.
  }
  return condition()
}

let mixtureRequest = #"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":"arc_easy"}}"# + "\n"
