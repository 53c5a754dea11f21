import CLinux
package import Digests
import Glibc
import StrictJSON
package import SystemSupport

/// A server of the engine protocol without a model: it answers from a pure function of ids and multipliers, and can be told to
/// misbehave. Written without the client's code, so that a mistake there is not made twice.
///
/// One thread accepts; each connection has one of its own. `stop` ends and joins all of them.
package final class FakeEngine: Sendable {
  package enum Place: Sendable {
    case unix(path: String)
    case loopback(isIPv6: Bool)
  }

  /// What it was asked, for claims about it.
  package struct Request: Sendable, Equatable {
    package var method: String
    package var path: String
    /// Counted from 0 in the order of their acceptance.
    package var connection: Int
  }

  struct Rule: Sendable {
    var path: String
    var after: Int
    var times: Int
    var fault: FakeFault
  }

  struct State: Sendable {
    var model: FakeModel
    var rules: [Rule] = []
    var requests: [Request] = []
    /// Most lately used last.
    var mixtures: [(digest: Digest, multipliers: [Float])] = []
    var connections: [Int: FileDescriptor] = [:]
    var connectionCount = 0
    /// Streams and silences that the other side ended.
    var hangUps = 0
    var isRunning = false
    var acceptor: OwnedThread?
    var threads: [OwnedThread] = []
    var port: UInt16 = 0
  }

  let state: Monitor<State>
  private let place: Place
  private let ending: EventDescriptor

  /// Listens at once.
  package init(_ place: Place, _ model: FakeModel = FakeModel()) throws(SystemCallError) {
    self.place = place
    state = Monitor(State(model: model))
    ending = try EventDescriptor()
    try start()
  }

  deinit { kill() }

  /// As an engine's address is written.
  package var address: String {
    switch place {
    case .unix(let path): "unix:\(path)"
    case .loopback(let isIPv6): "http://\(isIPv6 ? "[::1]" : "127.0.0.1"):\(state.read { $0.port })"
    }
  }

  // MARK: - For tests

  /// The next `times` requests whose path begins so are answered wrongly, after `after` of them that are answered well.
  package func misbehave(_ fault: FakeFault, on path: String, after: Int = 0, times: Int = 1) {
    state.withLock { $0.rules.append(Rule(path: path, after: after, times: times, fault: fault)) }
  }

  package func behave() { state.withLock { $0.rules = [] } }

  package var requests: [Request] { state.read { $0.requests } }
  package func count(_ method: String, _ path: String) -> Int {
    requests.count { $0.method == method && $0.path.hasPrefix(path) }
  }
  package var mixtures: Set<Digest> { state.read { Set($0.mixtures.map(\.digest)) } }

  /// Whether so many clients closed what they had waited for, within the time.
  package func sawHangUps(_ count: Int, within duration: Duration = .seconds(10)) -> Bool {
    state.wait(until: .after(duration)) { $0.hangUps >= count ? true : nil } ?? false
  }

  /// Whether so many requests of a path have come, within the time.
  package func saw(_ count: Int, of path: String, within duration: Duration = .seconds(10)) -> Bool {
    state.wait(until: .after(duration)) { state in
      state.requests.count { $0.path.hasPrefix(path) } >= count ? true : nil
    } ?? false
  }

  /// Ends as a process does that was killed: nobody listens any more, and every connection is closed.
  package func kill() {
    // A descriptor is closed under the same lock, by its thread.
    state.withLock { state in
      state.isRunning = false
      state.mixtures = []
      for connection in state.connections.values { shutdown(connection.number, Int32(SHUT_RDWR)) }
    }
    ending.signal()
    if case .unix(let path) = place { _ = unsafe unlink(path) }
  }

  /// Kills it and waits for its threads.
  package func stop() {
    kill()
    let threads = state.withLock { state in
      defer { (state.acceptor, state.threads) = (nil, []) }
      return (state.acceptor.map { [$0] } ?? []) + state.threads
    }
    for thread in threads { thread.join() }
  }

  /// A new process under the same address, of another model perhaps. Only after `stop`, or at a port of its own.
  package func restart(_ model: FakeModel? = nil) throws(SystemCallError) {
    stop()
    ending.drain()
    if let model { state.withLock { $0.model = model } }
    try start()
  }

  // MARK: - Threads

  private func start() throws(SystemCallError) {
    let listener: FileDescriptor
    switch place {
    case .unix(let path):
      listener = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(1) })
      try systemCall("bind", path) { unsafe t2_unix_bind(listener.number, path) }
    case .loopback(let isIPv6):
      let family: Int32 = isIPv6 ? 1 : 0
      listener = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_loopback_socket(family) })
      let port = state.read { $0.port }
      try systemCall("bind") { t2_loopback_bind(listener.number, family, port) }
    }
    try systemCall("listen") { listen(listener.number, 64) }
    let port = t2_bound_port(listener.number)
    state.withLock { state in
      state.isRunning = true
      if case .loopback = place { state.port = UInt16(port) }
    }
    let acceptor = try OwnedThread(name: "fake engine", stackBytes: 1 << 20) { [weak self, state, ending] in
      while state.read({ $0.isRunning }) {
        var polled = [
          pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0),
          pollfd(fd: ending.descriptor.number, events: Int16(POLLIN), revents: 0),
        ]
        _ = unsafe poll(&polled, 2, -1)
        guard state.read({ $0.isRunning }) else { return }
        let number = t2_accept(listener.number)
        if number >= 0 { self?.serve(FileDescriptor(takingOwnershipOf: number)) }
      }
    }
    state.withLock { $0.acceptor = acceptor }
  }

  private func serve(_ socket: FileDescriptor) {
    let number: Int? = state.withLock { state in
      guard state.isRunning else { return nil }
      defer { state.connectionCount += 1 }
      state.connections[state.connectionCount] = socket
      return state.connectionCount
    }
    guard let number else { return }
    let thread = try? OwnedThread(name: "fake engine \(number)", stackBytes: 1 << 20) { [weak self, state] in
      try? socket.setNonBlocking(false)
      self?.talk(socket, number)
      state.withLock { state in
        state.connections[number] = nil
        try? socket.close()
      }
    }
    state.withLock { state in
      if let thread { state.threads.append(thread) } else { state.connections[number] = nil }
    }
  }

  private func talk(_ socket: FileDescriptor, _ number: Int) {
    var input: [UInt8] = []
    while let request = read(socket, &input) {
      let fault: FakeFault? = state.withLock { state in
        guard state.isRunning else { return .closesBeforeAnswer }
        state.requests.append(Request(method: request.method, path: request.path, connection: number))
        return Self.takeFault(&state.rules, request.path)
      }
      guard perform(request, fault, socket) else { return }
    }
  }

  private static func takeFault(_ rules: inout [Rule], _ path: String) -> FakeFault? {
    for index in rules.indices where path.hasPrefix(rules[index].path) {
      if rules[index].after > 0 {
        rules[index].after -= 1
        continue
      }
      guard rules[index].times > 0 else { continue }
      rules[index].times -= 1
      return rules[index].fault
    }
    return nil
  }

  // MARK: - HTTP

  struct Received {
    var method: String
    var path: String
    var body: [UInt8]
  }

  /// The next request; nil where the other side closed.
  private func read(_ socket: FileDescriptor, _ input: inout [UInt8]) -> Received? {
    let end = Array("\r\n\r\n".utf8)
    var headEnd: Int?
    while headEnd == nil {
      headEnd = input.indices.first { input[$0...].starts(with: end) }
      if headEnd == nil { guard receive(socket, &input) else { return nil } }
    }
    guard let headEnd else { return nil }
    let lines = String(decoding: input[..<headEnd], as: UTF8.self).split(separator: "\r\n")
    let words = lines[0].split(separator: " ").map(String.init)
    let length =
      lines.first { $0.lowercased().hasPrefix("content-length:") }
      .flatMap { Int($0.split(separator: ":")[1].drop { $0 == " " }) } ?? 0
    let total = headEnd + 4 + length
    while input.count < total { guard receive(socket, &input) else { return nil } }
    defer { input.removeFirst(total) }
    return Received(method: words[0], path: words[1], body: Array(input[(headEnd + 4)..<total]))
  }

  private func receive(_ socket: FileDescriptor, _ input: inout [UInt8]) -> Bool {
    guard let (bytes, _) = try? socket.receive(upTo: 64 << 10), !bytes.isEmpty else { return false }
    input += bytes
    return true
  }

  /// False where the connection is at its end.
  private func send(_ bytes: [UInt8], _ socket: FileDescriptor) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      guard let count = try? socket.send(Array(rest)), count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }

  private func waitForHangUp(_ socket: FileDescriptor) {
    var rest: [UInt8] = []
    while receive(socket, &rest) {}
    state.withLock { $0.hangUps += 1 }
  }

  private func perform(_ request: Received, _ fault: FakeFault?, _ socket: FileDescriptor) -> Bool {
    var answersForBase = false
    var otherReadBack = false
    switch fault {
    case .error(let status, let code, let message, let progress):
      var error: JSONObject = ["code": .string(code), "message": .string(message)]
      if let progress { error["progress"] = .number(progress) }
      return send(FakeAnswer.json(status, ["error": .object(error)]).wire, socket)
    case .forgetsMixtures: state.withLock { $0.mixtures = [] }
    case .closesBeforeAnswer: return false
    case .silence:
      waitForHangUp(socket)
      return false
    case .raw(let bytes):
      _ = send(bytes, socket)
      return false
    case .endlessHead:
      guard send(Array("HTTP/1.1 200 OK\r\n".utf8), socket) else { return false }
      while send(Array("X-Word: and another one\r\n".utf8), socket) {}
      return false
    case .body(let count):
      _ = send(FakeAnswer(type: "application/json", body: [UInt8](repeating: 0x20, count: count)).wire, socket)
      return false
    case .dies:
      kill()
      return false
    case .answersForBase: answersForBase = true
    case .otherReadBack: otherReadBack = true
    case .cutInBody, .closesAfterAnswer, .saysItCloses, .wrongLength, .noLastLine, .stallsAfter, nil: break
    }
    let answer = answer(request, forBase: answersForBase, otherReadBack: otherReadBack)
    switch fault {
    case .cutInBody:
      _ = send(Array(answer.wire.dropLast(answer.tail)), socket)
      return false
    case .closesAfterAnswer:
      _ = send(answer.wire, socket)
      return false
    case .saysItCloses:
      var last = answer
      last.closes = true
      _ = send(last.wire, socket)
      return false
    case .wrongLength(let difference):
      // What comes too much is beyond the answer, what is missing never comes.
      _ = send(answer.wire(lengthOffBy: difference), socket)
      if difference > 0 { return false }
      waitForHangUp(socket)
      return false
    case .noLastLine:
      return send(answer.without(last: 1).wire, socket)
    case .stallsAfter(let tokens):
      _ = send(answer.begin(lines: 1 + tokens), socket)
      waitForHangUp(socket)
      return false
    default:
      return send(answer.wire, socket)
    }
  }
}
