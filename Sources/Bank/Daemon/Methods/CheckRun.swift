import Registry
import RPCProtocol
import Records
import Results
import Settings
import StrictJSON
import WorkerProtocol

extension CheckRun: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let snapshot = coordinator.snapshot
      let (_, version) = try snapshot.resolveExpert(asked.expert)
      try snapshot.requireWhole(version)
      let task = try snapshot.resolveTaskToCheck(version, named: asked.task)
      let kind = asked.kind
      let model = try snapshot.resolveModelToCheck(version, kind, named: asked.model)
      let job = try answering { () throws(RegistryError) in
        try coordinator.check(
          version, kind, on: model, task: task, options: asked.options, who: who, reason: "check.run")
      }
      reply.succeed(
        Result(
          job: job, kind: kind, expert: version.name, version: version.version, model: model.name, task: task.name,
          rows: task.current.evalRows > 0 ? .eval : .fewshot))
    }
  }
}

extension CheckList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let wanted = try asked.expert.map { (name) throws(RPCError) in try snapshot.resolveExpert(name).0 }
    func isWanted(_ name: String) -> Bool { wanted.map { sameName($0.name, name) } ?? true }
    let live = snapshot.jobs.compactMap { $0.pendingCheck(service.board.progress(of: $0.id)) }
    var page = try Page(asked.page)
    let pending = try page.rows(of: live.filter { isWanted($0.expert) }, by: { [.number($0.job)] }) { $0 }
    let checks = try page.rows(
      list: 1, of: snapshot.checks.reversed().lazy.filter { isWanted($0.expert) }, by: { [.newest($0.id)] }
    ) { $0.row }
    reply.succeed(Result(checks: checks, pending: pending, next: page.next))
  }
}

extension CheckShow: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let id = asked.check
    guard let check = service.snapshots.get().checks[id] else {
      throw RPCError(.unknownCheck, "there is no check \(id)", hint: "see: t2ctl check list")
    }
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let job = try answering { () throws(RegistryError) in try coordinator.catalogue.job(check.job) }
      let whole = job.result.flatMap { try? CheckResult(decoding: $0) }
      let summary = check.summary
      reply.succeed(
        Result(
          row: check.row, versusShuffles: summary.decisive.versusShuffles, versusBase: summary.decisive.versusBase,
          seed: summary.seed, template: summary.template, kernel: summary.kernel, seconds: summary.seconds,
          byMetric: summary.outcomes, rowIDs: whole?.rowIDs, items: whole?.items))
    }
  }
}

extension CheckRun.Parameters {
  /// What was asked beyond the configuration.
  fileprivate var options: JSONObject { givenMembers.keeping(["seeds", "rows", "seed"]) }
}

extension JSONObject {
  /// The members of these names.
  func keeping(_ names: Set<String>) -> JSONObject {
    var kept = JSONObject()
    for (name, value) in members where names.contains(name) { kept[name] = value }
    return kept
  }
}

extension Snapshot {
  /// The task that a request names, else that of the expert; few-shot rows will do where a person asks.
  fileprivate func resolveTaskToCheck(_ version: ExpertVersion, named name: String?) throws(RPCError) -> TaskRecord {
    if let name { return try resolveReadableTask(name) }
    switch taskToCheck(version) {
    case .success(let task): return task
    case .failure(let problem):
      let known = [version.task, version.label].compactMap { $0 }.compactMap { task($0) }
      if let task = known.first(where: { $0.current.scoring != .code }) { return task }
      throw RPCError(
        .unknownTask, "'\(version.name)@\(version.version)' has no task to be checked on: \(problem.reason)",
        hint: "name one with --task")
    }
  }

  /// The model of a check, where the expert's matrices fit it.
  fileprivate func resolveModelToCheck(
    _ version: ExpertVersion, _ kind: CheckKind, named name: String?
  ) throws(RPCError) -> ModelRecord {
    let home = try resolveModel(version.model)
    guard kind == .transfer else {
      if let name, !sameName(name, home.name) {
        throw RPCError(
          .invalidParams, "'\(version.name)@\(version.version)' is of model '\(home.name)', not of \(quoted(name))",
          hint: "on another model it is a transfer check")
      }
      return home
    }
    guard let name else {
      throw RPCError(
        .invalidParams, "a transfer check needs 'model', the one to check on", hint: "see: t2ctl model list")
    }
    let model = try resolveModel(name)
    if sameName(model.name, home.name), !version.isForeign {
      throw RPCError(
        .conflict, "'\(version.name)@\(version.version)' is of model '\(home.name)' itself",
        hint: "t2ctl check shuffle \(version.name)")
    }
    guard let mine = home.facts, let theirs = model.facts else { return model }
    if let difference = firstDifference(mine.targets, theirs.targets) {
      throw RPCError(
        .incompatibleShapes,
        "'\(version.name)@\(version.version)' cannot be used on model '\(model.name)': \(difference.problem)",
        hint: "experts go to models of the same shapes only", details: ["matrix": .string(difference.matrix)])
    }
    return model
  }
}

extension CheckRecord {
  /// A line of `check.list` and of `expert.show`.
  var row: CheckRow {
    let found = summary.decisive
    return CheckRow(
      check: id, kind: kind, expert: expert, version: version, model: model, task: task, verdict: verdict,
      passes: passes, metric: found.metric, n: summary.count, split: summary.split, p: found.versusShuffles.p,
      effect: found.versusShuffles.effect, ci95: found.versusShuffles.ci95, scores: found.scores, action: action,
      job: job, time: added.description)
  }
}

extension JobRecord {
  /// A check that is on its way; nil for another job.
  fileprivate func pendingCheck(_ progress: JobProgress?) -> CheckList.Pending? {
    guard let check = spec(as: CheckSpec.self) else { return nil }
    return CheckList.Pending(
      job: id, kind: check.kind, expert: check.expert.name, version: check.expert.version, model: model, task: task,
      state: state, fraction: progress?.fraction ?? 0, reason: reason)
  }
}
