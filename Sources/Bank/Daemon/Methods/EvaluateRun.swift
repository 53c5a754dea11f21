import Records
import Registry
import Results
import RPCProtocol
import RPCServer
import Settings
import StrictJSON
import WorkerProtocol

extension EvaluateRun: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let task = try snapshot.resolveReadableTask(asked.task)
    let model = try snapshot.resolveModel(asked.model, task: task.name)
    try requireRows(asked.rows, of: task)
    let who = Service.who(reply)
    if asked.compare {
      let (columns, skipped) = try service.columns(asked, task: task, model: model)
      service.onCatalogue(reply) { coordinator throws(RPCError) in
        let spec = CompareSpec(
          model: coordinator.reference(model), task: coordinator.reference(task), columns: columns, skipped: skipped,
          split: asked.rows, limit: asked.limit)
        let job = try coordinator.submitEvaluation(spec, task, model, who: who, reason: name)
        reply.succeed(Result(job: job, columns: columns.map(\.name), skipped: skipped))
      }
      return
    }
    let weights = try service.rowWeights(asked, task: task, model: model)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let spec = EvaluateSpec(
        model: coordinator.reference(model), task: coordinator.reference(task), weights: weights, split: asked.rows,
        limit: asked.limit)
      reply.succeed(Result(job: try coordinator.submitEvaluation(spec, task, model, who: who, reason: name)))
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
}

extension EvaluateRun.Parameters {
  /// The weights that are asked for by a member of their own; a flag that says false says nothing.
  fileprivate var askedWeights: [String] {
    [("base", base), ("expert", expert != nil), ("mixture", mixture), ("alpha", alpha != nil)].filter(\.1).map(\.0)
  }

  /// `nil` is a mixture of one's own, `alpha`.
  fileprivate func rowStrategy() throws(RPCError) -> DispatchStrategy? {
    let asked = askedWeights
    guard asked.count <= 1 else {
      throw RPCError(.invalidParams, "'\(asked.joined(separator: "' and '"))' exclude each other")
    }
    let implied: DispatchStrategy? =
      base ? .base : expert != nil ? .expert : mixture ? .mixture : nil
    if let strategy, let own = asked.first, implied != strategy {
      throw RPCError(.invalidParams, "the strategy '\(strategy.rawValue)' has no use for '\(own)'")
    }
    if alpha != nil {
      try refuseDecision("a mixture of one's own")
      return nil
    }
    let strategy = strategy ?? implied ?? .base
    if strategy == .expert, expert == nil {
      throw RPCError(.invalidParams, "the strategy 'expert' needs an 'expert'", hint: "see: t2ctl expert list")
    }
    if strategy != .prompt, strategy != .classifier { try refuseDecision("the strategy '\(strategy.rawValue)'") }
    return strategy
  }

  private func refuseDecision(_ what: String) throws(RPCError) {
    guard let extra = ["read", "dispatcher"].first(where: { given.contains($0) }) else { return }
    throw RPCError(
      .invalidParams, "'\(extra)' is for the strategies 'prompt' and 'classifier', not for \(what)")
  }
}

extension Service {
  // MARK: - one set of weights

  /// What answers the rows; `base`, `expert`, `mixture` and `alpha` say their strategy by themselves.
  fileprivate func rowWeights(
    _ asked: EvaluateRun.Parameters, task: TaskRecord, model: ModelRecord
  ) throws(RPCError) -> RowWeights {
    func fixed(mixture: String? = nil) throws(RPCError) -> RowWeights {
      .fixed(
        try resolveWeights(
          expert: asked.expert, mixture: mixture, alpha: asked.alpha, mix: asked.mix, model: model
        ).weights)
    }
    switch try asked.rowStrategy() {
    case .prompt?: return .dispatched(try resolveDispatch(.prompt, asked.decision, model: model).spec)
    case .classifier?: return .dispatched(try resolveDispatch(.classifier, asked.decision, model: model).spec)
    case .mixture?: return try fixed(mixture: task.name)
    case .base?, .expert?, nil: return try fixed()
    }
  }

  // MARK: - side by side

  /// The columns of a comparison and those that there are not. What is asked for by name must be there.
  fileprivate func columns(
    _ asked: EvaluateRun.Parameters, task: TaskRecord, model: ModelRecord
  ) throws(RPCError) -> (columns: [CompareSpec.Column], skipped: [CompareResult.Skipped]) {
    let others = asked.askedWeights + (asked.strategy == nil ? [] : ["strategy"]) + (asked.mix == nil ? [] : ["mix"])
    if let extra = others.first {
      throw RPCError(.invalidParams, "'compare' scores every strategy, and has no use for '\(extra)'")
    }
    // Without an expert there is nothing to compare: `resolveDispatch` says so.
    var plain = asked.decision
    plain.dispatcher = nil
    let prompt = try resolveDispatch(.prompt, plain, model: model)
    var columns = [CompareSpec.Column(name: "base", strategy: .base, weights: .fixed(.base))]
    for label in prompt.labels {
      columns.append(
        CompareSpec.Column(
          name: "\(label.version.name)@\(label.version.version)", strategy: .expert,
          weights: .fixed(try weights(of: label.version, on: model))))
    }
    columns.append(CompareSpec.Column(name: "prompt", strategy: .prompt, weights: .dispatched(prompt.spec)))
    var skipped: [CompareResult.Skipped] = []
    do throws(RPCError) {
      let classifier = try resolveDispatch(.classifier, asked.decision, model: model)
      columns.append(
        CompareSpec.Column(
          name: "classifier", strategy: .classifier, weights: .dispatched(classifier.spec),
          note: classifier.dispatcher.map { "the dispatcher is \($0.name)@\($0.version)" }))
    } catch  where error.kind == RPCErrorCode.noDispatcher.kind && asked.decision.dispatcher == nil {
      skipped.append(CompareResult.Skipped(name: "classifier", reason: error.message))
    }
    do throws(RPCError) {
      columns.append(try mixtureColumn(task, model))
    } catch  where error.kind == RPCErrorCode.noMixtureYet.kind || error.kind == RPCErrorCode.waitingForExperts.kind {
      skipped.append(CompareResult.Skipped(name: "mixture", reason: error.message))
    }
    return (columns, skipped)
  }

  private func mixtureColumn(_ task: TaskRecord, _ model: ModelRecord) throws(RPCError) -> CompareSpec.Column {
    let mixture = try served(task.name, model: model.name)
    var note = "generation \(mixture.generation)"
    if case let what = mixture.mixture.record.served, what != "mixture" {
      note += ", which serves '\(what)': "
      note +=
        mixture.mixture.record.noSignal == true
        ? "the search had no signal" : "nothing that the search found was better on held-out shots"
    }
    if let reason = mixture.staleReason { note += ", stale: \(reason)" }
    return CompareSpec.Column(
      name: "mixture", strategy: .mixture,
      weights: .fixed(
        try resolveWeights(expert: nil, mixture: task.name, alpha: nil, mix: nil, model: model).weights), note: note)
  }
}
