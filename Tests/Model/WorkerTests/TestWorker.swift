import LinearAlgebra
import Sandbox
import StrictJSON
import SystemSupport
@testable import Worker
import WorkerProtocol

/// A worker in this process, spoken to as the daemon does: over a socketpair.
final class TestWorker {
  private let descriptor: FileDescriptor
  private let service: WorkerService
  private let reader: OwnedThread
  private var assembler = LineAssembler()
  private var nextID: Int64 = 1
  /// What was made anew, and why.
  private(set) var remade: [(what: Remade, problem: String)] = []

  struct Closed: Error {}

  init(threads: Int = 2, limits: MemoryLimits = MemoryLimits(), sandbox: Sandbox? = nil) throws {
    let (mine, theirs) = try FileDescriptor.socketPair()
    descriptor = mine
    let connection = Connection(theirs)
    let service = try WorkerService(
      connection: connection, pool: ComputePool(threads: threads), limits: limits, sandbox: sandbox)
    self.service = service
    reader = try OwnedThread(name: "reader") { try? connection.readLines { service.handle($0) } }
  }

  deinit {
    service.stop()
    try? descriptor.close()
    reader.join()
  }

  @discardableResult func send(_ call: WorkerCall) throws -> Int64 {
    nextID += 1
    try descriptor.write(all: WorkerRequest(id: nextID, call: call).json.workerLine)
    return nextID
  }

  func sendRaw(_ text: String) throws { try descriptor.write(all: Array(text.utf8)) }

  func read() throws -> WorkerReply {
    while true {
      if let line = try assembler.next() { return try WorkerReply(decoding: JSONValue(workerLine: line)) }
      let bytes = try descriptor.read(upTo: 1 << 16)
      if bytes.isEmpty { throw Closed() }
      assembler.append(bytes)
    }
  }

  /// The answer to one request; events that come before it are passed over.
  func answer(_ call: WorkerCall) throws -> Result<JSONValue, WorkerFault> {
    let id = try send(call)
    while true {
      switch try read() {
      case .result(id, let result): return .success(result)
      case .fault(id, let fault): return .failure(fault)
      case .event(.remade(let what, _, let problem)): remade.append((what, problem))
      case .result, .fault, .event: continue
      }
    }
  }

  enum Ending: Equatable {
    case done(JSONValue)
    case failed(WorkerFault)
    case cancelled
  }

  /// Runs a job to its end; `seen` is shown each journal entry as it comes.
  func run(
    _ spec: some JobSpec, journal: [JSONValue] = [], job: Int64 = 1, seen: (JSONValue) throws -> Void = { _ in }
  ) throws -> (ending: Ending, journal: [JSONValue]) {
    try send(.startJob(JobStart(job: job, spec: spec, journal: journal)))
    var entries = journal
    while true {
      switch try read() {
      case .fault(_, let fault): return (.failed(fault), entries)
      case .event(.journal(job, let entry)):
        entries.append(entry)
        try seen(entry)
      case .event(.done(job, let result)): return (.done(result), entries)
      case .event(.failed(job, let fault)): return (.failed(fault), entries)
      case .event(.cancelled(job)): return (.cancelled, entries)
      case .event(.remade(let what, _, let problem)): remade.append((what, problem))
      case .result, .event: continue
      }
    }
  }
}

extension TestWorker.Ending {
  struct Unexpected: Error {
    var ending: TestWorker.Ending
  }

  /// What the job came to.
  func result() throws -> JSONValue {
    guard case .done(let result) = self else { throw Unexpected(ending: self) }
    return result
  }

  /// The same without what time decides.
  func timeless() throws -> JSONObject {
    var object = try result().objectValue ?? [:]
    object["seconds"] = nil
    return object
  }

  /// Why it failed.
  func fault() throws -> WorkerFault {
    guard case .failed(let fault) = self else { throw Unexpected(ending: self) }
    return fault
  }
}
