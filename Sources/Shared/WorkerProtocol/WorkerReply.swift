import Records
package import StrictJSON

/// One line from the worker.
package enum WorkerReply: WorkerMessage {
  case result(id: Int64, JSONValue)
  case fault(id: Int64, WorkerFault)
  case event(WorkerEvent)

  private enum CodingKeys: String, CodingKey { case event, id, result, error }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    guard try container.decodeNil(forKey: .event) else {
      self = .event(try WorkerEvent(from: decoder))
      return
    }
    let id = try container.decode(Int64.self, forKey: .id)
    if let fault = try container.decodeIfPresent(WorkerFault.self, forKey: .error) {
      self = .fault(id: id, fault)
    } else {
      self = .result(id: id, try container.decode(JSONValue.self, forKey: .result))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .result(let id, let result):
      try container.encode(id, forKey: .id)
      try container.encode(result, forKey: .result)
    case .fault(let id, let fault):
      try container.encode(id, forKey: .id)
      try container.encode(fault, forKey: .error)
    case .event(let event): try event.encode(to: encoder)
    }
  }
}

/// What a worker says unasked.
package enum WorkerEvent: WorkerMessage {
  case progress(job: Int64, JobProgress)
  /// To be stored before the next one: a restarted job is handed its entries back.
  case journal(job: Int64, entry: JSONValue)
  case done(job: Int64, result: JSONValue)
  case failed(job: Int64, WorkerFault)
  case cancelled(job: Int64)
  /// What was kept to go on from was not what had been stored, and is made anew; `problem` says what was wrong. `of` is the
  /// path of the model, or of the state.
  case remade(Remade, of: String, problem: String)
  /// Text of one request of a streaming `generate`, which the answer repeats whole.
  case token(id: Int64, request: Int, token: Int32, text: String)
  /// What the first pass of a request of a streaming `generate` came to.
  case decided(id: Int64, request: Int, Decision)
}

/// What the worker keeps for itself.
package enum Remade: String, Choice {
  /// Of a model.
  case factorization
  /// Of a training that was interrupted: it begins anew.
  case training
}

extension WorkerEvent {
  private enum Name: String, Choice {
    case progress = "job.progress"
    case journal = "job.journal"
    case done = "job.done"
    case failed = "job.failed"
    case cancelled = "job.cancelled"
    case remade = "worker.remade"
    case token = "generate.token"
    case decision = "generate.decision"
  }
  private enum CodingKeys: String, CodingKey {
    case event, job, entry, result, error, id, request, token, text, decision, what, of, problem
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    func job() throws -> Int64 { try container.decode(Int64.self, forKey: .job) }
    func id() throws -> Int64 { try container.decode(Int64.self, forKey: .id) }
    func request() throws -> Int { try container.decode(Int.self, forKey: .request) }
    switch try container.decode(Name.self, forKey: .event) {
    case .progress: self = .progress(job: try job(), try JobProgress(from: decoder))
    case .journal:
      self = .journal(job: try job(), entry: try container.decode(JSONValue.self, forKey: .entry))
    case .done: self = .done(job: try job(), result: try container.decode(JSONValue.self, forKey: .result))
    case .failed: self = .failed(job: try job(), try container.decode(WorkerFault.self, forKey: .error))
    case .cancelled: self = .cancelled(job: try job())
    case .remade:
      self = .remade(
        try container.decode(Remade.self, forKey: .what), of: try container.decode(String.self, forKey: .of),
        problem: try container.decode(String.self, forKey: .problem))
    case .token:
      self = .token(
        id: try id(), request: try request(), token: try container.decode(Int32.self, forKey: .token),
        text: try container.decode(String.self, forKey: .text))
    case .decision:
      self = .decided(
        id: try id(), request: try request(), try container.decode(Decision.self, forKey: .decision))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    func begin(_ name: Name, job: Int64) throws {
      try container.encode(name, forKey: .event)
      try container.encode(job, forKey: .job)
    }
    func begin(_ name: Name, id: Int64, request: Int) throws {
      try container.encode(name, forKey: .event)
      try container.encode(id, forKey: .id)
      try container.encode(request, forKey: .request)
    }
    switch self {
    case .progress(let job, let progress):
      try begin(.progress, job: job)
      try progress.encode(to: encoder)
    case .journal(let job, let entry):
      try begin(.journal, job: job)
      try container.encode(entry, forKey: .entry)
    case .done(let job, let result):
      try begin(.done, job: job)
      try container.encode(result, forKey: .result)
    case .failed(let job, let fault):
      try begin(.failed, job: job)
      try container.encode(fault, forKey: .error)
    case .cancelled(let job): try begin(.cancelled, job: job)
    case .remade(let what, let of, let problem):
      try container.encode(Name.remade, forKey: .event)
      try container.encode(what, forKey: .what)
      try container.encode(of, forKey: .of)
      try container.encode(problem, forKey: .problem)
    case .token(let id, let request, let token, let text):
      try begin(.token, id: id, request: request)
      try container.encode(token, forKey: .token)
      try container.encode(text, forKey: .text)
    case .decided(let id, let request, let decision):
      try begin(.decision, id: id, request: request)
      try container.encode(decision, forKey: .decision)
    }
  }
}

/// How far a job is; for people, so no program should steer by it.
package struct JobProgress: WorkerMessage {
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
