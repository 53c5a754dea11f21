import Settings
import Experts
import Multipliers
import Records
import Registry
import Results
import RPCProtocol
import StrictJSON
import SystemSupport
import WorkerProtocol

/// Checks: which are due by themselves, and what follows from a verdict.
extension Coordinator {
  // MARK: - What is due

  /// Queues the checks of the versions that came and of the models that were added: each once, behind every search.
  /// A version is checked on the model it is bound to, and where it is active on every other one of the same shapes.
  func reconcileChecks(after changes: CatalogueChanges) {
    guard configuration.checks.onArrival else { return }
    var due: [JobRecord] = []
    for version in versionsToCheck(after: changes) {
      guard case .success(let task) = snapshot.taskToCheck(version), snapshot.damage(of: version) == nil,
        snapshot.damage(of: task) == nil
      else { continue }
      for model in snapshot.models where model.state == .ready {
        guard let kind = snapshot.kindOfCheck(version, on: model) else { continue }
        writer.attempt("look for a check") { () throws(RegistryError) in
          guard try !isChecked(version, kind, on: model) else { return }
          due.append(
            checkJob(
              version, kind, on: model, task: task, options: [:], who: "t2d",
              reason: kind == .shuffle ? "a new version" : "a model of the same shapes"))
        }
      }
    }
    guard !due.isEmpty else { return }
    writer.attempt("queue checks") { () throws(RegistryError) in try jobs.submit(due) }
  }

  /// Those whose check may have become due: all of them where a model changed, and else those that changed themselves, and
  /// those that name a task that did.
  private func versionsToCheck(after changes: CatalogueChanges) -> [ExpertVersion] {
    if changes.isEverything || changes.models { return snapshot.experts.flatMap(\.versionsInPlay) }
    let changed = changes.experts.keys.sorted().compactMap { snapshot.expert($0.text) }.flatMap(\.versionsInPlay)
    guard !changes.tasks.isEmpty else { return changed }
    return changed
      + snapshot.experts.lazy.flatMap(\.versionsInPlay).filter { version in
        [version.task, version.label].contains { $0.map { changes.tasks.contains(Name($0)) } ?? false }
          && changes.experts[Name(version.name)] == nil
      }
  }

  /// Checked, about to be, or tried and not succeeded: what failed once is left to a person.
  private func isChecked(_ version: ExpertVersion, _ kind: CheckKind, on model: ModelRecord) throws(RegistryError)
    -> Bool
  {
    let isRecorded = snapshot.checks(of: version.name, version: version.version).contains { check in
      check.kind == kind && check.modelDigest == model.facts?.digest
    }
    if isRecorded { return true }
    return try catalogue.hasJob(target: Self.target(version, kind, on: model))
  }

  private static func target(_ version: ExpertVersion, _ kind: CheckKind, on model: ModelRecord) -> String {
    "\(CheckSpec.kind)\0\(kind.rawValue)\0\(version.name)\0\(version.version)\0\(model.facts?.digest ?? "")"
  }

  /// Queues one check. `options` may hold `seeds`, `rows` and `seed`, over those of the configuration.
  @discardableResult
  func check(
    _ version: ExpertVersion, _ kind: CheckKind, on model: ModelRecord, task: TaskRecord, options: JSONObject,
    who: String, reason: String
  ) throws(RegistryError) -> Int64 {
    try jobs.submit(checkJob(version, kind, on: model, task: task, options: options, who: who, reason: reason))
  }

  private func checkJob(
    _ version: ExpertVersion, _ kind: CheckKind, on model: ModelRecord, task: TaskRecord, options: JSONObject,
    who: String, reason: String
  ) -> JobRecord {
    let defaults = configuration.checks
    let spec = CheckSpec(
      kind: kind, model: reference(model), task: reference(task), expert: reference(version),
      shuffles: options["seeds"]?.intValue ?? defaults.seeds,
      seed: options["seed"]?.integerValue.map { UInt64($0) } ?? defaults.seed,
      rows: options["rows"]?.intValue ?? defaults.rows)
    let target = Self.target(version, kind, on: model)
    return JobRecord(
      spec, key: target + "\0" + spec.json.jsonText, target: target, priority: JobQueue.yieldingPriority,
      task: task.name, model: model.name, options: options, who: who, reason: reason, created: .now)
  }

  // MARK: - What a check found

  /// Stores a verdict and does what the policy says; returns what the job shows of it.
  fileprivate func checked(_ job: JobRecord, _ spec: CheckSpec, _ result: CheckResult) throws -> JSONValue {
    guard let modelName = job.model, let taskName = job.task,
      let version = snapshot.expert(spec.expert.name)?.version(spec.expert.version)
    else { throw RegistryError.conflict("the expert, the task or the model of the check is gone") }
    let first = result.decisive
    let action = action(on: version, job, result, first.verdict)
    let record = CheckRecord(
      kind: result.kind, expert: version.name, version: version.version, model: modelName,
      modelDigest: spec.model.digest, task: taskName, taskDigest: spec.task.digest, job: job.id,
      verdict: first.verdict, passes: result.passes, action: action, summary: result.summary, added: .now)
    let id = try writer.change { () throws(RegistryError) -> Int64 in
      let (id, isNew) = try catalogue.addCheck(record)
      guard isNew else { return id }
      try catalogue.record(
        "check.done", version.name,
        [
          "check": .integer(id), "kind": .string(result.kind.rawValue), "version": JSONValue(version.version),
          "model": .string(modelName), "task": .string(taskName), "verdict": .string(first.verdict.rawValue),
          "p": .number(first.versusShuffles.p), "effect": .number(first.versusShuffles.effect),
          "passes": .bool(result.passes), "action": .string(action.rawValue), "job": .integer(job.id),
          "reason": .string(
            "\(result.kind.rawValue) check on '\(modelName)', task '\(taskName)': \(first.verdict.rawValue)"),
        ], now: .now)
      try act(action, on: version, check: id, record)
      return id
    }
    let about = "\(version.name)@\(version.version)"
    if action == .warn, first.verdict == .noBetterThanShuffled {
      log.warning(
        "an expert is no better than its shuffles",
        ["expert": about, "model": modelName, "task": taskName, "check": id])
    } else {
      log.info(
        "check", ["expert": about, "kind": result.kind.rawValue, "verdict": first.verdict.rawValue, "check": id])
    }
    var shown = result
    (shown.action, shown.id) = (action, id)
    return shown.json
  }

  /// The policy acts on checks that t2d queued itself, on the model that the version is bound to, on rows that were held
  /// out: what a person asks for informs that person, and how a version does on another base says nothing of this one.
  private func action(
    on version: ExpertVersion, _ job: JobRecord, _ result: CheckResult, _ verdict: CheckVerdict
  ) -> CheckAction {
    guard job.who == "t2d", result.split == .eval, let model = job.model, sameName(model, version.model) else {
      return .warn
    }
    let action = configuration.checks.policy[verdict]
    switch action {
    case .warn: return .warn
    case .promote:
      // Only what waits: an older version than the active one was superseded on purpose.
      let expert = snapshot.expert(version.name)
      let waits = version.state == .candidate && expert?.newest?.version == version.version
      return waits && (!version.isForeign || result.passes) ? .promote : .warn
    case .quarantine: return version.state == .quarantined ? .warn : .quarantine
    }
  }

  private func act(
    _ action: CheckAction, on version: ExpertVersion, check id: Int64, _ record: CheckRecord
  ) throws(RegistryError) {
    let why = "check \(id): \(record.verdict.rawValue) on task '\(record.task)'"
    switch action {
    case .warn: break
    case .promote: try promote(version.name, to: version.version, .promote, who: "t2d", why: why)
    case .quarantine:
      let reason = Quarantine(
        kind: record.verdict.rawValue, check: id, checkKind: record.kind.rawValue, task: record.task,
        model: record.model)
      let move = try catalogue.quarantine(
        version.name, version: version.version, reason: reason, who: "t2d", why: why, now: .now)
      var detail = RecordWriter.object(reason)
      detail["version"] = JSONValue(version.version)
      detail["who"] = "t2d"
      detail["reason"] = .string(why)
      if let move {
        detail["from"] = JSONValue(version.version)
        detail["to"] = move.to.map { JSONValue($0) } ?? .null
      }
      try catalogue.record("expert.quarantined", version.name, detail, now: .now)
    }
  }
}

extension CheckSpec: HandledJob {
  func finished(_ job: JobRecord, _ result: CheckResult, on coordinator: Coordinator) throws -> JSONValue {
    try coordinator.checked(job, self, result)
  }
}

extension ExpertRecord {
  /// The versions that a check may still change something for: the active one, and a newest that waits.
  var versionsInPlay: [ExpertVersion] {
    var versions = [activeVersion].compactMap { $0 }
    if let newest, newest.state == .candidate { versions.append(newest) }
    return versions.filter { $0.kind != ExpertKind.dispatcher.rawValue }
  }
}

extension Snapshot {
  /// The task on which a version is checked: the one its file names, else the one of its label's name; nothing is
  /// proven on rows without an eval file. Else why there is none.
  func taskToCheck(_ version: ExpertVersion) -> Result<TaskRecord, NoTaskToCheck> {
    guard version.kind != ExpertKind.dispatcher.rawValue else { return .failure(.init("a dispatcher has no task")) }
    var names = [version.task, version.label].compactMap { $0 }
    if names.count == 2, sameName(names[0], names[1]) { names.removeLast() }
    guard !names.isEmpty else {
      return .failure(.init("its file names neither a task (t2.task) nor a label (t2.label)"))
    }
    let known = names.compactMap { task($0) }
    guard !known.isEmpty else {
      let listed = names.map { "'\($0)'" }.joined(separator: " or ")
      return .failure(.init("no task \(listed) is registered, which its file names"))
    }
    guard let task = known.first(where: { $0.current.evalRows > 0 }) else {
      return .failure(.init("task '\(known[0].name)' has no eval rows; add eval.jsonl to its directory"))
    }
    guard task.current.scoring != .code else {
      return .failure(.init("task '\(task.name)' is scored by running code, which no check does by itself"))
    }
    return .success(task)
  }

  struct NoTaskToCheck: Error {
    var reason: String
    init(_ reason: String) { self.reason = reason }
  }

  /// What a version's check on a model is; nil where the two do not go together.
  func kindOfCheck(_ version: ExpertVersion, on model: ModelRecord) -> CheckKind? {
    guard let facts = model.readyFacts else { return nil }
    if sameName(version.model, model.name) {
      guard version.modelDigest == facts.digest else { return nil }
      // One that was made for another base has its transfer to this one to prove.
      return version.isForeign ? .transfer : .shuffle
    }
    guard version.state == .active, facts.digest != version.modelDigest, let home = self.model(version.model)?.facts
    else { return nil }
    guard firstDifference(home.targets, facts.targets) == nil else { return nil }
    // What its vectors are of is not known here: by itself only what fits whatever they are of.
    let factored = MultiplierLayout(facts.targets)
    let fits = home.targets.allSatisfy { target in
      !target.isFactored || factored.index(of: target.name).map { factored.matrices[$0].isFactored } ?? false
    }
    return fits ? .transfer : nil
  }

  /// Whether a transfer check has shown that a version may be used on a model.
  func hasPassed(_ version: ExpertVersion, on model: ModelRecord) -> Bool {
    let last = checks(of: version.name, version: version.version).last { check in
      check.kind == .transfer && check.modelDigest == model.facts?.digest
    }
    return last?.passes ?? false
  }

  /// Why nothing has checked a version and nothing will by itself; nil where a check is there or on its way.
  func whyUnchecked(_ version: ExpertVersion, isOnArrival: Bool) -> String? {
    if !checks(of: version.name, version: version.version).isEmpty { return nil }
    let isLive = jobs.contains { job in
      job.spec(as: CheckSpec.self).map {
        sameName($0.expert.name, version.name) && $0.expert.version == version.version
      } ?? false
    }
    if isLive { return nil }
    if case .failure(let problem) = taskToCheck(version) { return problem.reason }
    if !isOnArrival { return "checks.on_arrival is false; run one with: t2ctl check shuffle \(version.name)" }
    guard let model = model(version.model), kindOfCheck(version, on: model) != nil else {
      return "model '\(version.model)' is not what the version was bound to"
    }
    switch version.state {
    case .active, .candidate: return "its check failed; see: t2ctl job list"
    case .superseded, .retired, .quarantined: return "it is \(version.state.rawValue)"
    }
  }
}

/// The first target matrix in which two models differ, and how; nil where experts of one fit the other.
func firstDifference(_ mine: [TargetMatrix], _ theirs: [TargetMatrix]) -> (matrix: String, problem: String)? {
  for matrix in mine {
    guard let other = theirs.first(where: { sameName($0.name, matrix.name) }) else {
      return (matrix.name, "it has no '\(matrix.name)'")
    }
    if other.rows != matrix.rows || other.columns != matrix.columns {
      return (
        matrix.name,
        "its '\(matrix.name)' is \(other.rows) x \(other.columns), the expert's is \(matrix.rows) x \(matrix.columns)"
      )
    }
  }
  return theirs.first { other in !mine.contains { sameName($0.name, other.name) } }.map {
    ($0.name, "it has a '\($0.name)', which the expert's model has not")
  }
}
