import Digests
import Experts
import Multipliers
import Registry
import StrictJSON
import SystemSupport
import WorkerProtocol

/// What a pair needs now: the experts that take part, and the digest of everything the mixture will depend on.
struct MixtureNeed {
  var task: TaskRecord
  var model: ModelRecord
  var experts: [ExpertVersion]
  var inputs: String
}

extension Steward {
  // MARK: - What is needed

  /// Nil where no active expert of the model may take part.
  func need(_ task: TaskRecord, on model: ModelRecord, options: JSONObject) -> MixtureNeed? {
    guard let facts = model.readyFacts else { return nil }
    let named = (options["experts"] ?? task.current.settings["experts"])?.arrayValue?.compactMap(\.stringValue)
    let experts = snapshot.experts.compactMap(\.activeVersion).filter { version in
      sameName(version.model, model.name) && version.modelDigest == facts.digest
        && version.kind != ExpertKind.dispatcher.rawValue
        && named.map { $0.contains { sameName($0, version.name) } } ?? true
    }
    guard !experts.isEmpty else { return nil }
    let parts =
      ["task \(task.current.digest)", "model \(facts.digest)"]
      + experts.map { "expert \($0.name)@\($0.version) \($0.digest)" }
    let inputs = SHA256.digest(Array(parts.joined(separator: "\n").utf8)).description
    return MixtureNeed(task: task, model: model, experts: experts, inputs: inputs)
  }

  /// What a user asked of the search of this pair, which a recomputation asks again.
  func standingOptions(_ pair: Pair) -> JSONObject { snapshot.mixture(pair)?.mixture.options ?? [:] }

  // MARK: - Freshness

  /// Compares every pair's mixture with what the pair needs now: marks what is stale, and puts its search on the list
  /// of what is due when things have been quiet for a while. Called after every change that a mixture may depend on.
  func reconcile() {
    for task in snapshot.tasks {
      for model in snapshot.models(of: task) {
        attempt("compare a mixture with its inputs") { () throws(RegistryError) in try reconcile(task, model) }
      }
    }
    reconcileChecks()
  }

  private func reconcile(_ task: TaskRecord, _ model: ModelRecord) throws(RegistryError) {
    let pair = Pair(task: task.name, model: model.name)
    let served = snapshot.mixture(pair)
    guard let need = need(task, on: model, options: standingOptions(pair)) else {
      if let served {
        let causes = try causes(served, task, model, [])
        try mark(served, (["no expert of model '\(model.name)' is active"] + causes).joined(separator: "; "))
      }
      try stopOutdated(pair, task, model)
      return debounce.settle(pair)
    }
    if let served {
      if served.mixture.inputs == need.inputs {
        try mark(served, nil)
        try stopOutdated(pair, task, model)
        return debounce.settle(pair)
      }
      try mark(served, try causes(served, task, model, need.experts).joined(separator: "; "))
    }
    if try isUnderWay(pair, need) { return debounce.settle(pair) }
    if try hasFailed(pair, need) { return debounce.settle(pair) }
    debounce.changed(pair, at: .now)
  }

  /// Nil: fresh again. What is said already is not said again.
  private func mark(_ served: ServedMixture, _ reason: String?) throws(RegistryError) {
    guard served.staleReason != reason else { return }
    let pair = served.mixture.pair
    try change { () throws(RegistryError) in
      var detail: JSONObject = ["model": .string(pair.model)]
      if let reason { detail["reason"] = .string(reason) }
      let sequence = try catalogue.record(
        reason == nil ? "mixture.fresh" : "mixture.stale", pair.task, detail, now: .now)
      try catalogue.setStale(pair, reason: reason, generation: sequence)
    }
  }

  /// Every difference between what a mixture was made of and what its pair needs now, in words and with versions.
  private func causes(
    _ served: ServedMixture, _ task: TaskRecord, _ model: ModelRecord, _ experts: [ExpertVersion]
  ) throws(RegistryError) -> [String] {
    let record = served.mixture.record
    var causes: [String] = []
    if let digest = record["task_digest"]?.stringValue, digest != task.current.digest {
      let before = try catalogue.revision(ofTask: task.name, digest: digest)
      causes.append(
        "the task's files have changed (revision \(before.map { "\($0)" } ?? "?") to \(task.current.revision))")
    }
    if let digest = record["base_digest"]?.stringValue, let now = model.facts?.digest, digest != now {
      causes.append("the model has changed (\(shortDigest(digest)) to \(shortDigest(now)))")
    }
    var before: [(name: String, version: Int)] = []
    for expert in record["experts"]?.arrayValue ?? [] {
      if let name = expert["name"]?.stringValue { before.append((name, expert["version"]?.intValue ?? 0)) }
    }
    for expert in experts {
      if let old = before.first(where: { sameName($0.name, expert.name) }) {
        guard old.version != expert.version else { continue }
        let isBack = try catalogue.aliasMoves(expert.name, limit: 1).first?.action == .rollback
        causes.append(
          isBack
            ? "'\(expert.name)' was rolled back from version \(old.version) to \(expert.version)"
            : "'\(expert.name)' is now at version \(expert.version) (was \(old.version))")
      } else {
        causes.append("'\(expert.name)' is a new expert (version \(expert.version))")
      }
    }
    for old in before where !experts.contains(where: { sameName($0.name, old.name) }) {
      let state = snapshot.expert(old.name)?.version(old.version)?.state
      let how =
        switch state {
        case .retired: "was retired"
        case .quarantined: "was quarantined by a check"
        case .active, .candidate, .superseded, nil: "takes no part any more"
        }
      causes.append("'\(old.name)' (version \(old.version)) \(how)")
    }
    // Digests of what has the same names and versions: a restored catalogue, or a task that names other experts.
    return causes.isEmpty ? ["its inputs have changed"] : causes
  }

  private func shortDigest(_ digest: String) -> String { String(digest.prefix(15)) }

  /// A search with these very inputs is queued or running. One with options of its own counts where its inputs stand.
  private func isUnderWay(_ pair: Pair, _ need: MixtureNeed) throws(RegistryError) -> Bool {
    for ticket in queue.live(target: Self.target(pair)) {
      let job = try catalogue.job(ticket.id)
      let own = self.need(need.task, on: need.model, options: job.options)
      if own?.inputs == ticket.inputs { return true }
    }
    return false
  }

  /// Where nothing is to be searched, what searches for inputs that have gone stops at its next generation. Where something
  /// is, its search takes the place of the older ones.
  private func stopOutdated(_ pair: Pair, _ task: TaskRecord, _ model: ModelRecord) throws(RegistryError) {
    for ticket in queue.live(target: Self.target(pair)) {
      let job = try catalogue.job(ticket.id)
      guard need(task, on: model, options: job.options)?.inputs != ticket.inputs else { continue }
      try cancel(ticket.id, reason: Self.outdated)
    }
  }

  private static let outdated = "its inputs are not those of the task any more"

  /// The same search has failed, or a user has cancelled it: it is not tried again until something changes.
  private func hasFailed(_ pair: Pair, _ need: MixtureNeed) throws(RegistryError) -> Bool {
    guard let last = try catalogue.newestJob(target: Self.target(pair)), last.inputs == need.inputs else {
      return false
    }
    return last.state == .failed
      || last.state == .cancelled && last.error?["message"]?.stringValue != Self.outdated
  }

  /// Things have been quiet: begins the search, unless it is not needed any more.
  func adaptIfNeeded(_ pair: Pair) {
    attempt("begin a search") { () throws(RegistryError) in
      guard let task = snapshot.task(pair.task), let model = snapshot.model(pair.model) else { return }
      let options = standingOptions(pair)
      guard let need = need(task, on: model, options: options) else { return }
      let served = snapshot.mixture(pair)
      if served?.mixture.inputs == need.inputs { return }
      if try isUnderWay(pair, need) { return }
      let reason = served?.staleReason ?? "the task has no mixture yet"
      try adapt(need, options: options, who: "t2d", reason: reason)
    }
  }

  /// Begins at once what waits for quiet: whoever called `sync` has said that this was all.
  func stopWaiting() {
    for pair in debounce.takeDue(at: .now + configuration.debounce.limit + configuration.debounce.quiet) {
      adaptIfNeeded(pair)
    }
  }

  // MARK: - Searching

  static func target(_ pair: Pair) -> String { "adapt\0\(pair.task)\0\(pair.model)" }

  @discardableResult
  func adapt(_ need: MixtureNeed, options: JSONObject, who: String, reason: String) throws(RegistryError) -> Int64 {
    let pair = Pair(task: need.task.name, model: need.model.name)
    let search = try search(of: need, options: options)
    let work = JobWork.adapt(
      AdaptSpec(
        model: reference(need.model), task: reference(need.task), experts: need.experts.map { reference($0) },
        search: search, vectorsPath: store.stagingPath("mixture")))
    debounce.settle(pair)
    return try submit(
      JobRecord(
        kind: work.kind, key: "\(Self.target(pair))\0\(need.inputs)\0\(search.json.jsonText)",
        target: Self.target(pair), inputs: need.inputs, task: pair.task, model: pair.model, spec: work.spec,
        options: options, who: who, reason: reason, created: .now))
  }

  /// How a task is searched: the configuration, under what the task's file says, under what is asked for.
  func search(of need: MixtureNeed, options: JSONObject) throws(RegistryError) -> SearchSpec {
    var search = configuration.search
    var own = need.task.current.settings["search"]?.objectValue ?? [:]
    let elite = own["elite"]?.doubleValue
    own["elite"] = nil
    do throws(ObjectReaderError) {
      try search.overlay(own, path: "task '\(need.task.name)': search")
      var asked = options
      asked["experts"] = nil
      if let method = asked["search"] {
        asked["search"] = nil
        asked["method"] = method
      }
      try search.overlay(asked, path: "")
    } catch {
      throw .conflict(error.description)
    }
    // Never more than there are: the share is at most 1, and a population has two.
    if let elite { search.elites = max(2, Int(elite * Double(search.population))) }
    return search
  }

  func reference(_ model: ModelRecord) -> ModelReference {
    ModelReference(path: model.path, digest: model.facts?.digest ?? "", cacheDirectory: store.factorizations)
  }

  func reference(_ task: TaskRecord) -> TaskReference {
    TaskReference(name: task.name, path: task.current.path, digest: task.current.digest)
  }

  func reference(_ version: ExpertVersion) -> ExpertReference {
    ExpertReference(
      name: version.name, version: version.version, digest: version.digest, path: store.path(version.blob))
  }

  // MARK: - What a search found

  /// Publishes a search's result and returns what the job shows of it.
  func adapted(_ job: JobRecord, _ result: AdaptResult) throws -> JSONValue {
    guard let taskName = job.task, let modelName = job.model, let inputs = job.inputs,
      let task = snapshot.task(taskName), let model = snapshot.model(modelName), let signature = model.signature
    else { throw RegistryError.conflict("the task or the model of the search is gone") }
    let pair = Pair(task: taskName, model: modelName)
    // A daemon that was killed between the mixture and the end of its job runs the job again: what it published stands.
    if let known = try catalogue.mixture(ofJob: job.id) { return .object(known.record) }
    let spec = try AdaptSpec(decodingJob: job.spec)
    guard result.vectorsPath == spec.vectorsPath else {
      throw RegistryError.conflict("the worker wrote '\(result.vectorsPath)' instead of '\(spec.vectorsPath)'")
    }
    // Checked like any other expert: what is served is what a client can use.
    let vectors = try ExpertFile.read(path: result.vectorsPath, fileName: taskName + ".safetensors")
      .validated(against: signature)
    let blob = try store.publish(staged: result.vectorsPath)

    let record = record(
      result, spec: spec, job: job.id, base: spec.model.digest, inputs: inputs,
      digest: vectors.contentDigest.description)
    let isCurrent = need(task, on: model, options: job.options)?.inputs == inputs
    if !isCurrent, let served = snapshot.mixture(pair), served.staleReason == nil {
      // It came to its end before it could be stopped; what is served is made of what there is now.
      log.info("a mixture of inputs that have gone is not served", ["job": job.id])
      return .object(record)
    }
    let mixture = MixtureRevision(
      pair: pair, revision: 0, job: job.id, inputs: inputs, record: record, blob: blob, options: job.options,
      reason: job.reason, added: .now)
    try change { () throws(RegistryError) in
      let sequence = try catalogue.record(
        "mixture.published", taskName,
        [
          "model": .string(modelName), "job": .integer(job.id), "served": .string(result.served),
          "alpha": record["alpha"] ?? .null, "reason": .string(job.reason),
        ], now: .now)
      try catalogue.publish(
        mixture, generation: sequence, staleReason: isCurrent ? nil : "its inputs changed during the search")
    }
    log.info("mixture", ["task": taskName, "model": modelName, "served": result.served, "job": job.id])
    return .object(record)
  }

  private func record(
    _ result: AdaptResult, spec: AdaptSpec, job: Int64, base: String, inputs: String, digest: String
  ) -> JSONObject {
    var alpha = JSONObject()
    for (expert, values) in zip(result.experts, result.alpha) {
      alpha[expert.name] =
        values.count == 1 && result.granularity == .vector
        ? .float(values[0]) : .array(values.map { .float($0) })
    }
    var record: JSONObject = [
      "alpha": .object(alpha), "granularity": .string(result.granularity.rawValue),
      "mix": .string(result.mix.rawValue), "rescale": .string(result.rescale.rawValue),
    ]
    if result.granularity != .vector { record["units"] = JSONValue(result.units) }
    record["experts"] = .array(
      result.experts.map {
        ["name": .string($0.name), "version": JSONValue($0.version), "digest": .string($0.digest)]
      })
    record["scores"] = result.scoresJSON
    record["served"] = .string(result.served)
    record["served_because"] = .string(result.servedBecause)
    record["digest"] = .string(digest)
    record["task_digest"] = .string(spec.task.digest)
    record["base_digest"] = .string(base)
    record["inputs_digest"] = .string(inputs)
    record["template"] = .string(result.template)
    var search = result.search.json.objectValue ?? [:]
    search["kernel"] = .string(result.kernel)
    search["job"] = .integer(job)
    record["search"] = .object(search)
    record["eval_items"] = result.evalItems?.json
    if !result.warnings.isEmpty { record["warnings"] = JSONValue(result.warnings) }
    return record
  }
}

extension AdaptSpec {
  /// Of a stored job.
  init(decodingJob spec: JSONValue) throws {
    guard case .adapt(let adapt) = try JobWork(kind: "adapt", spec: spec) else {
      throw RegistryError.conflict("the job's spec is not that of a search")
    }
    self = adapt
  }
}
