import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import WorkerProtocol

/// What the ends of jobs mean, which is not the runner's affair. All calls come on the catalogue's thread.
protocol JobOwner: AnyObject {
  /// What the worker is given of a job. A `WorkerFault` that is thrown is the job's end.
  func spec(of job: JobRecord) throws -> any JobSpec
  /// The worker has done the job: stores what follows from it and returns what the job shows of it. An error fails it.
  func finished(_ job: JobRecord, _ result: JSONValue) throws -> JSONValue
  /// The worker could not do it. The job is still the running one.
  func failed(_ job: JobRecord, _ fault: WorkerFault) throws(RegistryError)
  /// What is to be kept of a job that ends without a result, before its journal goes.
  func remains(of job: JobRecord) throws(RegistryError) -> JSONValue?
  /// A job has ended, one way or the other, and that is stored.
  func ended(_ job: Int64)
  /// The worker is done with a job, so that what depends on its outcome may be looked at.
  func settled()
}

/// Runs the jobs: the rules are those of `JobQueue`; here each of its changes is stored before it is acted upon, the
/// running job is watched, and the clients that wait for an end are told. On the catalogue's thread only.
///
/// What is asked for and cannot be stored is refused. What has happened and cannot be stored is kept until it can be:
/// nothing else is stored before it.
final class JobRunner {
  /// What has happened to the worker and to the job that it runs.
  private enum Fact {
    case left([JobQueue.Ticket])
    case workerArrived
    /// A job is the running one, and the worker is yet to be told.
    case start(Int64)
    case workerLost(String)
    case journal(Int64, JSONValue)
    case done(Int64, JSONValue)
    case failed(Int64, WorkerFault)
    case refused(Int64, JSONValue)
    case cancelled(Int64)
    case shutDown
  }

  private let queue: CommittedQueue
  /// Oldest first; empty but while the disk fails.
  private var facts: [Fact] = []
  private var isStoring = false
  private var waiters = JobWaiters()
  /// The running job that was told to stop, and when its worker has had enough time for it.
  private var stopping: (job: Int64, deadline: MonotonicInstant)?
  private unowned let owner: any JobOwner
  private let writer: CatalogueWriter
  private let calls: WorkerCalls
  private let board: StatusBoard
  private let log: Logger
  private let stopAfter: Duration

  /// `stopAfter`: how long a worker has to stop a job. `owner` lives longer than the runner.
  init(
    owner: any JobOwner, writer: CatalogueWriter, calls: WorkerCalls, board: StatusBoard, stopAfter: Duration,
    log: Logger
  ) {
    self.owner = owner
    self.writer = writer
    queue = CommittedQueue(writer: writer)
    self.calls = calls
    self.board = board
    self.stopAfter = stopAfter
    self.log = log
  }

  private var catalogue: Catalogue { writer.catalogue }

  /// Takes up what the last run left.
  func restore() throws(RegistryError) { happened(.left(try catalogue.liveJobs().map(\.ticket))) }

  // MARK: - What is on its way

  /// Jobs about this target that are queued or run, and have not been told to stop.
  func isLive(target: String) -> Bool { !queue.current.live(target: target).isEmpty }

  /// The numbers of all jobs that are not at their end.
  var liveJobs: [Int64] { queue.current.tickets.map(\.id) }

  /// The searches that are on their way.
  var searches: [Freshness.Search] {
    writer.snapshot.jobs.compactMap { job in
      guard job.kind == AdaptSpec.kind, let task = job.task, let model = job.model,
        let ticket = queue.current.tickets[job.id], ticket.stopping == nil
      else { return nil }
      return Freshness.Search(
        job: job.id, pair: Pair(task: task, model: model), inputs: ticket.inputs, options: job.options)
    }
  }

  // MARK: - Submitting

  /// Queues a job, or finds the one that asks for the same already. Returns its number.
  @discardableResult
  func submit(_ job: JobRecord) throws(RegistryError) -> Int64 { try submit([job])[0] }

  /// Queues several in one transaction. Returns their numbers.
  @discardableResult
  func submit(_ jobs: [JobRecord]) throws(RegistryError) -> [Int64] {
    try storeFacts()
    let known = jobs.compactMap { queue.current.live(key: $0.key)?.id }
    if known.count == jobs.count { return known }
    var ids: [Int64] = []
    try change { (queue) throws(RegistryError) in
      var changes: [JobQueue.Change] = []
      for job in jobs {
        if let same = queue.live(key: job.key) {
          ids.append(same.id)
          continue
        }
        var stored = job
        stored.id = try catalogue.add(job)
        ids.append(stored.id)
        try catalogue.record(
          "job.queued", "\(stored.id)",
          [
            "job": .integer(stored.id), "kind": .string(job.kind.name), "task": JSONValue(job.task),
            "model": JSONValue(job.model), "who": .string(job.who), "reason": .string(job.reason),
          ], now: .now)
        if case .accepted(let more) = queue.submit(stored.ticket) { changes += more }
      }
      return changes
    }
    return ids
  }

  func cancel(_ id: Int64, reason: String) throws(RegistryError) {
    try storeFacts()
    try change { (queue) throws(RegistryError) in queue.cancel(id, reason: reason) }
  }

  // MARK: - The queue's changes

  /// Decides on a change, stores it and then acts upon it. `result` and `error` belong to the first job that ends.
  private func change(
    result: JSONValue? = nil, error: JSONValue? = nil,
    _ decide: (inout JobQueue) throws(RegistryError) -> [JobQueue.Change]
  ) throws(RegistryError) {
    act(
      try queue.change(decide) { (changes) throws(RegistryError) in
        try store(changes, result: result, error: error)
      })
  }

  /// Writes the changes into the running transaction.
  private func store(
    _ changes: [JobQueue.Change], result: JSONValue? = nil, error: JSONValue? = nil
  ) throws(RegistryError) {
    var result = result
    var error = error
    for case .store(let id, let state, let attempts, let reason) in changes {
      var problem = error
      if state == .failed || state == .cancelled, problem == nil {
        problem = ["kind": .string(state == .failed ? "job_failed" : "cancelled"), "message": .string(reason ?? "")]
      }
      let ends = state.isFinal
      // The journal goes with the job's end: what it alone knew is taken out of it before.
      var shown = ends ? result : nil
      if ends, shown == nil { shown = try owner.remains(of: try catalogue.job(id)) }
      try catalogue.setState(id, state, attempts: attempts, result: shown, error: ends ? problem : nil, now: .now)
      if ends { (result, error) = (nil, nil) }
      var detail: JSONObject = ["job": .integer(id), "attempts": JSONValue(attempts)]
      if let reason { detail["reason"] = .string(reason) }
      if ends, let message = problem?["message"] { detail["message"] = message }
      try catalogue.record("job.\(state.rawValue)", "\(id)", detail, now: .now)
    }
  }

  /// Sends what the changes ask for, after they were stored.
  private func act(_ changes: [JobQueue.Change]) {
    for change in changes {
      switch change {
      case .store(let id, let state, _, let reason):
        log.info("job", ["id": id, "state": state.rawValue, "reason": reason ?? "-"])
        if state != .running, stopping?.job == id { stopping = nil }
        if state.isFinal {
          board.setProgress(nil, of: id)
          owner.ended(id)
          answer(waiters.take(id), with: id)
        }
      case .start(let id): happened(.start(id))
      case .stop(let id):
        calls.send(.cancelJob(id)) { _ in }
        stopping = (id, .now + stopAfter)
      }
    }
  }

  private func start(_ id: Int64) throws(RegistryError) {
    guard queue.current.runningID == id else { return }
    let start: JobStart
    do {
      let job = try catalogue.job(id)
      start = JobStart(job: id, spec: try owner.spec(of: job), journal: try catalogue.journal(id))
    } catch let fault as WorkerFault {
      return happened(.failed(id, fault))
    } catch let error as RegistryError where error.isOfTheDisk {
      throw error
    } catch {
      return happened(.refused(id, ["kind": "internal", "message": .string("it cannot be read: \(error)")]))
    }
    calls.send(.startJob(start)) { [unowned self] answer in
      // A job that was taken up ends with an event; one that was refused ends here.
      guard case .failure(let error) = answer, queue.current.runningID == id, board.worker.state == .ready else {
        return
      }
      happened(.refused(id, ["kind": error.json["data"]?["kind"] ?? "job_failed", "message": .string(error.message)]))
    }
  }

  // MARK: - What has happened

  private func happened(_ fact: Fact) {
    facts.append(fact)
    writer.attempt("store what became of a job") { () throws(RegistryError) in try storeFacts() }
  }

  /// Stores what has happened and is not stored yet, in its order. Throws where the disk still fails.
  func storeFacts() throws(RegistryError) {
    // What follows from a fact may be another.
    guard !isStoring else { return }
    isStoring = true
    defer { isStoring = false }
    while let fact = facts.first {
      do throws(RegistryError) {
        try store(fact)
      } catch  where !error.isOfTheDisk {
        // Waiting does not help.
        facts.removeFirst()
        log.error("what became of a job cannot be stored", ["fact": "\(fact)", "error": error])
        continue
      }
      facts.removeFirst()
      switch fact {
      case .done, .failed, .cancelled: owner.settled()
      case .left, .workerArrived, .workerLost, .start, .journal, .refused, .shutDown: break
      }
    }
  }

  private func store(_ fact: Fact) throws(RegistryError) {
    switch fact {
    case .left(let tickets): try change { (queue) throws(RegistryError) in queue.restore(tickets) }
    case .start(let id): try start(id)
    case .workerArrived: try change { (queue) throws(RegistryError) in queue.workerArrived() }
    case .workerLost(let reason): try change { (queue) throws(RegistryError) in queue.workerLost(reason: reason) }
    case .journal(let id, let entry):
      guard queue.current.runningID == id else { return }
      try writer.change { () throws(RegistryError) in try catalogue.appendJournal(id, entry) }
    case .done(let id, let result): try storeDone(id, result)
    case .failed(let id, let fault):
      guard queue.current.runningID == id else { return }
      try owner.failed(try catalogue.job(id), fault)
      try change(error: ["kind": .string(fault.kind.rawValue), "message": .string(fault.message)]) {
        (queue) throws(RegistryError) in
        queue.ended(id, fault.kind == .cancelled ? .cancelled : .failed, reason: fault.message)
      }
    case .refused(let id, let error):
      try change(error: error) { (queue) throws(RegistryError) in queue.ended(id, .failed) }
    case .cancelled(let id): try change { (queue) throws(RegistryError) in queue.ended(id, .cancelled) }
    case .shutDown: try change { (queue) throws(RegistryError) in queue.shutDown() }
    }
  }

  private func storeDone(_ id: Int64, _ result: JSONValue) throws(RegistryError) {
    guard queue.current.runningID == id else { return }
    let problem: String
    do {
      let shown = try owner.finished(try catalogue.job(id), result)
      return try change(result: shown) { (queue) throws(RegistryError) in queue.ended(id, .done) }
    } catch let error as RegistryError {
      if case .lostStagedFile = error {
        return try change { (queue) throws(RegistryError) in queue.resultLost(id, reason: "\(error)") }
      }
      if error.isOfTheDisk { throw error }
      problem = "\(error)"
    } catch {
      problem = "\(error)"
    }
    if queue.current.tickets[id]?.stopping != nil {
      // What it was about is gone, and it came to its end before it could be stopped.
      return try change { (queue) throws(RegistryError) in queue.ended(id, .cancelled) }
    }
    log.error("a job's result cannot be used", ["job": id, "error": problem])
    try change(error: ["kind": "internal", "message": .string("its result cannot be used: \(problem)")]) {
      (queue) throws(RegistryError) in queue.ended(id, .failed, reason: problem)
    }
  }

  // MARK: - What the worker says

  func workerStarted() { happened(.workerArrived) }

  func workerEnded(_ reason: String) {
    stopping = nil
    happened(.workerLost("the worker ended: \(reason)"))
  }

  func progressed(_ job: Int64, _ progress: JobProgress) {
    if queue.current.runningID == job { board.setProgress(progress, of: job) }
  }

  func journalled(_ job: Int64, _ entry: JSONValue) { happened(.journal(job, entry)) }
  func done(_ job: Int64, _ result: JSONValue) { happened(.done(job, result)) }
  func failed(_ job: Int64, _ fault: WorkerFault) { happened(.failed(job, fault)) }
  func cancelled(_ job: Int64) { happened(.cancelled(job)) }

  // MARK: - Those who wait

  /// Answers when the job has ended, or at the deadline with how far it is.
  func wait(for id: Int64, _ reply: Reply<JobWait.Result>, until deadline: Deadline) throws(RegistryError) {
    let job = try catalogue.job(id)
    if job.state.isFinal || deadline.hasPassed {
      reply.succeed(job.shown(board.progress(of: id)))
    } else {
      waiters.add(reply, for: id, until: deadline)
    }
  }

  private func answer(_ replies: [Reply<JobWait.Result>], with id: Int64) {
    guard !replies.isEmpty else { return }
    writer.attempt("read a job") { () throws(RegistryError) in
      let job = try catalogue.job(id)
      for reply in replies { reply.succeed(job.shown(board.progress(of: id))) }
    }
  }

  // MARK: - Time and end

  /// The earliest time at which something is due by itself.
  var nextDeadline: MonotonicInstant? { [waiters.nextDeadline, stopping?.deadline].compactMap { $0 }.min() }

  func timePassed(_ now: MonotonicInstant) {
    for (job, replies) in waiters.takeExpired() { answer(replies, with: job) }
    if let stopping, now >= stopping.deadline { giveUpStopping(stopping.job) }
  }

  /// A job that does not stop when it is told to takes its worker with it: the next one begins with a new worker.
  private func giveUpStopping(_ job: Int64) {
    stopping = nil
    guard queue.current.runningID == job else { return }
    calls.restartWorker("it did not stop job \(job) within \(stopAfter.inSeconds) s of being told to")
  }

  /// Marks the running job, so that the next start takes it up.
  func end() {
    happened(.shutDown)
    endWaiting()
  }

  /// Tells those who wait that the daemon ends.
  func endWaiting() {
    for reply in waiters.takeAll() { reply.fail(RPCError(.shuttingDown, "t2d is ending")) }
  }
}
