import Evaluation
import Experts
import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import WorkerProtocol

extension Service {
  static let trainStart: Handler = { (service, params, reply) throws(RPCError) in
    let snapshot = service.snapshots.get()
    let name = params["name"]?.stringValue ?? ""
    guard ExpertName.isValid(name) else {
      throw RPCError(.invalidParams, "an expert cannot be called \(quoted(name)): a name has \(ExpertName.rule)")
    }
    let label = params["label"]?.stringValue
    if let label, !ExpertName.isValidLabel(label) {
      throw RPCError(
        .invalidParams, "\(quoted(label)) is no label: one has \(ExpertName.rule), and is not 'other'")
    }
    let isDispatcher = params["dispatcher"]?.boolValue ?? false
    guard isDispatcher != (params["task"] != nil) else {
      throw RPCError(
        .invalidParams,
        "an expert is trained on a 'task', a dispatcher on those of the active experts: give one of the two")
    }
    guard label == nil || !isDispatcher else {
      throw RPCError(.invalidParams, "a dispatcher gives labels and has none: leave 'label' out")
    }
    let settings = try TrainSettings(params)
    let kind: ExpertKind = isDispatcher ? .dispatcher : .expert
    // LoRA makes no expert, so its name takes none.
    let known = settings.method == "svf" ? snapshot.expert(name)?.activeVersion : nil
    if let known, known.kind != kind.rawValue {
      throw RPCError(
        .conflict, "'\(name)' is of kind '\(known.kind)', and this would make it a \(kind.rawValue)",
        hint: "choose another name")
    }
    let model: ModelRecord
    let plan: TrainingPlan
    if isDispatcher {
      model = try snapshot.resolveModel(params["model"]?.stringValue)
      plan = try service.dispatcherPlan(on: model)
      try settings.check(params, scoring: "choice", of: "a dispatcher")
    } else {
      let task = try snapshot.resolveTask(params["task"]?.stringValue ?? "")
      model = try snapshot.resolveModel(params["model"]?.stringValue, task: task.name)
      plan = try TrainingPlan(task, runsCode: service.configuration.code.isEnabled)
      try settings.check(params, scoring: task.current.scoring, of: "task '\(task.name)'")
    }
    let partner = try snapshot.partner(params, settings, runsCode: service.configuration.code.isEnabled)
    let isEstimate = params["dry_run"]?.boolValue ?? false
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let job = try answering { () throws(RegistryError) in
        try coordinator.train(
          name, label: label, plan, settings, isEstimate: isEstimate, partner: partner, on: model, who: who)
      }
      reply.succeed([
        "job": .integer(job), "name": .string(name), "kind": .string(kind.rawValue), "model": .string(model.name),
        "sources": plan.shown, "replaces": JSONValue((isEstimate ? nil : known).map { "\($0.name)@\($0.version)" }),
        "warnings": JSONValue(plan.warnings),
      ])
    }
  }

  /// A dispatcher learns from the training rows of the active experts' tasks, each with its expert's label, and as `other`
  /// from those of the tasks that no expert is for. It is asked as strategy `classifier` asks.
  fileprivate func dispatcherPlan(on model: ModelRecord) throws(RPCError) -> TrainingPlan {
    let dispatch = try resolveDispatch("prompt", [:], model: model)
    return try TrainingPlan(dispatch, snapshots.get())
  }
}

extension Snapshot {
  /// The second task that LoRA is trained on, where one is given.
  fileprivate func partner(
    _ params: JSONObject, _ settings: TrainSettings, runsCode: Bool
  ) throws(RPCError) -> TaskRecord? {
    guard let name = params["mix_with"]?.stringValue else { return nil }
    guard settings.method == "lora", settings.divergenceWeights.count == 1 else {
      throw RPCError(
        .invalidParams, "'mix_with' is of method 'lora', with one weight of the divergence",
        hint: "experts are mixed by searches; see task.adapt")
    }
    let task = try resolveTask(name)
    guard !sameName(task.name, params["task"]?.stringValue ?? "") else {
      throw RPCError(.invalidParams, "'mix_with' is the task itself: mixing needs another one")
    }
    let record = try TrainingPlan(task, runsCode: runsCode).sources[0].task
    try settings.check(params, scoring: record.current.scoring, of: "task '\(record.name)'")
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
    guard task.current.scoring != "code" || runsCode else {
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
      warnings.append("no task that no expert is for has training rows, so 'other' will hardly be given")
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

  fileprivate var shown: JSONValue {
    .array(
      sources.map {
        ["task": .string($0.task.name), "label": JSONValue($0.label), "rows": JSONValue($0.task.current.trainRows)]
      })
  }
}

extension TrainSettings {
  /// Of a dispatcher so many rows for each label, unless a request says otherwise: sorting needs no more.
  static let dispatcherRows = 300

  fileprivate init(_ params: JSONObject) throws(RPCError) {
    self.init()
    if let value = params["objective"]?.stringValue { objective = value }
    if let value = params["steps"]?.intValue { steps = value }
    if let value = params["batch"]?.intValue { batch = value }
    if let value = params["learning_rate"]?.doubleValue { learningRate = value }
    if let value = params["warm_up"]?.intValue { warmUp = value }
    if let value = params["clip"]?.doubleValue { clip = value }
    if let value = params["weight_decay"]?.doubleValue { weightDecay = value }
    if let value = params["kl"]?.arrayValue { divergenceWeights = value.compactMap(\.doubleValue) }
    if let value = params["kl_direction"]?.stringValue { divergenceDirection = value }
    if let value = params["samples"]?.intValue { samples = value }
    if let value = params["temperature"]?.doubleValue { temperature = value }
    if let value = params["baseline"]?.stringValue { baseline = value }
    if let value = params["seed"]?.integerValue { seed = UInt64(value) }
    if let value = params["validation_rows"]?.intValue { validationRows = value }
    if let value = params["validate_every"]?.intValue { validationInterval = value }
    if let value = params["patience"]?.intValue { patience = value }
    if let value = params["modules"]?.arrayValue { modules = value.compactMap(\.stringValue) }
    if let value = params["layers"]?.stringValue { layers = try Self.layers(value) }
    components = params["top"]?.intValue
    if let value = params["param_space"]?.stringValue { parameterSpace = value }
    if Set(divergenceWeights).count < divergenceWeights.count {
      throw RPCError(.invalidParams, "'kl' names a weight twice")
    }
    if let value = params["method"]?.stringValue { method = value }
    if let value = params["rank"]?.intValue { rank = value }
    try checkMethod(params)
    if method == "lora", modules.isEmpty { modules = ["q_proj", "v_proj"] }
    rows = params["rows"]?.intValue ?? (params["dispatcher"] == true ? Self.dispatcherRows : nil)
  }

  /// `4` or `0-9`.
  private static func layers(_ text: String) throws(RPCError) -> ClosedRange<Int> {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard let first = ends[0], let last = ends.count == 2 ? ends[1] : first, ends.count <= 2, first >= 0, first <= last
    else {
      throw RPCError(
        .invalidParams, "'layers' is one layer or a range of them, and not \(quoted(text))", hint: "such as 4 or 0-9")
    }
    return first...last
  }

  /// Refuses what would have no effect under the method.
  private func checkMethod(_ params: JSONObject) throws(RPCError) {
    if method == "svf" {
      guard params["rank"] == nil else {
        throw RPCError(
          .invalidParams, "'rank' is that of method 'lora'; an expert has a number for each singular value")
      }
    } else {
      for name in ["dispatcher", "label", "top", "param_space"] where params[name] != nil && params[name] != false {
        throw RPCError(
          .invalidParams, "'\(name)' is of experts, and method 'lora' makes none: it is trained for comparison only")
      }
    }
  }

  /// Refuses what would have no effect on rows of that kind.
  fileprivate func check(_ params: JSONObject, scoring: String, of learner: String) throws(RPCError) {
    guard scoring == "choice" || method == "svf" else {
      throw RPCError(.invalidParams, "method 'lora' needs rows with choices, and those of \(learner) have none")
    }
    if scoring == "choice" {
      for name in ["samples", "temperature", "baseline"] where params[name] != nil {
        throw RPCError(
          .invalidParams,
          "the rows of \(learner) have choices, whose expected reward is a sum and is not sampled: '\(name)' would "
            + "change nothing", hint: "leave it out")
      }
    } else if objective == "cross-entropy" {
      throw RPCError(
        .invalidParams, "'cross-entropy' is over choices, and the rows of \(learner) have none",
        hint: "use reinforce or next-token")
    }
  }
}
