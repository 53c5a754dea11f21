import Evaluation
import Experts
import Records
import Registry
import RPCProtocol
import RPCServer
import Settings
import WorkerProtocol

extension TrainStart: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let (name, label) = (asked.name, asked.label)
    guard ExpertName.isValid(name) else {
      throw RPCError(.invalidParams, "invalid expert name \(quoted(name)): a name has \(ExpertName.rule)")
    }
    if let label, !ExpertName.isValidLabel(label) {
      throw RPCError(
        .invalidParams, "invalid label \(quoted(label)): a label has \(ExpertName.rule), and is not 'other'")
    }
    guard asked.dispatcher != (asked.task != nil) else {
      throw RPCError(
        .invalidParams,
        "an expert is trained on a 'task', a dispatcher on those of the active experts: give one of the two")
    }
    guard label == nil || !asked.dispatcher else {
      throw RPCError(.invalidParams, "a dispatcher gives labels and has none: leave 'label' out")
    }
    let settings = try TrainingSettings(asked)
    let kind: ExpertKind = asked.dispatcher ? .dispatcher : .expert
    // LoRA makes no expert, so its name takes none.
    let known = settings.method == .svf ? snapshot.expert(name)?.activeVersion : nil
    if let known, known.kind != kind.rawValue {
      throw RPCError(
        .conflict, "'\(name)' is of kind '\(known.kind)', and this would make it a \(kind.rawValue)",
        hint: "choose another name")
    }
    let runsCode = service.configuration.code.isEnabled
    let model: ModelRecord
    let plan: TrainingPlan
    if let task = asked.task {
      let task = try snapshot.resolveReadableTask(task)
      model = try snapshot.resolveModel(asked.model, task: task.name)
      plan = try TrainingPlan(task, runsCode: runsCode)
      try settings.check(asked.given, scoring: task.current.scoring, of: "task '\(task.name)'")
    } else {
      model = try snapshot.resolveModel(asked.model)
      plan = try service.dispatcherPlan(on: model)
      try settings.check(asked.given, scoring: .choice, of: "a dispatcher")
    }
    let partner = try snapshot.partner(asked, settings, runsCode: runsCode)
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let job = try answering { () throws(RegistryError) in
        try coordinator.train(
          name, label: label, plan, settings, isEstimate: asked.dryRun, partner: partner, on: model, who: who)
      }
      reply.succeed(
        Result(
          job: job, name: name, kind: kind.rawValue, model: model.name,
          sources: plan.sources.map { .init(task: $0.task.name, label: $0.label, rows: $0.task.current.trainRows) },
          replaces: (asked.dryRun ? nil : known).map { "\($0.name)@\($0.version)" }, warnings: plan.warnings))
    }
  }
}

extension Service {
  /// A dispatcher learns from the training rows of the active experts' tasks, each with its expert's label, and as `other`
  /// from those of the tasks that no expert is for. It is asked as strategy `classifier` asks.
  fileprivate func dispatcherPlan(on model: ModelRecord) throws(RPCError) -> TrainingPlan {
    let dispatch = try resolveDispatch(.prompt, DecisionParameters(), model: model)
    return try TrainingPlan(dispatch, snapshots.get())
  }
}

extension Snapshot {
  /// The second task that LoRA is trained on, where one is given.
  fileprivate func partner(
    _ asked: TrainStart.Parameters, _ settings: TrainingSettings, runsCode: Bool
  ) throws(RPCError) -> TaskRecord? {
    guard let name = asked.mixWith else { return nil }
    guard settings.method == .lora, settings.divergenceWeights.count == 1 else {
      throw RPCError(
        .invalidParams, "'mix_with' is for the method 'lora', and of a single weight 'kl'",
        hint: "experts are mixed by searches; see task.adapt")
    }
    let task = try resolveReadableTask(name)
    guard !sameName(task.name, asked.task ?? "") else {
      throw RPCError(.invalidParams, "'mix_with' is the task itself: mixing needs another one")
    }
    let record = try TrainingPlan(task, runsCode: runsCode).sources[0].task
    try settings.check(asked.given, scoring: record.current.scoring, of: "task '\(record.name)'")
    return record
  }
}

/// Whose training rows an expert will be made of.
struct TrainingPlan {
  struct Source {
    var label: String?
    var task: TaskRecord
  }

  /// Nil for an expert of a task.
  var dispatch: DispatchSpec?
  var sources: [Source]
  var warnings: [String] = []

  fileprivate init(_ task: TaskRecord, runsCode: Bool) throws(RPCError) {
    guard task.current.scoring != .code || runsCode else {
      throw RPCError(.invalidParams, EvaluationError.codeExecutionDisabled(task: task.name).description)
    }
    guard task.current.trainRows > 0 else {
      throw RPCError(
        .badTask, "task '\(task.name)' has no training rows",
        hint: "add train.jsonl to its directory; few-shot and eval rows are not trained on")
    }
    sources = [Source(label: nil, task: task)]
  }

  fileprivate init(_ dispatch: ResolvedDispatch, _ snapshot: Snapshot) throws(RPCError) {
    self.dispatch = dispatch.spec
    sources = []
    var taken: [String] = []
    for label in dispatch.labels {
      let names = [label.version.task, label.version.label].compactMap { $0 }
      let own = names.compactMap { snapshot.task($0) }.first { $0.current.trainRows > 0 }
      taken += names
      guard let own, !sources.contains(where: { sameName($0.task.name, own.name) }) else {
        warnings.append("there are no training rows for the label '\(label.label)', so it will hardly be given")
        continue
      }
      sources.append(Source(label: label.label, task: own))
    }
    let others = snapshot.tasks.filter { task in
      task.current.trainRows > 0 && !taken.contains { sameName($0, task.name) }
    }
    sources += others.map { Source(label: DispatchSpec.other, task: $0) }
    if others.isEmpty {
      warnings.append("no task without an expert has training rows, so the label 'other' will hardly be given")
    }
    guard Set(sources.compactMap(\.label)).count > 1 else {
      throw RPCError(
        .badTask,
        "a dispatcher needs training rows of two labels or more, and there are those of "
          + (sources.first?.label.map { "'\($0)'" } ?? "none"),
        hint:
          "add train.jsonl to the directories of the experts' tasks (t2.task), and to one of another task for 'other'")
    }
  }
}

extension TrainingSettings {
  /// Rows for each label of a dispatcher where a request does not say: sorting needs no more.
  static let dispatcherRows = 300

  /// What was asked, with what follows from it.
  fileprivate init(_ asked: TrainStart.Parameters) throws(RPCError) {
    self = asked.settings
    try checkMethod(asked)
    if method == .lora {
      rank = rank ?? Self.standardRank
      if modules.isEmpty { modules = ["q_proj", "v_proj"] }
    }
    if rows == nil, asked.dispatcher { rows = Self.dispatcherRows }
  }

  /// Refuses what would have no effect under the method.
  private func checkMethod(_ asked: TrainStart.Parameters) throws(RPCError) {
    if method == .svf {
      guard rank == nil else {
        throw RPCError(
          .invalidParams, "'rank' is for the method 'lora'; an expert has one number per singular value")
      }
    } else {
      let given = asked.given
      for name in ["dispatcher", "label", "top", "param_space"] where given.contains(name) {
        guard name != "dispatcher" || asked.dispatcher else { continue }
        throw RPCError(
          .invalidParams,
          "'\(name)' is for experts, and the method 'lora' makes none: it is trained for comparison only")
      }
    }
  }

  /// Refuses what would have no effect on rows of that kind.
  fileprivate func check(_ given: Set<String>, scoring: Scoring, of learner: String) throws(RPCError) {
    guard scoring == .choice || method == .svf else {
      throw RPCError(.invalidParams, "method 'lora' needs rows with choices, and those of \(learner) have none")
    }
    if scoring == .choice {
      for name in ["samples", "temperature", "baseline"] where given.contains(name) {
        throw RPCError(
          .invalidParams,
          "the rows of \(learner) have choices, whose expected reward is a sum and is not sampled: '\(name)' would "
            + "change nothing", hint: "leave it out")
      }
    } else if objective == .crossEntropy {
      throw RPCError(
        .invalidParams, "'cross-entropy' is over choices, and the rows of \(learner) have none",
        hint: "use reinforce or next-token")
    }
  }
}
