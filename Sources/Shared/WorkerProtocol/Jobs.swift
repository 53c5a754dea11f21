import Records
package import Settings
package import StrictJSON

/// A long piece of work: one runs at a time, in its own thread of the worker.
package struct JobStart: Sendable, Equatable {
  package var job: Int64
  package var work: JobWork
  /// The entries of `job.journal` that an interrupted run of this job left, in order; the run goes on after them.
  package var journal: [JSONValue]

  package init(job: Int64, work: JobWork, journal: [JSONValue] = []) {
    self.job = job
    self.work = work
    self.journal = journal
  }

  var json: JSONValue {
    object([
      ("job", .integer(job)), ("kind", .string(work.kind)), ("spec", work.spec), ("journal", .array(journal)),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "params")
    self.init(
      job: Int64(try fields.integer("job")),
      work: try JobWork(kind: try fields.string("kind"), spec: try fields.value("spec")),
      journal: try fields.array("journal"))
  }
}

package enum JobWork: Sendable, Equatable {
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

  package var kind: String {
    switch self {
    case .adapt: "adapt"
    case .evaluate: "evaluate"
    case .compare: "compare"
    case .sweep: "sweep"
    case .check: "check"
    case .dispatchEvaluate: "dispatch"
    case .train: "train"
    case .inspect: "inspect"
    }
  }

  /// What a daemon may store with a queued job.
  package var spec: JSONValue {
    switch self {
    case .adapt(let spec): spec.json
    case .evaluate(let spec): spec.json
    case .compare(let spec): spec.json
    case .sweep(let spec): spec.json
    case .check(let spec): spec.json
    case .dispatchEvaluate(let spec): spec.json
    case .train(let spec): spec.json
    case .inspect(let path, let cache): object([("path", .string(path)), ("cache_directory", .string(cache))])
    }
  }

  package init(kind: String, spec: JSONValue) throws(WorkerProtocolError) {
    switch kind {
    case "adapt": self = .adapt(try AdaptSpec(decoding: spec))
    case "evaluate": self = .evaluate(try EvaluateSpec(decoding: spec))
    case "compare": self = .compare(try CompareSpec(decoding: spec))
    case "sweep": self = .sweep(try SweepSpec(decoding: spec))
    case "check": self = .check(try CheckSpec(decoding: spec))
    case "dispatch": self = .dispatchEvaluate(try DispatchEvaluateSpec(decoding: spec))
    case "train": self = .train(try TrainSpec(decoding: spec))
    case "inspect":
      let fields = try Fields(spec, "spec")
      self = .inspect(path: try fields.string("path"), cacheDirectory: try fields.string("cache_directory"))
    default:
      throw .unknownValue(
        path: "kind", found: kind,
        known: ["adapt", "evaluate", "compare", "sweep", "check", "dispatch", "train", "inspect"])
    }
  }
}

/// A task as the daemon keeps it: the read-only copy of the file or directory that the user dropped.
package struct TaskReference: Sendable, Equatable {
  package var name: String
  package var path: String
  package var digest: String

  package init(name: String, path: String, digest: String) {
    self.name = name
    self.path = path
    self.digest = digest
  }

  var json: JSONValue {
    object([("name", .string(name)), ("path", .string(path)), ("digest", .string(digest))])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "task")
    self.init(
      name: try fields.string("name"), path: try fields.string("path"),
      digest: try fields.optionalString("digest") ?? "")
  }
}

/// Find the mixture of these experts that serves this task best.
package struct AdaptSpec: Sendable, Equatable {
  package var model: ModelReference
  package var task: TaskReference
  package var experts: [ExpertReference]
  package var search: SearchSettings
  /// Where the mixed multipliers are written (a path in the daemon's staging directory; it hashes and publishes).
  package var vectorsPath: String
  /// Whether the eval file, if there is one, is scored after the search.
  package var evaluates: Bool

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

  var json: JSONValue {
    object([
      ("model", model.json), ("task", task.json), ("experts", list(experts, \.json)),
      ("search", RecordWriter.json(search)),
      ("vectors_path", .string(vectorsPath)), ("evaluates", .bool(evaluates)),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "spec")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")),
      task: try TaskReference(decoding: try fields.value("task")),
      experts: try fields.each("experts") { (value, _) throws(WorkerProtocolError) in
        try ExpertReference(decoding: value)
      },
      search: try fields.record("search"),
      vectorsPath: try fields.string("vectors_path"), evaluates: try fields.optionalBool("evaluates") ?? true)
  }
}

/// Score a task's rows under some weights, item by item: the same for all rows, or those of each row's label.
package struct EvaluateSpec: Sendable, Equatable {
  package var model: ModelReference
  package var task: TaskReference
  package var weights: RowWeights
  package var split: RowSplit
  /// At most so many rows, the first ones.
  package var limit: Int?

  package init(
    model: ModelReference, task: TaskReference, weights: RowWeights, split: RowSplit = .automatic, limit: Int? = nil
  ) {
    self.model = model
    self.task = task
    self.weights = weights
    self.split = split
    self.limit = limit
  }

  var json: JSONValue {
    object([
      ("model", model.json), ("task", task.json), weights.member, ("split", .string(split.rawValue)),
      ("limit", limit.map { .integer(Int64($0)) }),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "spec")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")),
      task: try TaskReference(decoding: try fields.value("task")), weights: try fields.rowWeights(),
      split: fields.optional("split") == nil ? .automatic : try fields.name("split"),
      limit: try fields.optionalInteger("limit"))
  }
}
