package import Records
package import Settings
package import StrictJSON

/// A long piece of work: one runs at a time, in its own thread of the worker.
package struct JobStart: WorkerMessage {
  package var job: Int64
  @Flattened package var work: JobWork
  /// The entries of `job.journal` that an interrupted run of this job left, in order; the run goes on after them.
  package var journal: [JSONValue]

  package init(job: Int64, work: JobWork, journal: [JSONValue] = []) {
    self.job = job
    self.work = work
    self.journal = journal
  }
}

/// What a job does. Specs are records: one that an older t2d queued lacks what came later, and has its default.
package enum JobWork: WorkerMessage {
  /// Result: `AdaptResult`.
  case adapt(AdaptSpec)
  /// Result: Evaluation's `EvaluationResult` as JSON (`n`, the metrics, `ci95`, `items`, …) with `split`, `kernel` and
  /// `seconds`; where pass one chose the weights also `labels`, and each item's `label`.
  case evaluate(EvaluateSpec)
  /// Result: a line for each column with its interval and paired tests, and what each said of every row.
  case compare(CompareSpec)
  /// Result: what every search found, by the folds and on the eval rows.
  case sweep(SweepSpec)
  /// Result: `CheckResult`.
  case check(CheckSpec)
  /// Result: for every strategy a confusion matrix and the items.
  case dispatchEvaluate(DispatchEvaluateSpec)
  /// Result: how the training went; the expert is the file at the spec's `expertPath`.
  case train(TrainSpec)
  /// Result: `ModelFacts`.
  case inspect(path: String, cacheDirectory: String)

  package var kind: String { name.rawValue }

  /// What a daemon may store with a queued job.
  package var spec: JSONValue { RecordWriter.json(body) }

  package init(kind: String, spec: JSONValue) throws(WorkerProtocolError) {
    try self.init(decoding: ["kind": .string(kind), "spec": spec])
  }
}

extension JobWork {
  private enum Kind: String, Choice { case adapt, evaluate, compare, sweep, check, dispatch, train, inspect }
  private enum CodingKeys: String, CodingKey { case kind, spec }

  private struct Inspection: Record {
    @Setting() var path: String
    @Setting() var cacheDirectory: String
    init() {}
  }

  private var name: Kind {
    switch self {
    case .adapt: .adapt
    case .evaluate: .evaluate
    case .compare: .compare
    case .sweep: .sweep
    case .check: .check
    case .dispatchEvaluate: .dispatch
    case .train: .train
    case .inspect: .inspect
    }
  }

  private var body: any Record {
    switch self {
    case .adapt(let spec): return spec
    case .evaluate(let spec): return spec
    case .compare(let spec): return spec
    case .sweep(let spec): return spec
    case .check(let spec): return spec
    case .dispatchEvaluate(let spec): return spec
    case .train(let spec): return spec
    case .inspect(let path, let cacheDirectory):
      var spec = Inspection()
      (spec.path, spec.cacheDirectory) = (path, cacheDirectory)
      return spec
    }
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    func spec<Spec: Record>(_ type: Spec.Type = Spec.self) throws -> Spec {
      try container.decode(type, forKey: .spec)
    }
    switch try container.decode(Kind.self, forKey: .kind) {
    case .adapt: self = .adapt(try spec())
    case .evaluate: self = .evaluate(try spec())
    case .compare: self = .compare(try spec())
    case .sweep: self = .sweep(try spec())
    case .check: self = .check(try spec())
    case .dispatch: self = .dispatchEvaluate(try spec())
    case .train: self = .train(try spec())
    case .inspect:
      let spec = try spec(Inspection.self)
      self = .inspect(path: spec.path, cacheDirectory: spec.cacheDirectory)
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(name, forKey: .kind)
    try container.encode(body, forKey: .spec)
  }
}

/// A task as the daemon keeps it: the read-only copy of the file or directory that the user dropped.
package struct TaskReference: WorkerMessage {
  package var name: String
  package var path: String
  @EmptyWhenAbsent package var digest: String

  package init(name: String, path: String, digest: String) {
    self.name = name
    self.path = path
    self.digest = digest
  }
}

/// Find the mixture of these experts that serves this task best.
package struct AdaptSpec: Record {
  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  @Setting() package var experts: [ExpertReference]
  @Setting package var search = SearchSettings()
  /// Where the mixed multipliers are written (a path in the daemon's staging directory; it hashes and publishes).
  @Setting() package var vectorsPath: String
  /// Whether the eval file, if there is one, is scored after the search.
  @Setting package var evaluates = true

  package init() {}

  package init(
    model: ModelReference, task: TaskReference, experts: [ExpertReference], search: SearchSettings, vectorsPath: String,
    evaluates: Bool = true
  ) {
    self.model = model
    self.task = task
    self.experts = experts
    self.search = search
    self.vectorsPath = vectorsPath
    self.evaluates = evaluates
  }
}

/// Score a task's rows under some weights, item by item: the same for all rows, or those of each row's label.
package struct EvaluateSpec: Record {
  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  @Flattened package var weights = RowWeights.fixed(.base)
  @Setting package var split = RowSplit.automatic
  /// At most so many rows, the first ones.
  @Setting() package var limit: Int?

  package init() {}

  package init(
    model: ModelReference, task: TaskReference, weights: RowWeights, split: RowSplit = .automatic, limit: Int? = nil
  ) {
    self.model = model
    self.task = task
    self.weights = weights
    self.split = split
    self.limit = limit
  }
}
