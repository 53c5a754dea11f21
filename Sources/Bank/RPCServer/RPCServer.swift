package import CLinux
import RPCProtocol
import struct Synchronization.Atomic
package import SystemSupport

/// The daemon's socket: JSON-RPC 2.0, one object a line, for any number of clients on two threads.
///
/// `init` claims the path and listens, `start` begins to answer, `stop` refuses new requests, lets those in flight end,
/// closes everything and removes the path. The first thread owns every connection and sends what the ``RPCHandler`` has
/// lying ready; other threads reach connections only through ``Outbox``. All other requests go to the handler on the second
/// one, ``RequestThread``. On both, users are served in turn.
package final class RPCServer: Sendable {
  package let path: String
  private let setup: Setup
  private let thread = Mutex<OwnedThread?>(nil)

  struct Setup: Sendable {
    let path: String
    let listening: ListeningSocket
    let limits: RPCLimits
    let authority: RPCAuthority
    let handler: any RPCHandler
    let requests: RequestThread
    let files: PassedFiles
    let logger: Logger
    let outbox: Outbox
    let counters: RPCCounters
  }

  package init(
    path: String, mode: mode_t = 0o660, limits: RPCLimits = RPCLimits(), authority: RPCAuthority = RPCAuthority(),
    logger: Logger = .silent, handler: any RPCHandler
  ) throws(RPCServerError) {
    self.path = path
    let listening = try ListeningSocket(path: path, mode: mode, backlog: 128)
    do throws(SystemCallError) {
      let counters = RPCCounters()
      setup = Setup(
        path: path, listening: listening, limits: limits, authority: authority, handler: handler,
        requests: try RequestThread(handler, logger, counters), files: PassedFiles(limit: limits.filesPerUser),
        logger: logger, outbox: try Outbox(), counters: counters)
    } catch {
      listening.unlinkIfOurs()
      throw .system(error)
    }
  }

  deinit { stop(within: .zero) }

  package var counters: RPCCounters { setup.counters }

  /// Begins to answer. Once only.
  package func start() throws(RPCServerError) {
    do throws(SystemCallError) {
      let setup = setup
      let epoll = try Epoll()
      try setup.requests.start()
      let started = try OwnedThread(name: "t2d-rpc", stackBytes: 1 << 20) {
        OwnedThread.setSlice(.short)
        let loop = ServerLoop(setup, epoll: epoll)
        loop.run()
      }
      thread.withLock { thread in
        precondition(thread == nil, "the server at '\(path)' was started twice")
        thread = started
      }
    } catch {
      throw .system(error)
    }
  }

  /// Ends the server; what is in flight may end within that time. Not from the server's own thread.
  package func stop(within grace: Duration = .seconds(1)) {
    let running = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    if let running {
      setup.outbox.put(.stop(.after(grace)))
      running.join()
    } else {
      setup.listening.unlinkIfOurs()
    }
    setup.requests.stop()
  }
}

/// What the server has done so far; read from any thread.
package final class RPCCounters: Sendable {
  private let openConnections = Atomic<Int>(0)
  private let allRequests = Atomic<Int>(0)
  private let fastRequests = Atomic<Int>(0)
  private let refusedConnections = Atomic<Int>(0)

  package var connections: Int { openConnections.load(ordering: .relaxed) }
  package var requests: Int { allRequests.load(ordering: .relaxed) + fast }
  /// Requests that were answered on the hot path.
  package var fast: Int { fastRequests.load(ordering: .relaxed) }
  package var refused: Int { refusedConnections.load(ordering: .relaxed) }

  func opened() { openConnections.add(1, ordering: .relaxed) }
  func closed() { openConnections.subtract(1, ordering: .relaxed) }
  func answeredFast() { fastRequests.add(1, ordering: .relaxed) }
  func handled() { allRequests.add(1, ordering: .relaxed) }
  func refusedOne() { refusedConnections.add(1, ordering: .relaxed) }
}
