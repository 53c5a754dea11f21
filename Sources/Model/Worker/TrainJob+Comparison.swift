import Adaptation
import Engines
import Evaluation
import Records
import Results
import Settings
import Training
import Transformer
import WorkerProtocol

// LoRA: trained as an expert is, then compared on the eval rows, since nothing else will ask; it is served to nobody.
extension TrainJob {
  /// What is trained of LoRA.
  func adapters(_ matrices: [Int], seed: UInt64, on model: LoadedModel) throws(WorkerFault) -> TrainedAdapters {
    guard let base = model.model as? LanguageModel else {
      throw WorkerFault(
        .unsupported,
        "lora is compared on the built-in engine alone, and model '\(model.model.facts.modelID)' is computed by "
          + "\(model.model.facts.tag.name)")
    }
    if let other = matrices.first(where: { !base.canBeAdapted($0) }) {
      throw WorkerFault(
        .badRequest,
        "lora is for q_proj, k_proj and v_proj, and '\(model.model.layout.matrices[other].name)' is none of them")
    }
    do throws(EngineError) {
      try base.room.require(
        LowRankWeights.byteCount(base), for: "LoRA, which is scored with matrices of its own,")
    } catch {
      throw WorkerFault(error)
    }
    return TrainedAdapters(
      base, rank: spec.settings.rank ?? TrainingSettings.standardRank, matrices: matrices, seed: seed)
  }

  func compared(
    _ view: WeightView, _ task: TaskDefinition, on model: LoadedModel
  ) throws(WorkerFault) -> AdapterTraining.Evaluated {
    AdapterTraining.Evaluated(
      count: task.eval.count, task: task.name, metric: task.metric.rawValue, template: task.templateName,
      base: try scores(of: .base, task, on: model), lora: try scores(of: view, task, on: model))
  }

  /// Trains on a second task, from another seed, and scores what lies between the two on the eval rows of both
  /// (arXiv:2501.06252, figure 9, asks this of expert vectors).
  func mixing(
    _ first: [Float], _ data: TrainingData, with partner: TaskReference, number: Int,
    settings: TrainingSettings, _ matrices: [Int], on model: LoadedModel
  ) throws(WorkerFault) -> [AdapterTraining.Mixed] {
    let other = TrainJob(spec: spec.on(partner), job: job)
    let otherData = try TrainingData(other.spec)
    let tasks = [data.evaluated, otherData.evaluated].compactMap(\.self)
    guard tasks.count == 2 else {
      throw WorkerFault(.taskUnreadable, "mixtures are scored on eval rows, and one of the two tasks has none")
    }
    let weights = try adapters(matrices, seed: spec.settings.seed &+ 1, on: model)
    let job = job
    let trainee = try otherData.trainee(
      weights, settings, for: model, sandbox: job.sandbox, shouldStop: { job.isCancelled })
    let run = Run(
      number: number, count: number + 1, settings: settings, identity: other.identity(otherData, model, settings))
    let second = try faulting { try other.train(trainee, run, from: weights).state.best }
    // Made when they are scored: each has matrices of its own.
    var mixtures: [(name: String, share: Float, view: () -> WeightView)] = [
      ("base", 0, { .base }), ("first", 0, { weights.view(at: first) }),
    ]
    for share: Float in [0.25, 0.5, 0.75] {
      mixtures.append(("parameters", share, { weights.view(averaging: first, second, share: share) }))
      mixtures.append(("products", share, { weights.view(adding: first, second, share: share) }))
    }
    mixtures.append(("second", 1, { weights.view(at: second) }))
    return try mixtures.map { (mixture) throws(WorkerFault) in
      let view = mixture.view()
      let scores = try tasks.map { (task) throws(WorkerFault) in
        AdapterTraining.Mixed.TaskScores(
          scores: try self.scores(of: view, task, on: model), task: task.name, count: task.eval.count)
      }
      return AdapterTraining.Mixed(weights: mixture.name, share: mixture.share, scores: scores)
    }
  }

  /// Of a task with choices, which is all that LoRA is trained on.
  private func scores(
    of view: WeightView, _ task: TaskDefinition, on model: LoadedModel
  ) throws(WorkerFault) -> AdapterTraining.Scores {
    job.report(1, "evaluating", "\(task.eval.count) rows of \(task.name)")
    let items = try faulting {
      try RowEvaluator(task, model: model.model, sandbox: job.sandbox).evaluate(
        task.eval, under: view, shouldStop: { job.isCancelled })
    }
    let scored = EvaluationResult(task: task, items: items)
    return AdapterTraining.Scores(
      acc: scored.share(.acc), accNorm: scored.share(.accNorm), ci95: Interval(scored.interval))
  }
}

extension TrainSpec {
  /// The same training on another task.
  fileprivate func on(_ task: TaskReference) -> TrainSpec {
    var spec = self
    spec.lesson = .task(task)
    spec.partner = nil
    return spec
  }
}
