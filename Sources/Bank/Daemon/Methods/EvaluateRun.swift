package import Settings
import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import WorkerProtocol

extension Service {
  static let evaluateRun: Handler = { (service, params, reply) throws(RPCError) in
    let snapshot = service.snapshots.get()
    let task = try snapshot.resolveTask(params["task"]?.stringValue ?? "")
    let model = try snapshot.resolveModel(params["model"]?.stringValue, task: task.name)
    let split = RowSplit(rawValue: params["rows"]?.stringValue ?? "eval") ?? .eval
    try requireRows(split, of: task)
    let limit = params["limit"]?.intValue
    let who = Service.who(reply)
    if params["compare"]?.boolValue == true {
      let (columns, skipped) = try service.columns(params, task: task, model: model)
      service.onCatalogue(reply) { coordinator throws(RPCError) in
        let spec = CompareSpec(
          model: coordinator.reference(model), task: coordinator.reference(task), columns: columns, skipped: skipped,
          split: split, limit: limit)
        let job = try coordinator.submitEvaluation(.compare(spec), task, model, who: who)
        reply.succeed([
          "job": .integer(job), "columns": JSONValue(columns.map(\.name)), "skipped": .array(skipped.map(\.json)),
        ])
      }
      return
    }
    let weights = try service.rowWeights(params, task: task, model: model)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let spec = EvaluateSpec(
        model: coordinator.reference(model), task: coordinator.reference(task), weights: weights, split: split,
        limit: limit)
      reply.succeed(["job": .integer(try coordinator.submitEvaluation(.evaluate(spec), task, model, who: who))])
    }
  }

  private static func requireRows(_ split: RowSplit, of task: TaskRecord) throws(RPCError) {
    let rows =
      switch split {
      case .eval: task.current.evalRows
      case .train: task.current.trainRows
      case .fewshot, .automatic: task.current.rows
      }
    guard rows == 0 else { return }
    throw RPCError(
      .badTask, "task '\(task.name)' has no \(split.rawValue) rows",
      hint: "add \(split.rawValue).jsonl to its directory, or evaluate its few-shot rows with --rows fewshot")
  }

  // MARK: - one set of weights

  /// What answers the rows; `base`, `expert`, `mixture` and `alpha` say their strategy by themselves.
  private func rowWeights(
    _ params: JSONObject, task: TaskRecord, model: ModelRecord
  ) throws(RPCError) -> RowWeights {
    let strategy = try evaluationStrategy(params)
    if strategy == "prompt" || strategy == "classifier" {
      return .dispatched(try resolveDispatch(strategy, params, model: model).spec)
    }
    return .fixed(
      try resolveWeights(
        expert: params["expert"]?.stringValue, mixture: strategy == "mixture" ? task.name : nil,
        alpha: params["alpha"]?.objectValue, mix: params["mix"]?.stringValue, model: model
      ).weights)
  }

  private func evaluationStrategy(_ params: JSONObject) throws(RPCError) -> String {
    // Each of these is a strategy; a flag that says false says nothing.
    let own = ["base": "none", "expert": "expert", "mixture": "mixture", "alpha": "alpha"]
    let given = ["base", "expert", "mixture", "alpha"].filter { params[$0] != nil && params[$0] != false }
    guard given.count <= 1 else {
      throw RPCError(.invalidParams, "'\(given.joined(separator: "' and '"))' exclude each other")
    }
    let implied = given.first.flatMap { own[$0] }
    let strategy = params["strategy"]?.stringValue ?? implied ?? "none"
    if let implied, implied != strategy {
      throw RPCError(.invalidParams, "the strategy '\(strategy)' has no use for '\(given[0])'")
    }
    if strategy == "expert", implied == nil {
      throw RPCError(.invalidParams, "the strategy 'expert' needs an 'expert'", hint: "see: t2ctl expert list")
    }
    if strategy != "prompt", strategy != "classifier" { try refuseDispatch(params, "the strategy '\(strategy)'") }
    return strategy
  }

  private func refuseDispatch(_ params: JSONObject, _ what: String) throws(RPCError) {
    guard let extra = ["read", "dispatcher"].first(where: { params[$0] != nil }) else { return }
    throw RPCError(
      .invalidParams, "'\(extra)' is for the strategies 'prompt' and 'classifier', not for \(what)")
  }

  // MARK: - side by side

  /// The columns of a comparison and those that there are not. What is asked for by name must be there.
  private func columns(
    _ params: JSONObject, task: TaskRecord, model: ModelRecord
  ) throws(RPCError) -> (columns: [CompareSpec.Column], skipped: [CompareSpec.Skipped]) {
    let given = ["base", "expert", "mixture", "alpha", "strategy", "mix"].filter {
      params[$0] != nil && params[$0] != false
    }
    if let extra = given.first {
      throw RPCError(.invalidParams, "'compare' scores every strategy, and has no use for '\(extra)'")
    }
    // Without an expert there is nothing to compare: `resolveDispatch` says so.
    var plain = params
    plain["dispatcher"] = nil
    let prompt = try resolveDispatch("prompt", plain, model: model)
    var columns = [CompareSpec.Column(name: "base", strategy: .base, weights: .fixed(.base))]
    for label in prompt.labels {
      columns.append(
        CompareSpec.Column(
          name: "\(label.version.name)@\(label.version.version)", strategy: .expert,
          weights: .fixed(try weights(of: label.version, on: model))))
    }
    columns.append(CompareSpec.Column(name: "prompt", strategy: .prompt, weights: .dispatched(prompt.spec)))
    var skipped: [CompareSpec.Skipped] = []
    do throws(RPCError) {
      let classifier = try resolveDispatch("classifier", params, model: model)
      columns.append(
        CompareSpec.Column(
          name: "classifier", strategy: .classifier, weights: .dispatched(classifier.spec),
          note: classifier.dispatcher.map { "the dispatcher is \($0.name)@\($0.version)" }))
    } catch  where error.kind == RPCErrorCode.noDispatcher.kind && params["dispatcher"] == nil {
      skipped.append(CompareSpec.Skipped(name: "classifier", reason: error.message))
    }
    do throws(RPCError) {
      columns.append(try mixtureColumn(task, model))
    } catch  where error.kind == RPCErrorCode.noMixtureYet.kind || error.kind == RPCErrorCode.waitingForExperts.kind {
      skipped.append(CompareSpec.Skipped(name: "mixture", reason: error.message))
    }
    return (columns, skipped)
  }

  private func mixtureColumn(_ task: TaskRecord, _ model: ModelRecord) throws(RPCError) -> CompareSpec.Column {
    let mixture = try served(task.name, model: model.name)
    var note = "generation \(mixture.generation)"
    if let what = mixture.mixture.record["served"]?.stringValue, what != "mixture" {
      note += ", which serves '\(what)': nothing that the search found was better on held-out shots"
    }
    if let reason = mixture.staleReason { note += ", stale: \(reason)" }
    return CompareSpec.Column(
      name: "mixture", strategy: .mixture,
      weights: .fixed(
        try resolveWeights(expert: nil, mixture: task.name, alpha: nil, mix: nil, model: model).weights), note: note)
  }
}

extension Coordinator {
  fileprivate func submitEvaluation(
    _ work: JobWork, _ task: TaskRecord, _ model: ModelRecord, who: String
  ) throws(RPCError) -> Int64 {
    try answering { () throws(RegistryError) in
      try jobs.submit(
        JobRecord(
          kind: work.kind, key: "\(work.kind)\0\(work.spec.jsonText)",
          target: "\(work.kind)\0\(task.name)\0\(model.name)", inputs: nil, priority: 5, task: task.name,
          model: model.name, spec: work.spec, who: who, reason: "evaluate.run", created: .now))
    }
  }
}
