import Glibc
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@testable import Daemon

@Suite struct WorkerLinkTests {
  private enum Event: Equatable {
    case started(Int)
    case ended
    /// The n-th worker, from 1, was asked something that is not the link's own.
    case asked(Int, WorkerCall)
  }

  /// What the link says and what its workers are asked, in order.
  private final class Events: Sendable {
    private let mailbox: Mailbox<Event>
    private let waiting = Mutex<[Event]>([])

    init() throws { mailbox = try Mailbox() }

    func note(_ event: Event) { mailbox.put(event) }

    func next() throws -> Event {
      let deadline = Deadline.after(.seconds(30))
      while waiting.withLock({ $0.isEmpty }) {
        try #require(!deadline.hasPassed, "nothing happened for 30 s")
        mailbox.wait(until: deadline)
        let new = mailbox.takeAll()
        waiting.withLock { $0 += new }
      }
      return waiting.withLock { $0.removeFirst() }
    }
  }

  /// Workers that answer whatever they are asked.
  private final class Workers: WorkerLauncher {
    private let events: Events
    private let sockets = Mutex<[FileDescriptor]>([])

    init(_ events: Events) { self.events = events }

    func kill(_ number: Int) {
      let socket = sockets.withLock { $0[number - 1] }
      _ = shutdown(socket.number, Int32(SHUT_RDWR))
    }

    func launch() throws(SystemCallError) -> RunningWorker {
      let (ours, theirs) = try FileDescriptor.socketPair()
      let number = sockets.withLock { sockets in
        sockets.append(theirs)
        return sockets.count
      }
      _ = try OwnedThread(name: "worker") { self.serve(theirs, number) }
      return RunningWorker(socket: ours, process: nil)
    }

    private func serve(_ socket: FileDescriptor, _ number: Int) {
      var lines = LineAssembler()
      while let bytes = try? socket.read(upTo: 1 << 16), !bytes.isEmpty {
        lines.append(bytes)
        while let line = try? lines.next() {
          guard let json = try? parseJSON(line), let request = try? WorkerRequest(decoding: json) else {
            Issue.record("the link sent what is no request: \(String(decoding: line, as: UTF8.self))")
            return
          }
          let answer: JSONValue
          switch request.call {
          case .hello:
            answer =
              HelloAnswer(pid: 1, cores: 2, kernel: "Haswell", deservedKernel: "Haswell", kernelTooOld: false).json
          case .memory: answer = MemoryAnswer(resident: 1, limit: 0, models: []).json
          default:
            events.note(.asked(number, request.call))
            answer = [:]
          }
          _ = try? socket.write(all: WorkerReply.result(id: request.id, answer).json.serialized() + [0x0a])
        }
      }
    }
  }

  /// The owner hears of an end later than the link. What it sends meanwhile must not start a job in the next worker,
  /// which will be told to start it again.
  @Test func whatIsMeantForAWorkerThatHasEndedReachesNoOther() throws {
    let events = try Events()
    let workers = Workers(events)
    let link = try WorkerLink(launcher: workers, hangAfter: .seconds(60), log: .silent) { message in
      switch message {
      case .started(_, let worker): events.note(.started(worker))
      case .ended: events.note(.ended)
      case .memory, .reply: break
      }
    }
    try link.start()
    defer { link.stop() }
    #expect(try events.next() == .started(1))
    link.send(WorkerRequest(id: 1, call: .cancelJob(1)), to: 1)
    #expect(try events.next() == .asked(1, .cancelJob(1)))
    workers.kill(1)
    #expect(try events.next() == .ended)
    #expect(try events.next() == .started(2))

    link.send(WorkerRequest(id: 2, call: .cancelJob(2)), to: 1)
    link.restart(1, "it does not answer")
    link.send(WorkerRequest(id: 3, call: .cancelJob(3)), to: 2)
    #expect(try events.next() == .asked(2, .cancelJob(3)))

    link.restart(2, "it does not answer")
    #expect(try events.next() == .ended)
    #expect(try events.next() == .started(3))
  }

  /// With the real worker: it traps where its memory is refused, and "signal 4" is no reason.
  @Test(arguments: [1 << 20, 60 << 20]) func aMemoryLimitThatIsTooSmallToRunIsNamed(limit: Int64) throws {
    var configuration = Configuration.forTests
    configuration.worker.path = FileSystem.split(try FileSystem.ownExecutable()).directory + "/t2-worker"
    configuration.worker.memoryLimit = limit
    let reasons = try Mailbox<String>()
    let link = try WorkerLink(
      launcher: try ProgramLauncher(configuration, prefix: ""), hangAfter: .seconds(60), log: .silent
    ) { message in
      if case .ended(let reason, _) = message { reasons.put(reason) }
    }
    try link.start()
    defer { link.stop() }
    let reason = try #require(reasons.take())
    #expect(reason.contains("worker.memory_limit is \(limit) bytes, and the worker has "), "\(reason)")
    #expect(!reason.contains("signal"), "\(reason)")
  }
}
