package import RPCProtocol
import SystemSupport
import WorkerProtocol

/// All that readers see, at one moment: immutable, and so read on any thread without waiting.
///
/// The catalogue's thread makes a new one after each commit and publishes it; only then does it answer the client that
/// asked for the change, so whoever got an answer finds it in the next snapshot. One shares with the one before it
/// whatever did not change, and is made in a time that does not depend on how much that is.
package final class Snapshot: Sendable {
  let contents: SnapshotContents
  /// The number of the last event that it knows of.
  package let generation: Int64
  /// The model that a request without one means; nil where several are there and none is the default.
  package let defaultModel: String?
  private let derived = Mutex(Derived())

  init(_ contents: SnapshotContents, generation: Int64, configuredModel: String?) {
    self.contents = contents
    self.generation = generation
    let ready = contents.models.filter { $0.state == .ready }
    let configured = contents.models.first { model in configuredModel.map { sameName($0, model.name) } ?? false }
    defaultModel = configured?.name ?? (ready.count == 1 ? ready.first?.name : nil)
  }

  /// What stands before the catalogue is open.
  package static let empty = Snapshot(SnapshotContents(), generation: 0, configuredModel: nil)

  package var models: [ModelRecord] { contents.models }
  package var experts: SortedChunks<ExpertRecord> { contents.experts }
  package var tasks: SortedChunks<TaskRecord> { contents.tasks }
  package var mixtures: SortedChunks<ServedMixture> { contents.mixtures }
  /// Dropped files with their state.
  package var ingested: SortedChunks<IngestRecord> { contents.ingested }
  /// Jobs that are not at their end, oldest first.
  package var jobs: SortedChunks<JobRecord> { contents.jobs }
  /// Pairs whose newest search failed or was cancelled, with that.
  package var failedSearches: [Pair: FailedSearch] { contents.failedSearches }
  /// What checks found, oldest first.
  package var checks: SortedChunks<CheckRecord> { contents.checks }
  /// Files of the store that are not what was stored, by their paths there.
  package var damage: [String: Damage] { contents.damage }
  /// The experts that may take part in mixtures now.
  package var activeExperts: ActiveExperts { contents.activeExperts }

  /// The same with other states of dropped files, which are stored nowhere.
  package func showing(_ records: some Sequence<IngestRecord>, configuredModel: String?) -> Snapshot {
    var contents = contents
    for record in records { contents.set(record, at: record.place) }
    return Snapshot(contents, generation: generation, configuredModel: configuredModel)
  }

  /// The answer to `mixture.get` in bytes; nil where the task or the mixture is unknown, or no model is decided.
  package func answer(task: String, model: String?) -> PreparedMixture? {
    guard let model = model ?? modelOf(task: task) else { return nil }
    return contents.answers[Pair(task: task, model: model)]
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
  package func expert(_ name: String) -> ExpertRecord? { experts[Name(name)] }
  package func task(_ name: String) -> TaskRecord? { tasks[Name(name)] }
  package func mixture(_ pair: Pair) -> ServedMixture? { mixtures[pair] }
  /// The dropped file of a name.
  package func ingested(_ directory: IngestRecord.Directory, _ file: String) -> IngestRecord? {
    ingested[IngestRecord.Place(directory, file)]
  }

  /// The checks of a version, oldest first.
  package func checks(of expert: String, version: Int) -> [CheckRecord] {
    let first = CheckPlace(expert: Name(expert), version: version, id: 0)
    return contents.checksByVersion.after(first)
      .prefix { $0.version == version && $0.expert == first.expert }.compactMap { checks[$0.id] }
  }

  /// The mixtures of a task on all models.
  package func mixtures(ofTask task: String) -> SortedChunks<ServedMixture>.SubSequence {
    contents.mixtures(ofTask: task)
  }

  // MARK: - What is found out once, where somebody asks

  private struct Derived {
    var searches: [Pair: [JobRecord]]?
    var active: [ActiveExperts.Base: [ExpertVersion]] = [:]
  }

  /// The live searches of a pair, oldest first.
  package func searches(of pair: Pair) -> [JobRecord] {
    derived.withLock { derived in
      if let searches = derived.searches { return searches[pair] ?? [] }
      var searches: [Pair: [JobRecord]] = [:]
      for job in jobs where job.kind == AdaptSpec.kind {
        if let task = job.task, let model = job.model {
          searches[Pair(task: task, model: model), default: []].append(job)
        }
      }
      derived.searches = searches
      return searches[pair] ?? []
    }
  }

  /// The active experts of a base, by name: those that `activeExperts` counts.
  package func activeVersions(of base: ActiveExperts.Base) -> [ExpertVersion] {
    derived.withLock { derived in
      if let known = derived.active[base] { return known }
      let versions = activeExperts.names(of: base).compactMap { experts[$0]?.activeVersion }
      derived.active[base] = versions
      return versions
    }
  }
}

extension Snapshot {
  package func damage(of version: ExpertVersion) -> Damage? { damage.isEmpty ? nil : damage[version.blob.file] }
  package func damage(of served: ServedMixture) -> Damage? { damage.isEmpty ? nil : damage[served.mixture.blob.file] }
  package func damage(of task: TaskRecord) -> Damage? { damage.isEmpty ? nil : damage[task.current.file] }
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
