package import RPCProtocol
package import StrictJSON
import struct Synchronization.Atomic
package import SystemSupport

/// The one answer to one request, from any thread. Whoever drops it unanswered has answered `internal`.
package final class RPCReply: Sendable {
  /// The connection, for notifications that outlive the answer.
  package let connection: RPCConnection
  /// Nil for a notification: nothing is sent then.
  private let idBytes: [UInt8]?
  /// What the client has passed along, for a method that takes a file.
  package let file: PassedFile?
  private let passed: Bool
  private let isAnswered = Atomic<Bool>(false)

  init(connection: RPCConnection, idBytes: [UInt8]?, file: PassedFile?, passed: Bool) {
    self.connection = connection
    self.idBytes = idBytes
    self.file = file
    self.passed = passed
  }

  deinit {
    if !isAnswered.load(ordering: .acquiring) {
      send { RPCAnswer.failure(idBytes: $0, error: RPCError(.internal, "the daemon dropped the request unanswered")) }
    }
  }

  package var peer: PeerCredentials { connection.peer }
  package var isConnected: Bool { connection.isConnected }

  package func succeed(_ result: JSONValue) { succeed(raw: result.serialized()) }

  /// `raw` is JSON text without a newline. The descriptor goes along and stays open here.
  package func succeed(raw: [UInt8], descriptor: FileDescriptor? = nil) {
    guard raw.count <= connection.maximumAnswer else {
      return fail(
        RPCError(
          .tooLarge, "the answer has \(raw.count) bytes, and at most \(connection.maximumAnswer) are sent",
          hint: "ask for less, with 'limit' where the method has it"))
    }
    send(descriptor) { RPCAnswer.success(idBytes: $0, result: raw) }
  }

  package func fail(_ error: RPCError) {
    send { RPCAnswer.failure(idBytes: $0, error: error) }
  }

  /// A notification on the same connection.
  package func notify(method: String, params: JSONObject) { connection.notify(method: method, params: params) }

  /// A piece of the answer, before the answer; nothing for a request without an id, whom it could not be matched to.
  /// A client that does not read is disconnected when its buffer is full, like a follower of events.
  package func part(_ number: Int, _ members: JSONObject) {
    guard let idBytes, !isAnswered.load(ordering: .acquiring) else { return }
    connection.notify(line: RPCAnswer.part(idBytes: idBytes, number: number, members: members))
  }

  private func send(_ descriptor: FileDescriptor? = nil, _ line: (_ idBytes: [UInt8]) -> [UInt8]) {
    guard !isAnswered.exchange(true, ordering: .acquiringAndReleasing) else { return }
    connection.end(idBytes.map(line) ?? [], descriptor: idBytes == nil ? nil : descriptor, passed: passed)
  }
}

/// What other threads see of a connection.
package final class RPCConnection: Sendable {
  package let peer: PeerCredentials
  package let mayChange: Bool
  /// Names the connection as long as the server runs.
  package let token: UInt64
  let maximumAnswer: Int
  private let outbox: Outbox
  private let state = Mutex(State())

  private struct State {
    var isConnected = true
    var observers: [Int: @Sendable () -> Void] = [:]
    var nextObserver = 0
    var isBroken = false
  }

  init(peer: PeerCredentials, mayChange: Bool, token: UInt64, maximumAnswer: Int, outbox: Outbox) {
    self.peer = peer
    self.mayChange = mayChange
    self.token = token
    self.maximumAnswer = maximumAnswer
    self.outbox = outbox
  }

  package var isConnected: Bool { state.withLock { $0.isConnected } }

  /// Whether a line came that was no JSON, after which nobody knows where the next one begins.
  var isBroken: Bool {
    get { state.withLock { $0.isBroken } }
    set { state.withLock { $0.isBroken = newValue } }
  }

  /// Sends a notification. To a peer that does not read, until its buffer is full; then it is disconnected.
  package func notify(method: String, params: JSONObject) {
    notify(line: RPCAnswer.notification(method: method, params: params))
  }

  /// The same with the line made once for many subscribers; it ends with its newline.
  package func notify(line: [UInt8]) {
    guard isConnected else { return }
    outbox.put(.line(Outgoing.Line(connection: token, bytes: line, descriptor: nil)))
  }

  /// Calls `body` when the connection has ended: on the server's thread, or at once where it has ended already. What is
  /// returned is for `forget`: a connection may live for a million requests.
  @discardableResult
  package func onDisconnect(_ body: @escaping @Sendable () -> Void) -> Int? {
    let number = state.withLock { state -> Int? in
      guard state.isConnected else { return nil }
      state.observers[state.nextObserver] = body
      state.nextObserver += 1
      return state.nextObserver - 1
    }
    if number == nil { body() }
    return number
  }

  /// The body is not called any more.
  package func forget(_ observer: Int?) {
    guard let observer else { return }
    state.withLock { $0.observers[observer] = nil }
  }

  /// Ends a request with its answer, or with no bytes.
  func end(_ line: [UInt8], descriptor: FileDescriptor? = nil, closes: Bool = false, passed: Bool) {
    outbox.put(
      .line(
        Outgoing.Line(
          connection: token, bytes: line, descriptor: descriptor, isAnswer: true, passed: passed, closes: closes)))
  }

  func ended() {
    let observers = state.withLock { state in
      state.isConnected = false
      defer { state.observers = [:] }
      return state.observers.sorted { $0.key < $1.key }.map(\.value)
    }
    for observer in observers { observer() }
  }
}
