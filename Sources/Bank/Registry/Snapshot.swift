package import RPCProtocol
import SystemSupport

/// All that readers see, at one moment: immutable, and so read on any thread without waiting.
///
/// The catalogue's thread makes a new one after each commit and publishes it; only then does it answer the client that
/// asked for the change, so whoever got an answer finds it in the next snapshot.
package final class Snapshot: Sendable {
  /// The number of the last event that it knows of.
  package let generation: Int64
  package let models: [ModelRecord]
  package let experts: [ExpertRecord]
  package let tasks: [TaskRecord]
  package let mixtures: [ServedMixture]
  /// Dropped files with their state.
  package let ingested: [IngestRecord]
  /// Jobs that are not at their end, oldest first.
  package let jobs: [JobRecord]
  /// Pairs whose newest search failed or was cancelled, with that.
  package let failedSearches: [Pair: FailedSearch]
  /// What checks found, oldest first.
  package let checks: [CheckRecord]
  /// The model that a request without one means; nil where several are there and none is the default.
  package let defaultModel: String?
  private let answers: [Pair: PreparedMixture]

  /// `path` says where a blob lies.
  /// `previous`, if given, served the same mixtures: its answers are taken as they are.
  package init(
    generation: Int64, models: [ModelRecord], experts: [ExpertRecord], tasks: [TaskRecord], mixtures: [ServedMixture],
    ingested: [IngestRecord], jobs: [JobRecord], failedSearches: [Pair: FailedSearch] = [:], checks: [CheckRecord] = [],
    configuredModel: String?, answersOf previous: Snapshot? = nil,
    path: (BlobReference) -> String
  ) {
    self.generation = generation
    self.models = models
    self.experts = experts
    self.tasks = tasks
    self.mixtures = mixtures
    self.ingested = ingested
    self.jobs = jobs
    self.failedSearches = failedSearches
    self.checks = checks
    let ready = models.filter { $0.state == .ready }
    let configured = models.first { model in configuredModel.map { sameName($0, model.name) } ?? false }
    defaultModel = configured?.name ?? (ready.count == 1 ? ready.first?.name : nil)
    if let previous {
      answers = previous.answers
    } else {
      var answers: [Pair: PreparedMixture] = [:]
      for served in mixtures { answers[served.mixture.pair] = PreparedMixture(served, path: path(served.mixture.blob)) }
      self.answers = answers
    }
  }

  /// What stands before the catalogue is open.
  package static let empty = Snapshot(
    generation: 0, models: [], experts: [], tasks: [], mixtures: [], ingested: [], jobs: [], configuredModel: nil,
    path: \.hex)

  /// The answer to `mixture.get` in bytes; nil where the task or the mixture is unknown, or no model is decided.
  package func answer(task: String, model: String?) -> PreparedMixture? {
    guard let model = model ?? modelOf(task: task) else { return nil }
    guard let found = answers[Pair(task: task, model: model)] else { return nil }
    // A dictionary compares strings by canonical equivalence; names are bytes.
    return sameName(found.pair.task, task) && sameName(found.pair.model, model) ? found : nil
  }

  /// The model that is meant for a task where the request names none: its own, else the default. It need not be there.
  package func modelOf(task: String) -> String? {
    self.task(task)?.boundModel ?? defaultModel
  }

  /// The models on which a task is adapted: those that are ready, unless it is for one of them.
  package func models(of task: TaskRecord) -> [ModelRecord] {
    let bound = task.boundModel
    return models.filter { model in model.state == .ready && bound.map { sameName($0, model.name) } ?? true }
  }

  package func model(_ name: String) -> ModelRecord? { models.first { sameName($0.name, name) } }
  package func expert(_ name: String) -> ExpertRecord? { experts.first { sameName($0.name, name) } }
  package func task(_ name: String) -> TaskRecord? { tasks.first { sameName($0.name, name) } }
  package func mixture(_ pair: Pair) -> ServedMixture? {
    mixtures.first { sameName($0.mixture.pair.task, pair.task) && sameName($0.mixture.pair.model, pair.model) }
  }
}

/// The answer to `mixture.get`, serialised when it was published and not when it is asked for.
package struct PreparedMixture: Sendable {
  package let pair: Pair
  package let generation: Int64
  package let vectorsPath: String
  package let result: RenderedResult<MixtureGet.Result>
  /// For a client that has this generation already.
  package let notModified: RenderedResult<MixtureGet.Result>

  init(_ served: ServedMixture, path: String) {
    pair = served.mixture.pair
    generation = served.generation
    vectorsPath = path
    result = RenderedResult(.served(served.shown(vectorsPath: path)))
    notModified = RenderedResult(.notModified(generation: served.generation))
  }
}

extension ServedMixture {
  /// As `mixture.get` answers.
  package func shown(vectorsPath: String) -> MixtureGet.Served {
    MixtureGet.Served(
      task: mixture.pair.task, model: mixture.pair.model, mixture: mixture.record.brief, staleReason: staleReason,
      generation: generation, created: mixture.added.description,
      vectors: MixtureGet.Vectors(
        path: vectorsPath, digest: "sha256:" + mixture.blob.hex, bytes: mixture.blob.bytes))
  }
}

/// The snapshot that stands now. Any thread reads it; the catalogue's thread replaces it.
package final class CurrentSnapshot: Sendable {
  private let current: Mutex<Snapshot>

  package init(_ snapshot: Snapshot) { current = Mutex(snapshot) }

  package func get() -> Snapshot { current.withLock { $0 } }
  package func publish(_ snapshot: Snapshot) { current.withLock { $0 = snapshot } }
}

extension Catalogue {
  /// A snapshot of what stands after the last commit. What did not change since `previous` is taken from it.
  package func snapshot(
    after previous: Snapshot?, configuredModel: String?, path: (BlobReference) -> String
  ) throws(RegistryError) -> Snapshot {
    func part<Value>(
      _ part: Part, _ old: Value?, _ read: () throws(RegistryError) -> Value
    ) throws(RegistryError) -> Value {
      if let old, !changed.contains(part) { return old }
      return try read()
    }
    let snapshot = Snapshot(
      generation: try lastSequence(), models: try part(.models, previous?.models, models),
      experts: try part(.experts, previous?.experts, experts), tasks: try part(.tasks, previous?.tasks, tasks),
      mixtures: try part(.mixtures, previous?.mixtures, servedMixtures),
      ingested: try part(.ingest, previous?.ingested, ingested), jobs: try part(.jobs, previous?.jobs, liveJobs),
      failedSearches: try part(.jobs, previous?.failedSearches, failedSearches),
      checks: try part(.checks, previous?.checks, checks), configuredModel: configuredModel,
      answersOf: changed.contains(.mixtures) ? nil : previous, path: path)
    changed = []
    return snapshot
  }
}

/// Names are the same where their bytes are; Swift's `==` takes a K for a Kelvin sign.
package func sameName(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }
