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
  private var users: [UInt32: Int] = [:]
  private var privileged = 0
  /// Given up for a moment when no descriptor is left, so that a client can be told so.
  private var spare: FileDescriptor?
  private var listensAgain: MonotonicInstant?
  private var nextSweep: MonotonicInstant?
  private var outgoing: [Outgoing] = []
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
    fastMethods = setup.handler.fastMethods.compactMap { name in
      let method = RPCMethod.named(name)
      precondition(method?.access == .read, "'\(name)' is not a reading method, so it is not answered fast")
      return method
    }
    spare = try? FileDescriptor.open("/dev/null", O_RDONLY)
  }

  func run() {
    do throws(SystemCallError) {
      try epoll.add(setup.listening.descriptor, .read, token: Self.listener)
      try epoll.add(setup.outbox.descriptor, .read, token: Self.outbox)
      while !isFinished {
        try epoll.wait(milliseconds: waitMilliseconds) { token, events in
          switch token {
          case Self.listener: accept()
          case Self.outbox: break
          default: connectionIsReady(token, events)
          }
        }
        now = .now
        deliver()
        sweepIfDue()
      }
    } catch {
      setup.logger.error("the socket's thread ends: \(error)")
    }
    setup.listening.unlinkIfOurs()
    for case let connection? in slots { close(connection) }
    deliver()
  }

  // MARK: - Time

  private var isFinished: Bool {
    guard let stopDeadline else { return false }
    if stopDeadline.hasPassed { return true }
    return slots.allSatisfy { $0 == nil || ($0?.inFlight == 0 && $0?.output.count == 0) }
  }

  private var waitMilliseconds: Int32 {
    if stopDeadline != nil { return 10 }
    let next: MonotonicInstant
    switch (nextSweep, listensAgain) {
    case (let sweep?, let listens?): next = min(sweep, listens)
    case (let only?, nil), (nil, let only?): next = only
    case (nil, nil): return -1
    }
    let nanoseconds = max(0, (next - .now).inNanoseconds)
    return Int32(clamping: nanoseconds / 1_000_000 + 1)
  }

  /// Looks for connections that have been slow for too long, while there are slow ones at all.
  private func sweepIfDue() {
    if let again = listensAgain, now >= again {
      listensAgain = nil
      try? epoll.change(setup.listening.descriptor, .read, token: Self.listener)
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
        pump(connection)
      } else if let since = connection.stalledSince, now - since > setup.limits.stalledWrite {
        drop(connection, "took none of its answers for \(setup.limits.stalledWrite)")
      } else if connection.stalledSince != nil {
        pump(connection)
      } else if connection.partialSince != nil {
        planSweep()
      }
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
      let number = t2_accept(setup.listening.descriptor.number)
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
    let number = t2_accept(setup.listening.descriptor.number)
    if number >= 0 {
      turnAway(
        FileDescriptor(takingOwnershipOf: number), RPCError(.overloaded, "the daemon has no descriptor left; try again")
      )
    }
    spare = try? FileDescriptor.open("/dev/null", O_RDONLY)
    // Level-triggered readiness would spin until a descriptor is free.
    try? epoll.change(setup.listening.descriptor, [], token: Self.listener)
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
    let ofUser = users[peer.user, default: 0]
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
        peer: peer, mayChange: mayChange, token: token, maximumAnswer: limits.hardOutputBytes, outbox: setup.outbox))
    do throws(SystemCallError) {
      try epoll.add(socket, .read, token: token)
    } catch {
      setup.logger.warning("a connection is refused: \(error)")
      if slot < slots.count { freeSlots.append(slot) }
      return turnAway(socket, RPCError(.overloaded, "the daemon cannot watch another connection; try again"))
    }
    if slot == slots.count { slots.append(connection) } else { slots[slot] = connection }
    users[peer.user] = ofUser + 1
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
    if events.contains(.read), !connection.isHalfClosed, !connection.isClosing {
      read(connection)
    } else if events.contains(.write) {
      now = .now
      pump(connection)
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
    let left = (users[connection.shared.peer.user] ?? 1) - 1
    users[connection.shared.peer.user] = left > 0 ? left : nil
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
    // A plain recv: the kernel closes descriptors that a peer sends along.
    let count = unsafe recv(connection.socket.number, space.baseAddress, space.count, Int32(MSG_DONTWAIT))
    if count < 0 {
      if errno != EAGAIN, errno != EINTR { close(connection) }
      return
    }
    if count == 0 {
      connection.isHalfClosed = true
      if connection.input.count > 0, !connection.holdsLines {
        refuse(
          connection, RPCRefusal(RPCError(.parseError, "the connection ended within a line"), closes: true))
      }
    } else {
      connection.input.commit(count)
      if count == space.count, connection.input.capacity < 65_536 { _ = unsafe connection.input.space(2 * space.count) }
    }
    pump(connection)
  }

  /// Answers the lines that are there and sends what there is to send, as far as the limits let it.
  func pump(_ connection: ServerConnection) {
    while isOpen(connection) {
      answerLines(of: connection)
      switch connection.flush(now: now) {
      case .broken: return close(connection)
      case .blocked: break
      case .all:
        if connection.holdsLines, connection.inFlight < setup.limits.requestsInFlight { continue }
      }
      break
    }
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
    if !connection.isHalfClosed, !connection.isClosing, !connection.holdsLines,
      connection.inFlight < setup.limits.requestsInFlight, connection.output.count < setup.limits.softOutputBytes
    {
      wanted = Epoll.Events(rawValue: wanted.rawValue | Epoll.Events.read.rawValue)
    }
    if wanted != connection.interest {
      connection.interest = wanted
      try? epoll.change(connection.socket, wanted, token: connection.shared.token)
    }
  }

  // MARK: - Answers from elsewhere

  private func deliver() {
    while true {
      _ = setup.outbox.takeAll(into: &outgoing)
      if outgoing.isEmpty { return }
      var touched: [UInt64] = []
      for item in outgoing {
        switch item {
        case .stop(let deadline): stopListening(until: deadline)
        case .line(let line): if append(line), touched.last != line.connection { touched.append(line.connection) }
        }
      }
      outgoing.removeAll(keepingCapacity: true)
      for token in touched { if let connection = connection(token) { pump(connection) } }
    }
  }

  private func stopListening(until deadline: Deadline) {
    guard stopDeadline == nil else { return }
    stopDeadline = deadline
    setup.listening.unlinkIfOurs()
    try? epoll.remove(setup.listening.descriptor)
    listensAgain = nil
  }

  /// Puts a line behind what its connection has to send; false where it cannot be sent any more.
  private func append(_ line: Outgoing.Line) -> Bool {
    guard let connection = connection(line.connection) else { return false }
    if line.isAnswer { connection.inFlight -= 1 }
    if connection.isClosing { return false }
    guard connection.output.count + line.bytes.count <= setup.limits.hardOutputBytes + 1024 else {
      drop(connection, "has \(connection.output.count) bytes of answers waiting and does not read them")
      return false
    }
    if let descriptor = line.descriptor { connection.attach(descriptor) }
    connection.output.append(line.bytes)
    return true
  }
}
