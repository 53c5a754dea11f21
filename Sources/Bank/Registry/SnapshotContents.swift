/// What a snapshot holds, and how the next one comes from it: by the rows that changed.
struct SnapshotContents: Sendable {
  var models: [ModelRecord] = []
  var experts = SortedChunks<ExpertRecord>()
  var tasks = SortedChunks<TaskRecord>()
  var mixtures = SortedChunks<ServedMixture>()
  var ingested = SortedChunks<IngestRecord>()
  var jobs = SortedChunks<JobRecord>()
  var failedSearches: [Pair: FailedSearch] = [:]
  var checks = SortedChunks<CheckRecord>()
  /// Before what it is of is set: nothing damaged is counted or answered with.
  var damage: [String: Damage] = [:]

  // What follows from these, kept with each change.
  private(set) var answers: [Pair: PreparedMixture] = [:]
  private(set) var activeExperts = ActiveExperts()
  private(set) var checksByVersion = SortedChunks<CheckPlace>()

  /// On all models.
  func mixtures(ofTask task: String) -> SortedChunks<ServedMixture>.SubSequence {
    mixtures.after(Pair(task: task, model: "")).prefix { sameName($0.mixture.pair.task, task) }
  }

  /// `before` is the damage that was known when the expert was set last.
  mutating func set(_ expert: ExpertRecord?, at name: Name, before: [String: Damage]) {
    let old = experts[name]?.activeVersion
    if let expert { experts.set(expert) } else { experts.remove(name) }
    let new = expert?.activeVersion
    activeExperts.replace(
      old.flatMap { before[$0.blob.file] == nil ? $0 : nil }, by: new.flatMap { damage[$0.blob.file] == nil ? $0 : nil }
    )
  }

  mutating func set(_ task: TaskRecord?, at name: Name) {
    if let task { tasks.set(task) } else { tasks.remove(name) }
  }

  /// `path` says where a blob lies.
  mutating func set(_ served: ServedMixture?, at pair: Pair, path: (BlobReference) -> String) {
    if let served { mixtures.set(served) } else { mixtures.remove(pair) }
    answers[pair] = served.flatMap { served in
      damage[served.mixture.blob.file] == nil ? PreparedMixture(served, path: path(served.mixture.blob)) : nil
    }
  }

  mutating func set(_ record: IngestRecord?, at place: IngestRecord.Place) {
    if let record { ingested.set(record) } else { ingested.remove(place) }
  }

  /// Nil: it is at its end.
  mutating func set(_ job: JobRecord?, at id: Int64) {
    if let job { jobs.set(job) } else { jobs.remove(id) }
  }

  mutating func set(_ check: CheckRecord?, at id: Int64) {
    if let before = checks.remove(id) { checksByVersion.remove(CheckPlace(before)) }
    guard let check else { return }
    checks.set(check)
    checksByVersion.set(CheckPlace(check))
  }
}

/// Where a check stands among those of its version.
struct CheckPlace: Placed, Comparable {
  var expert: Name
  var version: Int
  var id: Int64

  init(expert: Name, version: Int, id: Int64) {
    self.expert = expert
    self.version = version
    self.id = id
  }

  init(_ check: CheckRecord) { self.init(expert: Name(check.expert), version: check.version, id: check.id) }

  var place: CheckPlace { self }

  static func < (a: CheckPlace, b: CheckPlace) -> Bool {
    a.expert == b.expert ? (a.version, a.id) < (b.version, b.id) : a.expert < b.expert
  }
}

extension Catalogue {
  /// A snapshot of what stands, also within a transaction. What did not change since `previous`, which was the last one
  /// that was made, is taken from it. `path` says where a blob lies.
  package func snapshot(
    after previous: Snapshot?, configuredModel: String?, path: (BlobReference) -> String
  ) throws(RegistryError) -> Snapshot {
    let contents: SnapshotContents
    if let previous, !changes.isEverything {
      contents = try changed(previous.contents, path)
    } else {
      contents = try everything(path)
    }
    let snapshot = Snapshot(contents, generation: try lastSequence(), configuredModel: configuredModel)
    if isChanging { remember(changes) }
    changes = CatalogueChanges()
    return snapshot
  }

  private func everything(_ path: (BlobReference) -> String) throws(RegistryError) -> SnapshotContents {
    var contents = SnapshotContents()
    contents.models = try models()
    contents.damage = try damage()
    for expert in try experts() { contents.set(expert, at: expert.place, before: [:]) }
    for task in try tasks() { contents.set(task, at: task.place) }
    for served in try servedMixtures() { contents.set(served, at: served.place, path: path) }
    for var record in try ingested() {
      // As it is when a file has just been taken: its name is in memory once.
      let version = record.version.flatMap { contents.experts[Name(record.subject ?? "")]?.version($0) }
      if let source = version?.source, sameName(source, record.file) { record.file = source }
      contents.set(record, at: record.place)
    }
    for job in try liveJobs() { contents.set(job, at: job.id) }
    contents.failedSearches = try failedSearches()
    for check in try checks() { contents.set(check, at: check.id) }
    return contents
  }

  private func changed(
    _ previous: SnapshotContents, _ path: (BlobReference) -> String
  ) throws(RegistryError) -> SnapshotContents {
    var contents = previous
    if changes.models { contents.models = try models() }
    for file in changes.damage { contents.damage[file] = try damage(of: file) }
    for (name, versions) in changes.experts {
      contents.set(
        try expert(name.text, after: contents.experts[name], changed: versions), at: name, before: previous.damage)
    }
    for name in changes.tasks { contents.set(try task(name.text), at: name) }
    // A mixture says of which revision of its task it is made, which may have another number now.
    let ofTasks = changes.tasks.flatMap { contents.mixtures(ofTask: $0.text).map(\.place) }
    for pair in changes.mixtures.union(ofTasks) { contents.set(try servedMixture(pair), at: pair, path: path) }
    for place in changes.files { contents.set(try ingested(place), at: place) }
    for id in changes.jobs {
      // What was rolled back may be none.
      let job = try storedJob(id)
      contents.set(job?.state.isFinal ?? true ? nil : job, at: id)
      if let job, let (pair, failed) = try newestSearch(after: job) { contents.failedSearches[pair] = failed }
    }
    for id in changes.checks { contents.set(try check(id), at: id) }
    return contents
  }
}
