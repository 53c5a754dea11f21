import CLinux
import Glibc
import RPCProtocol
import SystemSupport

/// The server's thread: it waits for readiness, reads, answers, and closes whoever breaks a limit.
///
/// Everything here belongs to that thread. A connection is named by a token of its slot and a generation that grows
/// with each use of the slot, so that an answer for a connection that has ended finds nobody.
final class ServerLoop {
  let setup: RPCServer.Setup
  let epoll: Epoll
  private var slots: [ServerConnection?] = []
  private var freeSlots: [Int] = []
  private var generation: UInt64 = 0
  private var users: [UInt32: UserShare] = [:]
  /// Connections with lines that may be answered.
  private var turns = FairTurns<ServerConnection>()
  /// When the lines of others are to be looked for again.
  private(set) var turnsEnd = MonotonicInstant.now
  private var privileged = 0
  /// Given up for a moment when no descriptor is left, so that a client can be told so.
  private var spare: FileDescriptor?
  private var listensAgain: MonotonicInstant?
  private var listening: ListeningSocket
  /// When the socket's name is to be looked at.
  private var nextLook: MonotonicInstant
  /// Why the socket could not be made again, as it was said last.
  private var socketProblem: RPCServerError?
  private var nextSweep: MonotonicInstant?
  private var outgoing: [Outgoing] = []
  /// So many of `outgoing` are where they belong.
  private var delivered = 0
  private(set) var stopDeadline: Deadline?
  let fastMethods: [RPCMethod]
  var now = MonotonicInstant.now

  private static let listener: UInt64 = 0
  private static let outbox: UInt64 = 1
  private static let firstSlot: UInt64 = 2
  private static let broken = Epoll.Events.hangup.rawValue | Epoll.Events.error.rawValue

  init(_ setup: RPCServer.Setup, epoll: Epoll) {
    self.setup = setup
    self.epoll = epoll
    listening = setup.listening
    nextLook = .now + setup.limits.socketLook
    fastMethods = setup.handler.fastMethods.compactMap { name in
      let method = RPCMethod.named(name)
      precondition(method?.access == .read, "'\(name)' is not a reading method, so it is not answered fast")
      return method
    }
    spare = try? FileDescriptor.open("/dev/null", O_RDONLY)
  }

  func run() {
    do throws(SystemCallError) {
      try epoll.add(listening.descriptor, .read, token: Self.listener)
      try epoll.add(setup.outbox.descriptor, .read, token: Self.outbox)
      while !isFinished {
        try epoll.wait(milliseconds: hasWork ? 0 : waitMilliseconds) { token, events in
          switch token {
          case Self.listener: accept()
          case Self.outbox: break
          default: connectionIsReady(token, events)
          }
        }
        now = .now
        takeTurns()
        deliver()
        sweepIfDue()
        lookAtSocketIfDue()
      }
    } catch {
      setup.logger.error("the socket's thread ends: \(error)")
    }
    listening.unlinkIfOurs()
    for case let connection? in slots { close(connection) }
  }

  // MARK: - Time

  private var isFinished: Bool {
    guard let stopDeadline else { return false }
    if stopDeadline.hasPassed { return true }
    return delivered == outgoing.count && slots.allSatisfy { $0 == nil || ($0?.inFlight == 0 && $0?.output.count == 0) }
  }

  /// Whether something can be done before anything further comes.
  private var hasWork: Bool { !turns.isEmpty || delivered < outgoing.count }

  private var waitMilliseconds: Int32 {
    if stopDeadline != nil { return 10 }
    let next = min(nextLook, nextSweep ?? nextLook, listensAgain ?? nextLook)
    let nanoseconds = max(0, (next - .now).inNanoseconds)
    return Int32(clamping: nanoseconds / 1_000_000 + 1)
  }

  /// Looks for connections that have been slow for too long, while there are slow ones at all.
  private func sweepIfDue() {
    if let again = listensAgain, now >= again {
      listensAgain = nil
      try? epoll.change(listening.descriptor, .read, token: Self.listener)
    }
    guard let due = nextSweep, now >= due else { return }
    nextSweep = nil
    for case let connection? in slots {
      if connection.partialSince != nil, !connection.interest.contains(.read) {
        // It is we who do not read: the peer is not to blame for that time.
        connection.partialSince = now
        planSweep()
      } else if let since = connection.partialSince, now - since > setup.limits.partialLine {
        refuse(
          connection,
          RPCRefusal(
            RPCError(.timeout, "the line has not ended after \(setup.limits.partialLine)"), closes: true))
        settle(connection)
      } else if let since = connection.stalledSince, now - since > setup.limits.stalledWrite {
        drop(connection, "took none of its answers for \(setup.limits.stalledWrite)")
      } else if connection.stalledSince != nil {
        settle(connection)
      } else if connection.partialSince != nil {
        planSweep()
      }
    }
  }

  /// Makes the socket again whose name was removed, or leads elsewhere: nobody could connect any more, for ever.
  private func lookAtSocketIfDue() {
    guard stopDeadline == nil, now >= nextLook else { return }
    nextLook = now + setup.limits.socketLook
    if listening.isThere { return }
    do throws(RPCServerError) {
      let new = try listening.again()
      do throws(SystemCallError) {
        try epoll.add(new.descriptor, .read, token: Self.listener)
      } catch {
        new.unlinkIfOurs()
        throw .system(error)
      }
      try? epoll.remove(listening.descriptor)
      listening = new
      listensAgain = nil
      socketProblem = nil
      setup.logger.warning("the socket was removed or replaced, and was made again", ["socket": setup.path])
      setup.handler.socketWasLost(nil)
    } catch {
      if error == socketProblem { return }
      socketProblem = error
      setup.logger.error("the socket was removed or replaced, and cannot be made again", ["error": error])
      setup.handler.socketWasLost(error)
    }
  }

  private func planSweep() {
    guard nextSweep == nil else { return }
    let shortest = min(setup.limits.partialLine, setup.limits.stalledWrite)
    nextSweep = now + min(shortest / 4, .seconds(1))
  }

  // MARK: - Connections

  private func accept() {
    // A storm of connections must not keep those who are connected from their answers.
    for _ in 0..<16 {
      let number = t2_accept(listening.descriptor.number)
      if number >= 0 {
        admit(FileDescriptor(takingOwnershipOf: number))
        continue
      }
      switch errno {
      case EINTR, ECONNABORTED: continue
      case EMFILE, ENFILE, ENOMEM, ENOBUFS:
        setup.logger.warning("no descriptor is left for a new connection; raise LimitNOFILE")
        refuseForLackOfDescriptors()
        return
      default: return
      }
    }
  }

  private func refuseForLackOfDescriptors() {
    spare = nil
    let number = t2_accept(listening.descriptor.number)
    if number >= 0 {
      turnAway(
        FileDescriptor(takingOwnershipOf: number), RPCError(.overloaded, "the daemon has no descriptor left; try again")
      )
    }
    spare = try? FileDescriptor.open("/dev/null", O_RDONLY)
    // Level-triggered readiness would spin until a descriptor is free.
    try? epoll.change(listening.descriptor, [], token: Self.listener)
    listensAgain = now + .milliseconds(100)
  }

  private func turnAway(_ socket: FileDescriptor, _ error: RPCError) {
    setup.counters.refusedOne()
    let line = RPCAnswer.failure(idBytes: Array("null".utf8), error: error)
    _ = unsafe line.withUnsafeBytes {
      unsafe send(socket.number, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
    }
  }

  private func admit(_ socket: FileDescriptor) {
    guard let peer = try? socket.peerCredentials() else { return }
    let limits = setup.limits
    let mayChange = setup.authority.mayChange(peer)
    let reserve = mayChange ? limits.reservedConnections : 0
    let open = slots.count - freeSlots.count
    if open >= limits.connections - limits.reservedConnections + reserve {
      return turnAway(
        socket, RPCError(.limit, "\(open) clients are connected, which is all that may be; try again later"))
    }
    let user = users[peer.user] ?? UserShare()
    let ofUser = user.connections
    if ofUser >= limits.connectionsPerUser + reserve {
      return turnAway(
        socket,
        RPCError(
          .limit, "user \(peer.user) has \(ofUser) connections, and one user may have no more",
          hint: "close some, or use one connection for many requests"))
    }

    let slot = freeSlots.popLast() ?? slots.count
    generation += 1
    let token = generation << 20 | (UInt64(slot) + Self.firstSlot)
    let connection = ServerConnection(
      socket: socket,
      shared: RPCConnection(
        peer: peer, mayChange: mayChange, token: token, maximumAnswer: limits.hardOutputBytes, outbox: setup.outbox),
      user: user)
    do throws(SystemCallError) {
      try epoll.add(socket, .read, token: token)
    } catch {
      setup.logger.warning("a connection is refused: \(error)")
      if slot < slots.count { freeSlots.append(slot) }
      return turnAway(socket, RPCError(.overloaded, "the daemon cannot watch another connection; try again"))
    }
    if slot == slots.count { slots.append(connection) } else { slots[slot] = connection }
    user.connections += 1
    users[peer.user] = user
    setup.counters.opened()
  }

  private func connection(_ token: UInt64) -> ServerConnection? {
    let slot = Int(token & 0xfffff) - Int(Self.firstSlot)
    guard slots.indices.contains(slot), let connection = slots[slot], connection.shared.token == token else {
      return nil
    }
    return connection
  }

  private func isOpen(_ connection: ServerConnection) -> Bool { connection.socket.isOpen }

  private func connectionIsReady(_ token: UInt64, _ events: Epoll.Events) {
    guard let connection = connection(token) else { return }
    // Sets are compared by their bits here: a literal such as [.read, .write] costs an allocation each time.
    if events.contains(.read), !connection.isHalfClosed, !connection.isClosing, !connection.isInLine {
      read(connection)
    } else if events.contains(.write) {
      now = .now
      settle(connection)
    }
    if events.rawValue & Self.broken != 0, isOpen(connection) {
      // Both directions are shut, so no answer would arrive.
      if !events.contains(.read) || connection.isHalfClosed { close(connection) }
    }
  }

  func drop(_ connection: ServerConnection, _ why: String) {
    setup.logger.info("a client is disconnected: it \(why)", ["pid": connection.shared.peer.process])
    close(connection)
  }

  func close(_ connection: ServerConnection) {
    guard isOpen(connection) else { return }
    let token = connection.shared.token
    let slot = Int(token & 0xfffff) - Int(Self.firstSlot)
    try? epoll.remove(connection.socket)
    slots[slot] = nil
    freeSlots.append(slot)
    connection.user.connections -= 1
    if connection.user.connections == 0 { users[connection.shared.peer.user] = nil }
    try? connection.socket.close()
    setup.counters.closed()
    connection.shared.ended()
  }

  // MARK: - Reading

  private func read(_ connection: ServerConnection) {
    let capacity = connection.input.capacity
    // A reader that fills the buffer gets a larger one, up to 64 KiB at a time.
    let room = connection.input.count > 0 || capacity > 4096 ? min(max(capacity, 4096), 65_536) : 4096
    let space = unsafe connection.input.space(room)
    var number: Int32 = -1
    let count: Int
    if setup.files.mayPass(connection.shared.peer.user) {
      count = unsafe t2_receive_descriptor(
        connection.socket.number, space.baseAddress, space.count, &number, Int32(MSG_DONTWAIT))
    } else {
      // A plain recv: the kernel drops descriptors that a peer sends along.
      count = unsafe recv(connection.socket.number, space.baseAddress, space.count, Int32(MSG_DONTWAIT))
    }
    if number >= 0 {
      let file = setup.files.receive(number, of: connection.shared.peer.user)
      // What is received ends with the message that carried it (man 7 unix). One a line: the first.
      if connection.passed == nil {
        connection.passed = (file, connection.taken + connection.input.count + count - 1)
      }
    }
    if count < 0 {
      if errno != EAGAIN, errno != EINTR { close(connection) }
      return
    }
    if count == 0 {
      connection.isHalfClosed = true
    } else {
      connection.input.commit(count)
      if count == space.count, connection.input.capacity < 65_536 { _ = unsafe connection.input.space(2 * space.count) }
    }
    connection.holdsLines = true
    lineUp(connection)
  }

  // MARK: - Turns

  /// Answers lines of those whose turn it is until the time for that has passed; who has more is in line again.
  private func takeTurns() {
    turnsEnd = now + setup.limits.turn
    while let connection = turns.next() {
      connection.isInLine = false
      guard isOpen(connection) else { continue }
      answerLines(of: connection)
      if connection.isHalfClosed, !connection.holdsLines, !connection.isClosing, connection.input.count > 0 {
        refuse(connection, RPCRefusal(RPCError(.parseError, "the connection ended within a line"), closes: true))
      }
      settle(connection)
      now = .now
      if now >= turnsEnd { return }
    }
  }

  /// Whether the limits let another request of it begin.
  func mayBegin(_ connection: ServerConnection) -> Bool {
    connection.inFlight < setup.limits.requestsInFlight && connection.output.count < setup.limits.softOutputBytes
      && !connection.hasFileInFlight
  }

  private func lineUp(_ connection: ServerConnection) {
    guard connection.holdsLines, !connection.isInLine, !connection.isClosing, mayBegin(connection) else { return }
    connection.isInLine = true
    turns.put(connection, of: connection.user.turns)
  }

  /// Sends what there is to send, and lines the connection up where more of its lines may be answered then.
  func settle(_ connection: ServerConnection) {
    guard isOpen(connection) else { return }
    if connection.flush(now: now) == .broken { return close(connection) }
    lineUp(connection)
    update(connection)
  }

  /// Brings timers and interest in line with the state, and closes what has come to its end.
  private func update(_ connection: ServerConnection) {
    guard isOpen(connection) else { return }
    if connection.output.count == 0 {
      let isDone = connection.isHalfClosed && connection.inFlight == 0 && !connection.holdsLines
      if connection.isClosing || isDone { return close(connection) }
      connection.output.shrink(to: 64 << 10)
    }
    connection.input.shrink(to: 64 << 10)
    if connection.partialSince != nil || connection.stalledSince != nil { planSweep() }
    var wanted = Epoll.Events(rawValue: connection.output.count > 0 ? Epoll.Events.write.rawValue : 0)
    if !connection.isHalfClosed, !connection.isClosing, !connection.holdsLines, mayBegin(connection) {
      wanted = Epoll.Events(rawValue: wanted.rawValue | Epoll.Events.read.rawValue)
    }
    if wanted != connection.interest {
      connection.interest = wanted
      try? epoll.change(connection.socket, wanted, token: connection.shared.token)
    }
  }

  // MARK: - Answers from elsewhere

  /// Takes what other threads have put there until the time of a turn has passed: who answers fast must not keep us from
  /// those who ask.
  private func deliver() {
    if delivered == outgoing.count {
      outgoing.removeAll(keepingCapacity: true)
      delivered = 0
      _ = setup.outbox.takeAll(into: &outgoing)
    }
    guard !outgoing.isEmpty else { return }
    let end = now + setup.limits.turn
    // Answers of one connection that follow each other are sent together.
    var last: ServerConnection?
    repeat {
      switch outgoing[delivered] {
      case .stop(let deadline): stopListening(until: deadline)
      case .line(let line):
        let connection = connection(line.connection)
        if let last, last !== connection || last.output.count >= setup.limits.softOutputBytes { settle(last) }
        last = connection
        if let connection { append(line, to: connection) }
      }
      delivered += 1
      now = .now
    } while delivered < outgoing.count && now < end
    if let last { settle(last) }
  }

  private func stopListening(until deadline: Deadline) {
    guard stopDeadline == nil else { return }
    stopDeadline = deadline
    listening.unlinkIfOurs()
    try? epoll.remove(listening.descriptor)
    listensAgain = nil
  }

  /// Puts a line behind what its connection has to send, unless nothing is sent to it any more.
  private func append(_ line: Outgoing.Line, to connection: ServerConnection) {
    guard isOpen(connection) else { return }
    if line.isAnswer { connection.inFlight -= 1 }
    if line.passed { connection.hasFileInFlight = false }
    if connection.isClosing { return }
    if line.closes { endReading(connection) }
    guard connection.output.count + line.bytes.count <= setup.limits.hardOutputBytes + 1024 else {
      return drop(connection, "has \(connection.output.count) bytes of answers waiting and does not read them")
    }
    if let descriptor = line.descriptor { connection.attach(descriptor) }
    connection.output.append(line.bytes)
  }
}
