import Multipliers
import Registry
import RPCProtocol
import Records
import StrictJSON
import WorkerProtocol

// What the names in a request stand for.

extension Snapshot {
  /// The model that a request means: the one it names, else the task's, the default, or the only one.
  func resolveModel(_ name: String?, task: String? = nil) throws(RPCError) -> ModelRecord {
    if let name {
      return try ready(try registeredModel(name))
    }
    if let task = task.flatMap({ self.task($0) }), let bound = task.boundModel {
      guard let model = model(bound) else {
        throw RPCError(
          .unknownModel, "task '\(task.name)' is for model \(quoted(bound)), and there is no model of that name",
          hint: (nearestName(to: bound, among: models.map(\.name)).map { "did you mean '\($0)'? " } ?? "")
            + "add that model, or name another in task.json5 or with: t2ctl task register \(task.name) --model NAME")
      }
      return try ready(model)
    }
    if let name = defaultModel, let model = model(name) { return try ready(model) }
    guard let first = models.first else {
      throw RPCError(.noModel, "no model is registered", hint: "register one with: t2ctl model add PATH")
    }
    let ready = models.filter { $0.state == .ready }
    if models.count == 1 || ready.isEmpty { return try self.ready(first) }
    throw RPCError(
      .ambiguousModel, "none of the models \(models.map(\.name).joined(separator: ", ")) is the default",
      hint: "name one with --model, or set default_model in t2d.json5")
  }

  private func ready(_ model: ModelRecord) throws(RPCError) -> ModelRecord {
    switch model.state {
    case .ready: return model
    case .inspecting:
      throw RPCError(
        .noModel, "model '\(model.name)' is still being read", hint: "wait for its job: t2ctl job list")
    case .failed:
      throw RPCError(.badModel, "model '\(model.name)' could not be read: \(model.problem ?? "")")
    }
  }

  func resolveTask(_ name: String) throws(RPCError) -> TaskRecord {
    if let task = task(name) { return task }
    throw RPCError(.unknownTask, "there is no task \(quoted(name))", hint: hint(name, tasks.map(\.name), "task"))
  }

  /// NAME is the active version, else the newest; NAME@V that one.
  func resolveExpert(_ text: String) throws(RPCError) -> (ExpertRecord, ExpertVersion) {
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
    let name = parts.first ?? text
    guard let expert = expert(name), let newest = expert.newest else {
      throw RPCError(
        .unknownExpert, "there is no expert \(quoted(name))", hint: hint(name, experts.map(\.name), "expert"))
    }
    guard parts.count == 2 else { return (expert, expert.activeVersion ?? newest) }
    // One spelling of each: not 01, not +1.
    guard let number = Int(parts[1]), sameName("\(number)", parts[1]), let version = expert.version(number) else {
      throw RPCError(
        .unknownExpert, "expert '\(name)' has no version \(quoted(parts[1]))",
        hint: "its newest is \(name)@\(newest.version)")
    }
    return (expert, version)
  }

  /// NAME@V, and nothing that could be another version tomorrow.
  func resolveVersion(_ text: String) throws(RPCError) -> ExpertVersion {
    guard text.contains("@") else {
      throw RPCError(
        .invalidParams, "'expert' is \(quoted(text)), and must name the version too",
        hint: "such as \(quoted(text + "@1"))")
    }
    return try resolveExpert(text).1
  }

  /// A model in whatever state.
  func registeredModel(_ name: String) throws(RPCError) -> ModelRecord {
    if let model = model(name) { return model }
    throw RPCError(.unknownModel, "there is no model \(quoted(name))", hint: hint(name, models.map(\.name), "model"))
  }

  private func hint(_ name: String, _ known: [String], _ noun: String) -> String {
    nearestName(to: name, among: known).map { "did you mean '\($0)'?" } ?? "see: t2ctl \(noun) list"
  }
}

extension Service {
  /// The weights that a request asks for: one of `expert`, `mixture` (a task's name) and `alpha`, else the base.
  /// `shown` is how the answer names them.
  func resolveWeights(
    expert: String?, mixture task: String?, alpha: JSONObject?, mix: MixRule?, model: ModelRecord
  ) throws(RPCError) -> (weights: Weights, shown: ShownWeights) {
    let given = [("expert", expert != nil), ("mixture", task != nil), ("alpha", alpha != nil)].filter(\.1).map(\.0)
    guard given.count <= 1 else {
      throw RPCError(.invalidParams, "'\(given.joined(separator: "' and '"))' exclude each other")
    }
    let snapshot = snapshots.get()
    if let expert {
      let (_, version) = try snapshot.resolveExpert(expert)
      return (try weights(of: version, on: model), .of(expert: "\(version.name)@\(version.version)"))
    }
    if let task {
      let found = try served(task, model: model.name)
      let vectors = reference(found.mixture)
      return (
        .expert(vectors, rescale: .none),
        .of(mixture: task, digest: vectors.digest, generation: found.generation)
      )
    }
    if let alpha { return (try mixed(alpha, mix: mix, model: model, snapshot), .of(alpha: alpha)) }
    return (.base, .of(expert: nil))
  }

  /// One expert alone.
  func weights(of version: ExpertVersion, on model: ModelRecord) throws(RPCError) -> Weights {
    .expert(try reference(version, on: model), rescale: try rescale(of: [version]))
  }

  private func mixed(
    _ alpha: JSONObject, mix: MixRule?, model: ModelRecord, _ snapshot: Snapshot
  ) throws(RPCError) -> Weights {
    var versions: [ExpertVersion] = []
    var coefficients: [[Float]] = []
    for (name, value) in alpha.members {
      versions.append(try snapshot.resolveExpert(name).1)
      let numbers = value.arrayValue?.compactMap(\.doubleValue) ?? [value.doubleValue ?? 0]
      coefficients.append(numbers.map { Float($0) })
    }
    let counts = Set(coefficients.map(\.count))
    guard counts.count == 1, let count = counts.first, let facts = model.facts else {
      throw RPCError(.badMixture, "the experts have \(counts.sorted()) coefficients; each needs the same number")
    }
    let matrices = facts.targets.count(where: \.isFactored)
    let granularity: Granularity
    switch count {
    case 1: granularity = .vector
    case facts.layers: granularity = .layer
    case matrices: granularity = .matrix
    default:
      throw RPCError(
        .badMixture,
        "\(count) coefficients per expert fit neither the \(facts.layers) layers nor the \(matrices) factored matrices "
          + "of model '\(model.name)'")
    }
    let rescale = try rescale(of: versions)
    let rule = mix ?? .standard(for: rescale)
    var references: [ExpertReference] = []
    for version in versions { references.append(try reference(version, on: model)) }
    return .mixture(
      Weights.Mixture(
        experts: references, granularity: granularity, mix: rule, rescale: rescale, alpha: coefficients))
  }

  private func rescale(of versions: [ExpertVersion]) throws(RPCError) -> Rescale {
    let names = Set(versions.map(\.rescale))
    guard names.count == 1, let rescale = names.first.flatMap({ Rescale(rawValue: $0) }) else {
      throw RPCError(
        .badMixture,
        "the experts disagree on the rescale: "
          + versions.map { "\($0.name) has '\($0.rescale)'" }.joined(separator: ", "))
    }
    return rescale
  }

  private func reference(_ version: ExpertVersion, on model: ModelRecord) throws(RPCError) -> ExpertReference {
    try snapshots.get().requireWhole(version)
    // What a transfer check has passed may be tried there by name; searches mix experts of one base only.
    guard sameName(version.model, model.name) || snapshots.get().hasPassed(version, on: model) else {
      throw RPCError(
        .foreignExpert,
        "expert '\(version.name)@\(version.version)' is one of model '\(version.model)', not of "
          + "'\(model.name)', and no transfer check there has passed",
        hint: "t2ctl check transfer \(version.name)@\(version.version) --to \(model.name)")
    }
    return ExpertReference(
      name: version.name, version: version.version, digest: version.digest, path: paths.store.path(version.blob),
      blob: version.blob.hex)
  }

  /// The mixture of a task, or an error that says how far it is.
  func served(_ task: String, model: String) throws(RPCError) -> ServedMixture {
    let snapshot = snapshots.get()
    let record = try snapshot.resolveTask(task)
    if let found = snapshot.mixture(Pair(task: record.name, model: model)) {
      try snapshot.requireWhole(found)
      return found
    }
    guard let status = snapshot.pairs(of: record).first(where: { sameName($0.pair.model, model) }) else {
      throw RPCError(
        .noMixtureYet, "task '\(task)' is not adapted on model '\(model)'",
        hint: "t2ctl task register \(task) --model \(model) adapts it")
    }
    switch status.state {
    case .waitingForExperts:
      throw RPCError(
        .waitingForExperts,
        record.current.settings["experts"] == nil
          ? "task '\(task)' waits until an expert of model '\(model)' is active"
          : "task '\(task)' waits until an expert that it names is active on model '\(model)'",
        hint: "drop one into \(paths.experts)")
    case .queued, .running:
      throw RPCError(
        .noMixtureYet,
        "task '\(task)' has no mixture on model '\(model)' yet; job \(status.job ?? 0) is searching for one",
        hint: "t2ctl job wait \(status.job ?? 0)", details: ["job": status.job.map { .integer($0) } ?? .null])
    case .pending, .ready, .stale, .failed, .damaged, .waitingForModel:
      throw RPCError(
        .noMixtureYet, "task '\(task)' has no mixture on model '\(model)' yet",
        hint: "its search starts soon, unless it has failed: see t2ctl task show \(task)")
    }
  }
}
