import Multipliers
import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import WorkerProtocol

/// A client that waits for a job's end.
struct JobWaiter {
  var reply: RPCReply
  var deadline: Deadline
}

extension Steward {
  // MARK: - Submitting

  /// Queues a job, or finds the one that asks for the same already. Returns its number.
  @discardableResult
  func submit(_ job: JobRecord) throws(RegistryError) -> Int64 {
    if let same = queue.live(key: job.key) { return same.id }
    let (id, changes) = try change { () throws(RegistryError) -> (Int64, [JobQueue.Change]) in
      let id = try catalogue.add(job)
      var stored = job
      stored.id = id
      try catalogue.record(
        "job.queued", "\(id)",
        [
          "job": .integer(id), "kind": .string(job.kind), "task": JSONValue(job.task), "model": JSONValue(job.model),
          "who": .string(job.who), "reason": .string(job.reason),
        ], now: .now)
      guard case .accepted(let changes) = queue.submit(stored.ticket) else { return (id, []) }
      try store(changes)
      return (id, changes)
    }
    act(changes)
    return id
  }

  func cancel(_ id: Int64, reason: String) throws(RegistryError) {
    try apply(queue.cancel(id, reason: reason))
  }

  // MARK: - The queue's changes

  /// Stores the changes and then acts upon them.
  func apply(_ changes: [JobQueue.Change], result: JSONValue? = nil, error: JSONValue? = nil) throws(RegistryError) {
    guard !changes.isEmpty else { return }
    try change { () throws(RegistryError) in try store(changes, result: result, error: error) }
    act(changes)
  }

  /// Writes the changes into the running transaction. `result` and `error` belong to the first job that ends.
  func store(_ changes: [JobQueue.Change], result: JSONValue? = nil, error: JSONValue? = nil) throws(RegistryError) {
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
      if ends, shown == nil { shown = try curve(ofUnfinished: id) }
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
          collectTrainingStates(now: .now)
          answerWaiters(of: id)
        }
      case .start(let id): start(id)
      case .stop(let id):
        send(.cancelJob(id)) { _ in }
        stopping = (id, .now + configuration.worker.stopAfter)
      }
    }
  }

  /// A job that does not stop when it is told to takes its worker with it: the next one begins with a new worker.
  func giveUpStopping(_ job: Int64) {
    stopping = nil
    guard queue.runningID == job else { return }
    link?.restart(
      "it did not stop job \(job) within \(configuration.worker.stopAfter.inSeconds) s of being told to")
  }

  private func start(_ id: Int64) {
    do {
      let job = try catalogue.job(id)
      let work = try JobWork(kind: job.kind, spec: job.spec)
      let start = JobStart(job: id, work: work, journal: try catalogue.journal(id))
      send(.startJob(start)) { [unowned self] answer in
        // A job that was taken up ends with an event; one that was refused ends here.
        if case .failure(let error) = answer, self.queue.runningID == id, self.board.worker.state == .ready {
          self.attempt("end a job") { () throws(RegistryError) in
            try self.apply(
              self.queue.ended(id, .failed),
              error: error.json["data"].map { data in
                ["kind": data["kind"] ?? "job_failed", "message": .string(error.message)]
              })
          }
        }
      }
    } catch {
      attempt("end a job that cannot be read") { () throws(RegistryError) in
        try apply(queue.ended(id, .failed), error: ["kind": "internal", "message": .string("\(error)")])
      }
    }
  }

  // MARK: - What the worker says

  func received(_ message: WorkerLink.Message) {
    switch message {
    case .started(let hello):
      board.update {
        $0.state = .ready
        $0.hello = hello
        $0.problem = nil
      }
      if hello.kernelTooOld {
        log.warning("OpenBLAS runs an old kernel", ["kernel": hello.kernel, "deserved": hello.deservedKernel])
      }
      note("worker.started", "worker", ["pid": JSONValue(hello.pid), "kernel": .string(hello.kernel)])
      let held = heldCalls
      heldCalls = []
      for request in held where calls[request.id] != nil { link?.send(request) }
      attempt("start the next job") { () throws(RegistryError) in try apply(queue.workerArrived()) }
    case .memory(let memory): board.update { $0.memory = memory }
    case .ended(let reason, let retryAfter):
      let wasReady = board.worker.state == .ready
      board.update {
        $0.state = wasReady ? .starting : .failed
        $0.hello = nil
        $0.memory = nil
        $0.problem = reason
        $0.restarts += 1
      }
      note("worker.ended", "worker", ["reason": .string(reason), "retry_seconds": .number(retryAfter.inSeconds)])
      let lost = calls
      calls = [:]
      heldCalls = []
      stopping = nil
      attempt("queue the interrupted job again") { () throws(RegistryError) in
        try apply(queue.workerLost(reason: "the worker ended: \(reason)"))
      }
      for (_, answer) in lost {
        answer(
          .failure(
            RPCError(
              .workerUnavailable, "the worker ended during the request: \(reason)",
              hint: "t2d starts it again; try once more")))
      }
    case .reply(.result(let id, let result)): calls.removeValue(forKey: id)?(.success(result))
    case .reply(.fault(let id, let fault)): calls.removeValue(forKey: id)?(.failure(RPCError(fault)))
    case .reply(.event(let event)): received(event)
    }
  }

  private func received(_ event: WorkerEvent) {
    switch event {
    case .progress(let job, let progress):
      if queue.runningID == job { board.setProgress(progress, of: job) }
    case .journal(let job, let entry):
      guard queue.runningID == job else { return }
      attempt("store a job's journal") { () throws(RegistryError) in
        try change { () throws(RegistryError) in try catalogue.appendJournal(job, entry) }
      }
    case .done(let job, let result): finished(job, result)
    case .failed(let job, let fault):
      attempt("store a job's failure") { () throws(RegistryError) in try failed(job, fault) }
    case .cancelled(let job):
      attempt("store a job's end") { () throws(RegistryError) in try apply(queue.ended(job, .cancelled)) }
      reconcile()
    case .token(let id, _, let token, let text):
      streams[id]?.send(["text": .string(text), "ids": [.integer(Int64(token))]])
    case .decided(let id, _, let decision):
      if let shown = streams[id]?.decided(decision.json) { streams[id]?.send(["decision": shown]) }
    }
  }

  private func failed(_ id: Int64, _ fault: WorkerFault) throws(RegistryError) {
    guard queue.runningID == id else { return }
    let job = try catalogue.job(id)
    if job.kind == "inspect" { try inspected(job, .failure(fault)) }
    if job.kind == "train" { trainingFailed(job, fault) }
    if fault.kind == .modelChanged, let model = job.model.flatMap({ snapshot.model($0) }) { lookAgain(at: model) }
    try apply(
      queue.ended(id, fault.kind == .cancelled ? .cancelled : .failed, reason: fault.message),
      error: ["kind": .string(fault.kind.rawValue), "message": .string(fault.message)])
    reconcile()
  }

  private func finished(_ id: Int64, _ result: JSONValue) {
    guard queue.runningID == id else { return }
    do {
      let job = try catalogue.job(id)
      var shown = result
      switch job.kind {
      case "inspect":
        let facts = try ModelFacts(decoding: result)
        try inspected(job, .success(facts))
      case "adapt": shown = try adapted(job, AdaptResult(decoding: result))
      case "check": shown = try checked(job, CheckResult(decoding: result))
      case "train": shown = try trained(job, result)
      default: break
      }
      try apply(queue.ended(id, .done), result: shown)
    } catch {
      log.error("a job's result cannot be used", ["job": id, "error": "\(error)"])
      attempt("store a job's failure") { () throws(RegistryError) in
        try apply(
          queue.ended(id, .failed, reason: "\(error)"),
          error: ["kind": "internal", "message": .string("its result cannot be used: \(error)")])
      }
    }
    reconcile()
  }

  // MARK: - Those who wait

  func wait(for id: Int64, _ reply: RPCReply, until deadline: Deadline) throws(RegistryError) {
    let job = try catalogue.job(id)
    if job.state.isFinal || deadline.hasPassed {
      reply.succeed(.object(job.json(board.progress(of: id), full: true)))
    } else {
      waiters[id, default: []].append(JobWaiter(reply: reply, deadline: deadline))
    }
  }

  private func answerWaiters(of id: Int64) {
    guard let waiting = waiters.removeValue(forKey: id) else { return }
    attempt("read a job") { () throws(RegistryError) in
      let job = try catalogue.job(id)
      for waiter in waiting { waiter.reply.succeed(.object(job.json(nil, full: true))) }
    }
  }

  func expireWaiters() {
    for (id, waiting) in waiters {
      let expired = waiting.filter { $0.deadline.hasPassed || !$0.reply.isConnected }
      guard !expired.isEmpty else { continue }
      waiters[id] = waiting.filter { !($0.deadline.hasPassed || !$0.reply.isConnected) }
      if waiters[id]?.isEmpty == true { waiters[id] = nil }
      attempt("read a job") { () throws(RegistryError) in
        let job = try catalogue.job(id)
        for waiter in expired { waiter.reply.succeed(.object(job.json(board.progress(of: id), full: true))) }
      }
    }
  }
}
