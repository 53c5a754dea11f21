import Experts
import Records
import Registry
import Results
import Settings
import StrictJSON
import SystemSupport
import WorkerProtocol

extension Coordinator {
  // MARK: - Freshness

  private var freshness: Freshness {
    Freshness(
      snapshot: snapshot,
      searches: jobs.searches.map { search in
        var search = search
        search.inputs = search.inputs.map { earlierInputs[$0] ?? $0 }
        return search
      })
  }

  /// At start: finds the searches that an earlier t2d has begun and whose inputs stand, though it wrote them otherwise.
  func recognizeEarlierSearches() {
    for search in jobs.searches {
      guard let inputs = search.inputs, let task = snapshot.task(search.pair.task),
        let model = snapshot.model(search.pair.model),
        let need = snapshot.need(task, on: model, options: search.options), need.inputs != inputs,
        snapshot.earlierInputs(of: need) == inputs
      else { continue }
      earlierInputs[inputs] = need.inputs
    }
  }

  /// Compares every pair's mixture with what the pair needs now: marks what is stale, and puts its search on the list
  /// of what is due when things have been quiet for a while; and queues the checks that are due. Called after every
  /// change that one of them may depend on; where none did, it costs nothing.
  func reconcile() {
    let changes = writer.takeChanges()
    if mayMakeStale(changes) { reconcileMixtures() }
    reconcileChecks(after: changes)
  }

  /// Whether a mixture may depend on what changed. Most dropped files change none of that.
  private func mayMakeStale(_ changes: CatalogueChanges) -> Bool {
    if changes.isEverything || changes.models { return true }
    if !changes.tasks.isEmpty || !changes.mixtures.isEmpty || !changes.jobs.isEmpty { return true }
    return !changes.experts.isEmpty && snapshot.activeExperts != reconciledExperts
  }

  private func reconcileMixtures() {
    reconciledExperts = snapshot.activeExperts
    var marks: [(Pair, reason: String?)] = []
    for action in freshness.actions {
      switch action {
      case .markStale(let pair, let reason): marks.append((pair, reason))
      case .markFresh(let pair): marks.append((pair, nil))
      case .searchDue(let pair): debounce.changed(pair, at: .now)
      case .wait(let pair): debounce.settle(pair)
      case .cancel(let job):
        writer.attempt("cancel a search") { () throws(RegistryError) in try jobs.cancel(job, reason: Freshness.outdated)
        }
      }
    }
    mark(marks)
  }

  /// In one transaction. Without a reason a mixture is fresh again.
  private func mark(_ marks: [(Pair, reason: String?)]) {
    guard !marks.isEmpty else { return }
    writer.attempt("mark mixtures") { () throws(RegistryError) in
      try writer.change { () throws(RegistryError) in
        for (pair, reason) in marks {
          var detail: JSONObject = ["model": .string(pair.model)]
          if let reason { detail["reason"] = .string(reason) }
          let sequence = try catalogue.record(
            reason == nil ? "mixture.fresh" : "mixture.stale", pair.task, detail, now: .now)
          try catalogue.setStale(pair, reason: reason, generation: sequence)
        }
      }
    }
  }

  /// Searches that are begun in one transaction.
  private static let searchesAtOnce = 64

  /// Things have been quiet: begins the searches, but for those that are not needed any more.
  func adaptIfNeeded(_ pairs: Set<Pair>) {
    var left = pairs.sorted()[...]
    while !left.isEmpty {
      let freshness = freshness
      let due = left.prefix(Self.searchesAtOnce).compactMap { freshness.due($0) }
      left = left.dropFirst(Self.searchesAtOnce)
      writer.attempt("begin searches") { () throws(RegistryError) in
        try jobs.submit(
          due.compactMap { due in
            do throws(RegistryError) {
              return try search(due.need, options: due.options, who: "t2d", reason: due.reason)
            } catch {
              // Of this task alone: what its file says about searching is wrong.
              writer.attempt("begin the search of '\(due.need.task.name)'") { () throws(RegistryError) in throw error }
              return nil
            }
          })
      }
    }
  }

  /// Begins at once what waits for quiet: whoever called `sync` has said that this was all.
  func stopWaiting() {
    adaptIfNeeded(debounce.takeDue(at: .now + configuration.debounce.limit + configuration.debounce.quiet))
  }

  // MARK: - Searching

  /// A search among more is stored without them, and has them when it starts: a list of 10,000 is 3 MB, stored and held in
  /// memory for each task that waits.
  static let mostExpertsStored = 256

  /// The experts that the inputs of a search stand for. Where these are not what the task needs any more, the search is of no
  /// use.
  fileprivate func experts(of search: JobRecord) throws(WorkerFault) -> [ExpertReference] {
    guard let task = search.task.flatMap({ snapshot.task($0) }),
      let model = search.model.flatMap({ snapshot.model($0) }),
      let need = snapshot.need(task, on: model, options: search.options), need.inputs == search.inputs
    else { throw WorkerFault(.cancelled, Freshness.outdated) }
    return need.experts.map { reference($0) }
  }

  private static func target(_ pair: Pair) -> String { "\(AdaptSpec.kind)\0\(pair.task)\0\(pair.model)" }

  @discardableResult
  func adapt(_ need: MixtureNeed, options: JSONObject, who: String, reason: String) throws(RegistryError) -> Int64 {
    try jobs.submit(try search(need, options: options, who: who, reason: reason))
  }

  /// The job of a search, which then is not waited for any more.
  private func search(
    _ need: MixtureNeed, options: JSONObject, who: String, reason: String
  ) throws(RegistryError) -> JobRecord {
    let pair = need.pair
    let search = try search(of: need, options: options)
    var spec = AdaptSpec(
      model: reference(need.model), task: reference(need.task), experts: [], search: search,
      vectorsPath: store.stagingPath("mixture"))
    if need.experts.count <= Self.mostExpertsStored {
      spec.experts = need.experts.map { reference($0) }
    } else {
      spec.expertsLeftOut = need.experts.count
    }
    debounce.settle(pair)
    return JobRecord(
      spec, key: "\(Self.target(pair))\0\(need.inputs)\0\(RecordWriter.json(search).jsonText)",
      target: Self.target(pair), inputs: need.inputs, task: pair.task, model: pair.model, options: options, who: who,
      reason: reason, created: .now)
  }

  /// How a task is searched: the configuration, under what the task's file says, under what is asked for.
  func search(of need: MixtureNeed, options: JSONObject) throws(RegistryError) -> SearchSettings {
    let reader = RecordReader(unknownMembers: .refused)
    do throws(RecordError) {
      let own = try reader.read(
        need.task.current.settings["search"] ?? [:], over: configuration.search,
        at: "task '\(need.task.name)': search")
      var asked = options
      asked["experts"] = nil
      if let method = asked["search"] {
        asked["search"] = nil
        asked["method"] = method
      }
      return try reader.read(.object(asked), over: own)
    } catch {
      throw .conflict(error.description)
    }
  }

  func reference(_ model: ModelRecord) -> ModelReference {
    ModelReference(
      path: model.path, engine: model.engine, digest: model.facts?.digest ?? "", cacheDirectory: store.factorizations,
      modules: model.modules)
  }

  func reference(_ task: TaskRecord) -> TaskReference {
    TaskReference(
      name: task.name, path: task.current.path, digest: task.current.digest, files: task.current.files,
      reading: task.current.reading)
  }

  func reference(_ version: ExpertVersion) -> ExpertReference {
    ExpertReference(
      name: version.name, version: version.version, digest: version.digest, path: store.path(version.blob),
      blob: version.blob.hex)
  }

  // MARK: - What a search found

  /// Publishes a search's result and returns what the job shows of it.
  fileprivate func adapted(_ job: JobRecord, _ spec: AdaptSpec, _ result: AdaptResult) throws -> JSONValue {
    guard let taskName = job.task, let modelName = job.model, let inputs = job.inputs.map({ earlierInputs[$0] ?? $0 }),
      let task = snapshot.task(taskName), let model = snapshot.model(modelName), let signature = model.signature
    else { throw RegistryError.conflict("the task or the model of the search is gone") }
    let pair = Pair(task: taskName, model: modelName)
    // A daemon that was killed between the mixture and the end of its job runs the job again: what it published stands.
    if let known = try catalogue.mixture(ofJob: job.id) { return RecordWriter.json(known.record) }
    guard result.vectorsPath == spec.vectorsPath else {
      throw RegistryError.conflict("the worker wrote '\(result.vectorsPath)' instead of '\(spec.vectorsPath)'")
    }
    // Checked like any other expert: what is served is what a client can use.
    let (bytes, content) = try store.read(staged: result.vectorsPath, maximumBytes: ExpertFile.maximumBytes)
    let vectors = try ExpertFile.read(bytes: bytes, fileName: taskName + ".safetensors")
      .validated(against: signature)
    if let written = result.vectorsDigest, content.digest.description != written {
      throw RegistryError.conflict("the vectors in '\(result.vectorsPath)' are not those that the worker wrote")
    }
    let (blob, replaced) = try publish(content)

    var record = result.mixture
    record.digest = vectors.contentDigest.description
    record.inputsDigest = inputs
    record.search.job = job.id
    let isCurrent = snapshot.inputs(of: task, on: model, options: job.options) == inputs
    if !isCurrent, let served = snapshot.mixture(pair), served.staleReason == nil {
      // It came to its end before it could be stopped; what is served is made of what there is now.
      log.info("a mixture whose inputs are gone is not served", ["job": job.id])
      try writer.change { () throws(RegistryError) in
        try noteWhole(blob, inPlaceOf: replaced, from: "job \(job.id)")
      }
      return RecordWriter.json(record)
    }
    let mixture = MixtureRevision(
      pair: pair, revision: 0, job: job.id, inputs: inputs, record: record, blob: blob, options: job.options,
      reason: job.reason, added: .now)
    try writer.change { () throws(RegistryError) in
      try noteWhole(blob, inPlaceOf: replaced, from: "job \(job.id)")
      let sequence = try catalogue.record(
        "mixture.published", taskName,
        [
          "model": .string(modelName), "job": .integer(job.id), "served": .string(record.served),
          "alpha": RecordWriter.json(record.alpha), "reason": .string(job.reason),
        ], now: .now)
      try catalogue.publish(
        mixture, generation: sequence, staleReason: isCurrent ? nil : "its inputs changed during the search")
    }
    log.info("mixture", ["task": taskName, "model": modelName, "served": record.served, "job": job.id])
    return RecordWriter.json(record)
  }
}

extension AdaptSpec: HandledJob {
  func whole(for job: JobRecord, on coordinator: Coordinator) throws(WorkerFault) -> AdaptSpec {
    guard expertsLeftOut != nil else { return self }
    var spec = self
    (spec.experts, spec.expertsLeftOut) = (try coordinator.experts(of: job), nil)
    return spec
  }

  func finished(_ job: JobRecord, _ result: AdaptResult, on coordinator: Coordinator) throws -> JSONValue {
    try coordinator.adapted(job, self, result)
  }

  /// Published, refused, or written by a search that was cancelled: nobody comes back for the file.
  func ended() { _ = try? FileSystem.remove(vectorsPath) }
}
