import RPCProtocol
import SystemSupport

/// The thread on which lines become requests and the handler is given them, users in turn.
///
/// To read a line of JSON, to look things up and to write an answer takes as long as the line or the bank is large. On the
/// sockets' thread a flood of such lines would hold up those whose answers lie ready.
final class RequestThread: Sendable {
  struct Item: Sendable {
    var line: [UInt8]
    var connection: RPCConnection
    var file: PassedFile?
    /// Whether the daemon was ending when the line came.
    var isLate: Bool
  }

  private let handler: any RPCHandler
  private let logger: Logger
  private let counters: RPCCounters
  private let mailbox: Mailbox<Item>
  private let thread = Mutex<OwnedThread?>(nil)

  init(_ handler: any RPCHandler, _ logger: Logger, _ counters: RPCCounters) throws(SystemCallError) {
    self.handler = handler
    self.logger = logger
    self.counters = counters
    mailbox = try Mailbox()
  }

  func start() throws(SystemCallError) {
    let started = try OwnedThread(name: "t2d-requests") { self.run() }
    thread.withLock { $0 = started }
  }

  /// Any thread. Each line is answered by one `Outgoing` that ends a request.
  func put(_ item: Item) { mailbox.put(item) }

  /// Drops what waits, and waits for what runs.
  func stop() {
    mailbox.close()
    thread.withLock { $0 }?.join()
  }

  private func run() {
    OwnedThread.setSlice(.long)
    var waiting = FairQueue<Item>()
    var came: [Item] = []
    while mailbox.takeAll(into: &came) {
      for item in came { waiting.put(item, user: item.connection.peer.user, connection: item.connection.token) }
      came.removeAll(keepingCapacity: true)
      if let item = waiting.next() { handle(item) } else { mailbox.wait() }
    }
  }

  private func handle(_ item: Item) {
    let connection = item.connection
    // What stands behind a line that was no JSON is no line.
    guard connection.isConnected, !connection.isBroken else { return connection.end([], passed: item.file != nil) }
    let request: RPCRequest
    do throws(RPCRefusal) {
      request = try unsafe item.line.span.withUnsafeBytes { bytes throws(RPCRefusal) in
        try unsafe RPCRequest.parse(bytes) { (method) throws(RPCError) in try admit(item, to: method) }
      }
    } catch {
      if error.closes { connection.isBroken = true }
      let answer =
        error.isNotification ? [] : RPCAnswer.failure(idBytes: error.id.json.serialized(), error: error.error)
      return connection.end(answer, closes: error.closes, passed: item.file != nil)
    }
    counters.handled()
    handler.handle(
      request,
      RPCReply(
        connection: connection, idBytes: request.id.map { $0.json.serialized() },
        file: request.method.takesFile ? item.file : nil, passed: item.file != nil))
  }

  /// Whether the peer may call the method now; what its parameters say does not matter.
  private func admit(_ item: Item, to method: RPCMethod) throws(RPCError) {
    if item.isLate { throw RPCError(.shuttingDown, "the daemon is ending", hint: "try again when it has started") }
    guard method.access == .change, !item.connection.mayChange else { return }
    let peer = item.connection.peer
    logger.notice("refused: \(method.name)", ["user": peer.user, "pid": peer.process])
    throw RPCError(
      .permission, "\(method.name) changes things, and user \(peer.user) may only read",
      hint: "run it as root, as the daemon's user, or as a member of its admin group")
  }
}
