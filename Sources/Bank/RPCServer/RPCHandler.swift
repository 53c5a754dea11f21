package import RPCProtocol
package import SystemSupport

/// What answers requests.
package protocol RPCHandler: Sendable {
  /// The methods that `fastAnswer` may answer. They must be reading ones.
  var fastMethods: [String] { get }

  /// An answer that lies ready, or nil for the careful way. The request has been checked against the table. On the
  /// sockets' thread, where everybody waits meanwhile.
  func fastAnswer(_ request: FlatRequest) -> PreparedAnswer?

  /// Answers through `reply`, now or later, on this thread or another. The request has been checked against the
  /// table, and its sender may call the method. A reply that is dropped unanswered answers `internal`. On the server's
  /// second thread, one request at a time, users in turn: what takes more than a few milliseconds keeps the reply and
  /// answers from a thread of its own.
  func handle(_ request: RPCRequest, _ reply: RPCReply)

  /// The name of the socket led to it no more. Nil: it was made again; else why it cannot be, until it was. On the sockets'
  /// thread.
  func socketWasLost(_ problem: RPCServerError?)
}

extension RPCHandler {
  package var fastMethods: [String] { [] }
  package func fastAnswer(_ request: FlatRequest) -> PreparedAnswer? { nil }
  package func socketWasLost(_ problem: RPCServerError?) {}
}

/// A result as JSON text in one line, serialised when what it says changed and not when somebody asks.
package struct PreparedAnswer: Sendable {
  package let result: [UInt8]
  /// Sent along with SCM_RIGHTS; it stays open here.
  package let descriptor: FileDescriptor?

  package init(result: [UInt8], descriptor: FileDescriptor? = nil) {
    self.result = result
    self.descriptor = descriptor
  }
}

/// Bounds on what clients may cost. The defaults are those of the manual.
package struct RPCLimits: Sendable {
  /// A line without its newline; from peers that may only read, less.
  package var lineBytes = 1 << 20
  package var readerLineBytes = 64 << 10
  package var connections = 256
  package var connectionsPerUser = 64
  /// Of `connections`, kept for peers that may change; as many more than `connectionsPerUser` they may have.
  package var reservedConnections = 8
  /// Requests of one connection without an answer; then its socket is not read until one is answered.
  package var requestsInFlight = 64
  /// Files that one user has passed and that are not closed yet.
  package var filesPerUser = 16
  /// Unsent answers of one connection; then its socket is not read until they are sent.
  package var softOutputBytes = 256 << 10
  /// Unsent bytes at which a connection is closed, and the largest answer.
  package var hardOutputBytes = 4 << 20
  /// How long the lines of one connection are answered before it is the turn of others; of one line, as long as it takes.
  package var turn: Duration = .microseconds(100)
  /// How often it is looked whether the socket's name is still its own.
  package var socketLook: Duration = .seconds(3)
  /// How long a line may take to arrive.
  package var partialLine: Duration = .seconds(30)
  /// How long a peer may take no byte of its answers.
  package var stalledWrite: Duration = .seconds(10)

  package init() {}
}
