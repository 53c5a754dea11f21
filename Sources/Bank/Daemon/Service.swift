import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport

/// A method that the daemon answers.
protocol HandledMethod: RPCMethodDeclaration {
  /// On the RPC server's second thread: what touches the catalogue goes on by ``Service/onCatalogue(_:_:)``.
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError)
}

/// What the daemon answers. Lives on the RPC server's threads: what can be read from the snapshot is answered there, the
/// rest goes to the catalogue's thread with its reply.
///
/// A method's declaration is extended by its handler, in a file in `Methods`.
final class Service: RPCHandler {
  typealias Handler = @Sendable (Service, JSONObject, RPCReply) throws(RPCError) -> Void

  let paths: DaemonPaths
  let configuration: Configuration
  let snapshots: CurrentSnapshot
  let board: StatusBoard
  let catalogue: CatalogueThread
  let scrubber: Scrubber
  let log: Logger
  let templates: DispatchTemplateFile
  let started = MonotonicInstant.now
  private let countersOfServer = Mutex<RPCCounters?>(nil)
  /// Ends the daemon; any thread.
  let shutDown: @Sendable () -> Void

  init(
    paths: DaemonPaths, configuration: Configuration, snapshots: CurrentSnapshot, board: StatusBoard,
    catalogue: CatalogueThread, scrubber: Scrubber, templates: DispatchTemplateFile, log: Logger,
    shutDown: @escaping @Sendable () -> Void
  ) {
    self.paths = paths
    self.configuration = configuration
    self.snapshots = snapshots
    self.board = board
    self.catalogue = catalogue
    self.scrubber = scrubber
    self.templates = templates
    self.log = log
    self.shutDown = shutDown
  }

  /// Of every method of the table that is handled; a test finds one that is not.
  static let handlers: [String: Handler] = {
    var handlers: [String: Handler] = [:]
    for declaration in RPCMethod.declarations {
      guard let handled = declaration as? any HandledMethod.Type else { continue }
      handlers[declaration.name] = handler(handled)
    }
    return handlers
  }()

  private static func handler<Method: HandledMethod>(_ method: Method.Type) -> Handler {
    { (service, params, reply) throws(RPCError) in
      try method.handle(try method.parameters(params), by: service, Reply(request: reply))
    }
  }

  /// Of the server that this service answers; known once there is one.
  var counters: RPCCounters? {
    get { countersOfServer.withLock { $0 } }
    set { countersOfServer.withLock { $0 = newValue } }
  }

  let fastMethods = ["mixture.get"]

  func fastAnswer(_ request: FlatRequest) -> PreparedAnswer? {
    // Opening a file is for the careful way, and so is every error.
    guard request.boolean("pass_fd") != true, let task = request.string("task"),
      let mixture = snapshots.get().answer(task: task, model: request.string("model"))
    else { return nil }
    let isKnown = request.integer("if_generation") == mixture.generation
    return PreparedAnswer(result: (isKnown ? mixture.notModified : mixture.result).bytes)
  }

  func handle(_ request: RPCRequest, _ reply: RPCReply) {
    guard let handler = Self.handlers[request.method.name] else {
      return reply.fail(RPCError(.internal, "'\(request.method.name)' is in the table and has no handler"))
    }
    do throws(RPCError) {
      try handler(self, request.params, reply)
    } catch {
      reply.fail(error)
    }
  }

  func socketWasLost(_ problem: RPCServerError?) {
    let code = "socket"
    if let problem {
      board.raise(
        DaemonWarning(
          code: code, message: "the socket '\(paths.socket)' was removed or replaced: \(problem)",
          help: "nobody can connect; move away what is there, and t2d makes it again"))
    } else {
      board.end(code)
    }
    let path = paths.socket
    catalogue.post { $0.writer.note(problem == nil ? "socket.made_again" : "socket.lost", path, [:]) }
  }

  /// Goes on on the catalogue's thread; what is thrown there is the answer.
  func onCatalogue<Value>(
    _ reply: Reply<Value>, _ body: @escaping @Sendable (Coordinator) throws(RPCError) -> Void
  ) {
    catalogue.post(Self.request(reply, body))
  }

  /// The same, once the files that the watcher has announced so far have been taken.
  func afterFiles<Value>(
    _ reply: Reply<Value>, _ body: @escaping @Sendable (Coordinator) throws(RPCError) -> Void
  ) {
    catalogue.postAfterFiles(Self.request(reply, body))
  }

  private static func request<Value>(
    _ reply: Reply<Value>, _ body: @escaping @Sendable (Coordinator) throws(RPCError) -> Void
  ) -> CatalogueThread.Request {
    CatalogueThread.Request(user: reply.connection.peer.user, connection: reply.connection.token) { coordinator in
      do throws(RPCError) {
        try body(coordinator)
      } catch {
        reply.fail(error)
      }
    } refuse: {
      reply.fail($0)
    }
  }

  /// "uid 1000", for journals.
  static func who<Value>(_ reply: Reply<Value>) -> String { "uid \(reply.connection.peer.user)" }
}

/// Turns the catalogue's errors into answers.
func answering<Value>(_ body: () throws(RegistryError) -> Value) throws(RPCError) -> Value {
  do throws(RegistryError) { return try body() } catch { throw RPCError(error) }
}
