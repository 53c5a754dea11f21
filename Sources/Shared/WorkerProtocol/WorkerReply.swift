package import StrictJSON

/// One line from the worker.
package enum WorkerReply: Sendable, Equatable {
  case result(id: Int64, JSONValue)
  case fault(id: Int64, WorkerFault)
  case event(WorkerEvent)

  package var json: JSONValue {
    switch self {
    case .result(let id, let result): object([("id", .integer(id)), ("result", result)])
    case .fault(let id, let fault): object([("id", .integer(id)), ("error", fault.json)])
    case .event(let event): event.json
    }
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "")
    if fields.optional("event") != nil {
      self = .event(try WorkerEvent(decoding: value))
      return
    }
    let id = Int64(try fields.integer("id"))
    if let error = fields.optional("error") {
      self = .fault(id: id, try WorkerFault(decoding: error))
    } else {
      self = .result(id: id, try fields.value("result"))
    }
  }
}

/// What a worker says unasked.
package enum WorkerEvent: Sendable, Equatable {
  case progress(job: Int64, JobProgress)
  /// To be stored before the next one: a restarted job is handed its entries back.
  case journal(job: Int64, entry: JSONValue)
  case done(job: Int64, result: JSONValue)
  case failed(job: Int64, WorkerFault)
  case cancelled(job: Int64)
  /// Text of one request of a streaming `generate`, which the answer repeats whole.
  case token(id: Int64, request: Int, token: Int32, text: String)
  /// What pass one of a request of a streaming `generate` came to.
  case decided(id: Int64, request: Int, Decision)

  package var json: JSONValue {
    switch self {
    case .progress(let job, let progress):
      object([
        ("event", .string("job.progress")), ("job", .integer(job)), ("fraction", .number(progress.fraction)),
        ("phase", .string(progress.phase)), ("detail", .string(progress.detail)), ("best", progress.best.map(finite)),
        ("eta_seconds", progress.etaSeconds.map(finite)),
      ])
    case .journal(let job, let entry):
      object([("event", .string("job.journal")), ("job", .integer(job)), ("entry", entry)])
    case .done(let job, let result):
      object([("event", .string("job.done")), ("job", .integer(job)), ("result", result)])
    case .failed(let job, let fault):
      object([("event", .string("job.failed")), ("job", .integer(job)), ("error", fault.json)])
    case .cancelled(let job): object([("event", .string("job.cancelled")), ("job", .integer(job))])
    case .token(let id, let request, let token, let text):
      object([
        ("event", .string("generate.token")), ("id", .integer(id)), ("request", .integer(Int64(request))),
        ("token", .integer(Int64(token))), ("text", .string(text)),
      ])
    case .decided(let id, let request, let decision):
      object([
        ("event", .string("generate.decision")), ("id", .integer(id)), ("request", .integer(Int64(request))),
        ("decision", decision.json),
      ])
    }
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "")
    let name = try fields.string("event")
    if name == "generate.token" {
      self = .token(
        id: Int64(try fields.integer("id")), request: try fields.integer("request"),
        token: Int32(truncatingIfNeeded: try fields.integer("token")), text: try fields.string("text"))
      return
    }
    if name == "generate.decision" {
      self = .decided(
        id: Int64(try fields.integer("id")), request: try fields.integer("request"),
        try Decision(decoding: try fields.value("decision")))
      return
    }
    let job = Int64(try fields.integer("job"))
    switch name {
    case "job.progress":
      self = .progress(
        job: job,
        JobProgress(
          fraction: try fields.double("fraction"), phase: try fields.string("phase"),
          detail: try fields.string("detail"), best: try fields.optionalDouble("best"),
          etaSeconds: try fields.optionalDouble("eta_seconds")))
    case "job.journal": self = .journal(job: job, entry: try fields.value("entry"))
    case "job.done": self = .done(job: job, result: try fields.value("result"))
    case "job.failed": self = .failed(job: job, try WorkerFault(decoding: try fields.value("error")))
    case "job.cancelled": self = .cancelled(job: job)
    default: throw .unknownEvent(name)
    }
  }
}

/// How far a job is; for people, so no program should steer by it.
package struct JobProgress: Sendable, Equatable {
  /// 0 to 1, never falling.
  package var fraction: Double
  /// `loading`, `factorizing`, `baselines`, `search`, `training`, `evaluating`, `writing`.
  package var phase: String
  /// A sentence: "generation 4 of 100".
  package var detail: String
  /// Best score so far, in the task's metric.
  package var best: Double?
  package var etaSeconds: Double?

  package init(fraction: Double, phase: String, detail: String, best: Double? = nil, etaSeconds: Double? = nil) {
    self.fraction = fraction
    self.phase = phase
    self.detail = detail
    self.best = best
    self.etaSeconds = etaSeconds
  }
}
