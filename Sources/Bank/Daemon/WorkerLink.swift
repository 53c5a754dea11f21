import Glibc
import StrictJSON
package import SystemSupport
package import WorkerProtocol

/// Keeps a worker running and passes lines to and fro, on a thread of its own.
///
/// It knows nothing of jobs: the owner gets every reply and event, in order, and is told when a worker has answered
/// `hello` and when it is gone. What is sent names the worker that is meant, by the number that came with `started`: one
/// that has ended meanwhile gets nothing, and neither does its successor. What is unanswered at `ended` never will be. A worker that leaves `memory` unanswered for `hangAfter` is killed. One that ends is started again,
/// after a while that grows.
package final class WorkerLink: Sendable {
  package enum Message: Sendable {
    /// `worker` is its number, by which it is sent to.
    case started(HelloAnswer, worker: Int)
    case reply(WorkerReply)
    case memory(MemoryAnswer)
    /// Why, and when the next one is tried.
    case ended(reason: String, retryAfter: Duration)
  }

  private enum Order: Sendable {
    /// A request's line.
    case send([UInt8], worker: Int)
    /// Why the worker is to be killed.
    case restart(String, worker: Int)
  }

  private enum Token: UInt64 { case mailbox = 1, socket, process }

  private let launcher: any WorkerLauncher
  private let hangAfter: Duration
  private let log: Logger
  private let deliver: @Sendable (Message) -> Void
  private let mailbox: Mailbox<Order>
  private let epoll: Epoll
  private let thread = Mutex<OwnedThread?>(nil)

  /// `deliver` is called on the link's thread and must not block.
  package init(
    launcher: any WorkerLauncher, hangAfter: Duration, log: Logger, deliver: @escaping @Sendable (Message) -> Void
  ) throws(SystemCallError) {
    self.launcher = launcher
    self.hangAfter = hangAfter
    self.log = log
    self.deliver = deliver
    mailbox = try Mailbox()
    epoll = try Epoll()
    try epoll.add(mailbox.descriptor, .read, token: Token.mailbox.rawValue)
  }

  package func start() throws(SystemCallError) {
    let started = try OwnedThread(name: "worker link") { self.run() }
    thread.withLock { $0 = started }
  }

  /// Any thread. A request to a worker that has ended goes nowhere: the owner learns it from `ended`.
  package func send(_ request: WorkerRequest, to worker: Int) {
    mailbox.put(.send(request.json.serialized() + [0x0a], worker: worker))
  }

  /// Kills the worker; another is started. Any thread.
  package func restart(_ worker: Int, _ reason: String) {
    mailbox.put(.restart(reason, worker: worker))
  }

  /// Ends the worker and the thread, and waits for both. The worker has half a second after the end of its socket: what it
  /// has journalled is stored, and the next start goes on after it.
  package func stop() {
    mailbox.close()
    thread.withLock { $0 }?.join()
  }

  private var isStopping: Bool { mailbox.isClosed }

  private func run() {
    var backoff = RestartBackoff()
    var number = 0
    while !isStopping {
      number += 1
      let born = MonotonicInstant.now
      let reason: String
      do throws(SystemCallError) {
        let worker = try launcher.launch()
        reason = try serve(worker, number)
      } catch {
        reason = error.description
      }
      if isStopping { return }
      let wait = backoff.ended(afterRunning: .now - born)
      log.warning("the worker ended", ["reason": reason, "retry_seconds": wait.inSeconds])
      deliver(.ended(reason: reason, retryAfter: wait))
      pause(until: .after(wait))
    }
  }

  private func pause(until deadline: Deadline) {
    while !isStopping, !deadline.hasPassed {
      mailbox.wait(until: deadline)
      // Meant for a worker that has ended.
      _ = mailbox.takeAll()
    }
  }

  /// Serves one worker to its end and says why it ended.
  private func serve(_ worker: RunningWorker, _ number: Int) throws(SystemCallError) -> String {
    var session = Session(worker: worker, number: number, pingEvery: hangAfter / 3, hangAfter: hangAfter)
    try worker.socket.setNonBlocking(true)
    try epoll.add(worker.socket, .read, token: Token.socket.rawValue)
    if let process = worker.process {
      try epoll.add(process.exitDescriptor, .read, token: Token.process.rawValue)
    }
    defer {
      try? epoll.remove(worker.socket)
      if let process = worker.process { try? epoll.remove(process.exitDescriptor) }
    }
    session.queue(WorkerRequest(id: ownIDs, call: .hello))
    var reason: String?
    while reason == nil {
      if isStopping { return end(worker, "t2d ends", grace: .milliseconds(500)) }
      for order in mailbox.takeAll() {
        switch order {
        case .send(let line, number): session.outgoing.append(contentsOf: line)
        case .restart(let reason, number): return end(worker, reason, grace: .zero)
        // Meant for one that has ended: its owner had not learned of it yet.
        case .send, .restart: break
        }
      }
      let isEmpty = try session.flush()
      try epoll.change(worker.socket, isEmpty ? .read : [.read, .write], token: Token.socket.rawValue)
      var readable = false
      var exited = false
      try epoll.wait(until: Deadline(instant: session.nextDeadline)) { token, events in
        switch Token(rawValue: token) {
        case .mailbox: break
        case .socket: readable = readable || !events.subtracting(.write).isEmpty
        case .process: exited = true
        case nil: break
        }
      }
      if readable { reason = receive(&session) }
      // What it said before it ended is read first.
      if reason == nil, exited, !readable { reason = "it ended" }
      if reason == nil, let problem = session.tick(at: .now) { return end(worker, problem, grace: .zero) }
    }
    return end(worker, reason ?? "", grace: .milliseconds(200))
  }

  private func receive(_ session: inout Session) -> String? {
    do {
      let isOpen = try session.receive()
      while let line = try session.lines.next() {
        if let problem = take(line, &session) { return problem }
      }
      return isOpen ? nil : "it closed its socket"
    } catch {
      return "\(error)"
    }
  }

  /// Handles one line; the text of what makes the worker useless.
  private func take(_ line: [UInt8], _ session: inout Session) -> String? {
    let reply: WorkerReply
    do {
      reply = try WorkerReply(
        decoding: try parseJSON(
          line, limits: JSONLimits(maximumDepth: 64, maximumMembers: 4 << 20, maximumBytes: WorkerProtocol.longestLine))
      )
    } catch {
      return "it sent what t2d does not understand: \(error)"
    }
    session.lastSign = .now
    switch reply {
    case .result(let id, let result) where id >= ownIDs:
      do {
        if id == ownIDs {
          let hello = try HelloAnswer(decoding: result)
          guard hello.protocolVersion == WorkerProtocol.version else {
            return "it speaks protocol \(hello.protocolVersion), t2d speaks \(WorkerProtocol.version); "
              + "are t2d and t2-worker of one build?"
          }
          session.isReady = true
          deliver(.started(hello, worker: session.number))
          session.askMemory()
        } else {
          session.isAsked = false
          deliver(.memory(try MemoryAnswer(decoding: result)))
        }
      } catch {
        return "it sent what t2d does not understand: \(error)"
      }
    case .fault(let id, let fault) where id >= ownIDs: return fault.message
    case .result, .fault, .event: deliver(.reply(reply))
    }
    return nil
  }

  /// Closes the socket, waits, kills, and gives the reason with how it ended.
  private func end(_ worker: RunningWorker, _ reason: String, grace: Duration) -> String {
    guard let process = worker.process else { return reason }
    _ = shutdown(worker.socket.number, Int32(SHUT_RDWR))
    if let exit = process.waitForExit(until: .after(grace)) {
      return "\(reason) (\(exit)\(Self.meaning(of: exit, worker.memoryLimit)))"
    }
    process.signal(SIGKILL)
    _ = process.waitForExit()
    return "\(reason) (killed)"
  }

  /// What a signal says of the cause, for people.
  private static func meaning(of exit: ChildProcess.Exit, _ memoryLimit: Int64?) -> String {
    switch exit {
    case .signal(SIGBUS):
      ": a file that it had mapped was cut short, or the disk cannot read it: the model's, or its factorization, which is "
        + "then made anew"
    // A program whose memory is refused ends by a trap.
    case .signal(SIGILL), .signal(SIGTRAP), .signal(SIGABRT), .signal(SIGSEGV):
      memoryLimit.map {
        ", with worker.memory_limit at \($0) bytes: it ends so where that is too small for what it was asked"
      } ?? ""
    case .signal, .code: ""
    }
  }
}

/// Ids from here on are the link's own questions.
private let ownIDs: Int64 = 1 << 48

/// One worker from its start to its end, on the link's thread.
private struct Session {
  let worker: RunningWorker
  let number: Int
  let pingEvery: Duration
  let hangAfter: Duration
  var lines = LineAssembler()
  var outgoing: [UInt8] = []
  var isReady = false
  /// A `memory` is unanswered.
  var isAsked = false
  var lastSign = MonotonicInstant.now
  private var nextPing = MonotonicInstant.now
  private var pings: Int64 = 0

  init(worker: RunningWorker, number: Int, pingEvery: Duration, hangAfter: Duration) {
    self.worker = worker
    self.number = number
    self.pingEvery = pingEvery
    self.hangAfter = hangAfter
    nextPing = .now + hangAfter
  }

  mutating func queue(_ request: WorkerRequest) {
    outgoing += request.json.serialized() + [0x0a]
  }

  mutating func askMemory() {
    pings += 1
    isAsked = true
    queue(WorkerRequest(id: ownIDs + pings, call: .memory))
    nextPing = .now + pingEvery
  }

  var nextDeadline: MonotonicInstant { isAsked || !isReady ? lastSign + hangAfter : nextPing }

  /// What makes the worker useless, if anything; asks it for a sign of life where it is time.
  mutating func tick(at now: MonotonicInstant) -> String? {
    if isAsked || !isReady, now >= lastSign + hangAfter {
      return "it gave no sign of life for \(Int(hangAfter.inSeconds)) s"
    }
    if isReady, !isAsked, now >= nextPing { askMemory() }
    return nil
  }

  /// Writes what the socket takes; true where nothing is left.
  mutating func flush() throws(SystemCallError) -> Bool {
    while !outgoing.isEmpty {
      do throws(SystemCallError) {
        outgoing.removeFirst(try worker.socket.send(some: outgoing))
      } catch {
        if error.number == EAGAIN { return false }
        // A broken pipe: the reading side will see the end too.
        if error.number == EPIPE || error.number == ECONNRESET {
          outgoing = []
          return true
        }
        throw error
      }
    }
    return true
  }

  /// Reads what is there; false at the end.
  mutating func receive() throws(SystemCallError) -> Bool {
    while true {
      do throws(SystemCallError) {
        var end = false
        let bytes = try [UInt8](reading: worker.socket, upTo: 1 << 16, end: &end)
        lines.append(bytes)
        if end { return false }
        if bytes.count < 1 << 16 { return true }
      } catch {
        if error.number == EAGAIN { return true }
        if error.number == ECONNRESET { return false }
        throw error
      }
    }
  }
}

extension FileDescriptor {
  /// How many of the bytes the socket took.
  fileprivate func send(some bytes: [UInt8]) throws(SystemCallError) -> Int {
    var failure: SystemCallError?
    let sent = unsafe bytes.withUnsafeBytes { buffer -> Int in
      do throws(SystemCallError) {
        return try unsafe send(buffer)
      } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    return sent
  }
}

extension [UInt8] {
  /// What one read gives; `end` where that is the end.
  fileprivate init(reading socket: FileDescriptor, upTo count: Int, end: inout Bool) throws(SystemCallError) {
    var failure: SystemCallError?
    unsafe self.init(unsafeUninitializedCapacity: count) { buffer, filled in
      do throws(SystemCallError) {
        filled = try unsafe socket.read(into: UnsafeMutableRawBufferPointer(buffer))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    end = isEmpty
  }
}
