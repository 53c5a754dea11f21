import Adaptation
import Digests
import Evaluation
import Experts
import ModelFormats
import Multipliers
import Records
import Results
import Settings
import StrictJSON
import SystemSupport
import Training
import Transformer
import WorkerProtocol

extension TrainSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> TrainResult { try TrainJob(spec: self, job: job).run() }
}

/// Trains an expert and writes its file; runs in the thread of jobs.
///
/// The state lies in a file of its own beside the journal: it has a megabyte, and only the last one counts. It is written
/// after each validation and when the job is told to stop, so a killed job does some steps again and a job that made room
/// for another none; the steps are pure functions of the state, so they end with the same bits. The journal has the
/// learning curve.
///
/// With several weights of the divergence it trains one expert after the other, each with a state of its own, and writes
/// the best one on the rows held out.
struct TrainJob {
  let spec: TrainSpec
  let job: RunningJob

  func run() throws(WorkerFault) -> TrainResult {
    let settings = try spec.settings.divergenceWeights.map { (weight) throws(WorkerFault) in
      try spec.settings.training(withDivergence: weight)
    }
    let data = try TrainingData(spec)
    return try job.using(spec.model) { (model) throws(WorkerFault) in try run(settings, data, on: model) }
  }

  private func run(
    _ sweep: [TrainingSettings], _ data: TrainingData, on model: LoadedModel
  ) throws(WorkerFault) -> TrainResult {
    let matrices = try model.model.layout.matrices(of: spec.settings)
    let space = spec.settings.parameterSpace
    let method = spec.settings.method
    let weights: any TrainedParameters =
      switch method {
      case .svf:
        TrainedMultipliers(
          model.model, space: space, matrices: matrices, largest: spec.settings.largestComponents,
          chosen: spec.settings.chosenComponents)
      case .lora: try adapters(matrices, seed: spec.settings.seed, on: model)
      }
    if spec.isEstimate { return .estimate(try estimate(sweep, data, weights, on: model)) }
    var runs: [(settings: TrainingSettings, result: Result<Trainer.Outcome, TrainingError>)] = []
    var rowCount = 0
    for (number, settings) in sweep.enumerated() {
      let job = job
      let trainee = try data.trainee(
        weights, settings, for: model, sandbox: job.sandbox, shouldStop: { job.isCancelled })
      rowCount = trainee.rowCount
      let count = sweep.count + (spec.partner == nil ? 0 : 1)
      let run = Run(number: number, count: count, settings: settings, identity: identity(data, model, settings))
      do throws(TrainingError) {
        runs.append((settings, .success(try train(trainee, run, from: weights))))
      } catch {
        // Another weight may do better than one that taught nothing.
        guard error.endsOneTraining, sweep.count > 1 else { throw WorkerFault(cause: error) }
        runs.append((settings, .failure(error)))
      }
    }
    let best = runs.indices.reduce(0) { reward(runs[$1].result) > reward(runs[$0].result) ? $1 : $0 }
    let outcome = try faulting { try runs[best].result.get() }
    let choice = TrainingChoice(
      parameters: weights.trainedCount, divergenceWeight: runs[best].settings.divergenceWeight,
      sweep: runs.count > 1 ? runs.map { Self.tried($0.settings, $0.result) } : nil)
    switch method {
    case .svf:
      try write(outcome, runs[best].settings, data, matrices, space, on: model)
      return .expert(ExpertTraining(summary: summary(outcome, data, rowCount), choice: choice), nil)
    case .lora:
      let eval = try data.evaluated.map { (task) throws(WorkerFault) in
        try compared(weights.view(at: outcome.state.best), task, on: model)
      }
      let mixed = try spec.partner.map { (partner) throws(WorkerFault) in
        try mixing(
          outcome.state.best, data, with: partner, number: runs.count, settings: runs[best].settings, matrices,
          on: model)
      }
      return .adapters(
        AdapterTraining(
          summary: summary(outcome, data, rowCount), name: spec.name, method: method,
          rank: spec.settings.rank ?? TrainingSettings.standardRank, eval: eval, mixing: mixed, choice: choice))
    }
  }

  /// What it would take; of a sweep all of it.
  private func estimate(
    _ sweep: [TrainingSettings], _ data: TrainingData, _ weights: any TrainedParameters, on model: LoadedModel
  ) throws(WorkerFault) -> TrainEstimate {
    job.report(0, "estimating", "a few rows")
    let job = job
    // One that weighs the divergence takes longest.
    let settings = sweep.max { $0.divergenceWeight < $1.divergenceWeight } ?? sweep[0]
    let trainee = try data.trainee(weights, settings, for: model, sandbox: job.sandbox, shouldStop: { job.isCancelled })
    let estimate = try faulting {
      try TrainingEstimate(settings, of: trainee, start: weights.start, clock: { job.seconds })
    }
    return TrainEstimate(
      name: spec.name, parameters: weights.trainedCount, rows: trainee.rowCount, trainingRows: estimate.trainingRows,
      stepTokens: estimate.step.tokens, stepSeconds: estimate.stepSeconds,
      validationSeconds: estimate.validationSeconds, seconds: estimate.seconds * Double(sweep.count),
      memoryBytes: estimate.step.memoryBytes, kernel: job.kernel)
  }

  /// One training of a sweep, or the only one.
  struct Run {
    var number: Int
    var count: Int
    var settings: TrainingSettings
    var identity: String
  }

  func train(
    _ trainee: any TrainedModel, _ run: Run, from weights: any TrainedParameters
  ) throws(TrainingError) -> Trainer.Outcome {
    let settings = run.settings
    let fresh = TrainingState(
      identity: run.identity, parameters: weights.start, decay: settings.weightDecay, origin: weights.origin)
    let path = statePath(run)
    // What an interrupted run of this very training left.
    let state: TrainingState
    switch TrainingState.read(path, identity: run.identity) {
    case .whole(let left): state = left
    case .missing: state = fresh
    case .damaged:
      job.remade(path, "the state of the training of '\(spec.name)' is not what was saved; it begins anew")
      state = fresh
    }
    let points = job.journal.compactMap { try? RecordReader(unknownMembers: .ignored).read($0, as: CurvePoint.self) }
    let known = points.filter { ($0.training ?? 0) == run.number }.map(\.step).max() ?? -1
    // What another job came to before it was cut is part of this one's curve.
    for point in state.curve where point.step > known { job.record(entry(point, run)) }
    var best = state.bestValidation?.reward
    var trainer = try Trainer(settings, model: trainee, state: state) { point in
      if point.step > known { job.record(entry(point, run)) }
      best = [best, point.validation?.reward].compactMap { $0 }.max()
      report(point, run, best: best)
    } choosing: { done, count in
      job.report(
        share(0, of: settings.steps, inPart: run.number, of: run.count), "choosing components",
        "batch \(done + 1) of \(count)")
    } save: { (state) throws(TrainingError) in
      try save(state, path)
    }
    do throws(TrainingError) {
      return try trainer.run()
    } catch {
      if error == .cancelled, !trainer.state.curve.isEmpty { try save(trainer.state, path) }
      throw error
    }
  }

  /// A point as the journal has it: where there are several trainings, with the number of its own.
  private func entry(_ point: CurvePoint, _ run: Run) -> JSONValue {
    var point = point
    if run.count > 1 { point.training = run.number }
    return RecordWriter.json(point)
  }

  // MARK: - state

  /// All that the outcome depends on, the number of threads not among it. What it will be called is none of it either.
  func identity(_ data: TrainingData, _ model: LoadedModel, _ settings: TrainingSettings) -> String {
    var own = spec.settings
    own.divergenceWeights = [settings.divergenceWeight]
    // Without what has its default: a setting that comes with a later version is no reason to begin a training anew.
    let standard = RecordWriter.object(TrainingSettings())
    var chosen = JSONObject()
    for (name, value) in RecordWriter.object(own).members where standard[name] != value { chosen[name] = value }
    let parts =
      [model.model.facts.identity, JSONValue.object(chosen).jsonText, spec.lesson.json.jsonText]
      + data.digests.map(\.digest)
    return SHA256.digest(Array(parts.joined(separator: "\n").utf8)).description
  }

  private func statePath(_ run: Run) -> String { spec.statePath + (run.number == 0 ? "" : ".\(run.number)") }

  private func save(_ state: TrainingState, _ path: String) throws(TrainingError) {
    do throws(SystemCallError) {
      try FileSystem.writeAtomically(path, state.bytes)
    } catch {
      throw .notSaved("\(error)")
    }
  }

  private func report(_ point: CurvePoint, _ run: Run, best: Double?) {
    let steps = run.settings.steps
    var parts = ["step \(point.step) of \(steps)"]
    if run.count > 1 { parts[0] = "KL weight \(run.settings.divergenceWeight), " + parts[0] }
    if let batch = point.batch { parts.append(shown(batch)) }
    if let held = point.validation { parts.append("held out " + shown(held)) }
    job.report(
      share(point.step, of: steps, inPart: run.number, of: run.count), "training", parts.joined(separator: "; "),
      best: best)
  }

  private func shown(_ standing: Standing) -> String {
    var parts: [String] = []
    if let reward = standing.reward { parts.append("reward \(rounded(reward))") }
    if let right = standing.right { parts.append("right \(rounded(right))") }
    if parts.isEmpty { parts.append("loss \(rounded(standing.loss))") }
    if standing.divergence != 0 { parts.append("KL \(rounded(standing.divergence))") }
    return parts.joined(separator: ", ")
  }

  private func rounded(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }

  // MARK: - the expert

  private func write(
    _ outcome: Trainer.Outcome, _ settings: TrainingSettings, _ data: TrainingData, _ matrices: [Int],
    _ space: ParameterSpace, on model: LoadedModel
  ) throws(WorkerFault) {
    var trainedWith = RecordWriter.object(spec.settings)
    trainedWith["kl"] = .number(settings.divergenceWeight)
    if settings.chosenComponents != nil { trainedWith["components_by"] = .string(ComponentChoice.training.rawValue) }
    trainedWith["best_step"] = JSONValue(outcome.state.bestStep)
    trainedWith["training_rows"] = JSONValue(outcome.order.training.count)
    trainedWith["data"] = .array(
      data.digests.map { ["task": .string($0.task), "label": JSONValue($0.label), "digest": .string($0.digest)] })
    let expert = TrainedExpert(
      name: spec.name, kind: data.kind, label: spec.label, task: data.task,
      parameters: outcome.state.best, space: space, maximumMultiplier: TrainedMultipliers.maximumMultiplier,
      matrices: matrices, model: try model.signature, trainedWith: .object(trainedWith),
      metrics: ["held_out": RecordWriter.json(heldOut(outcome))])
    do throws(SafetensorsError) {
      try expert.write(to: spec.expertPath)
    } catch {
      throw WorkerFault(.files, "cannot write the expert: \(error)", retry: true)
    }
  }

  private func heldOut(_ outcome: Trainer.Outcome) -> TrainingSummary.HeldOut {
    TrainingSummary.HeldOut(count: outcome.base.rows, base: outcome.base, expert: outcome.best)
  }

  private func summary(_ outcome: Trainer.Outcome, _ data: TrainingData, _ rows: Int) -> TrainingSummary {
    TrainingSummary(
      kind: data.kind.rawValue, objective: spec.settings.objective, steps: outcome.state.step,
      bestStep: outcome.state.bestStep, stopReason: outcome.stopReason.rawValue,
      warnings: [outcome.problem].compactMap { $0.map { "stopped early: " + $0 } }, rows: rows,
      trainingRows: outcome.order.training.count, heldOut: heldOut(outcome), curve: outcome.state.curve,
      kernel: job.kernel, seconds: job.seconds)
  }

  /// A training of a sweep.
  private static func tried(
    _ settings: TrainingSettings, _ result: Result<Trainer.Outcome, TrainingError>
  ) -> TrainingChoice.Tried {
    let weight = settings.divergenceWeight
    switch result {
    case .success(let outcome):
      return .init(
        divergenceWeight: weight, bestStep: outcome.state.bestStep, stopReason: outcome.stopReason.rawValue,
        heldOut: outcome.best)
    case .failure(let error): return .init(divergenceWeight: weight, problem: error.description)
    }
  }
}

extension TrainingError {
  /// Whether it says something of one training only, and not of its job.
  fileprivate var endsOneTraining: Bool {
    switch self {
    case .diverged, .noReward, .noAnswerRight, .nothingLearned: true
    case .cancelled, .tooFewRows, .model, .notSaved: false
    }
  }
}

/// Of a training that made nothing, below all others.
private func reward(_ result: Result<Trainer.Outcome, TrainingError>) -> Double {
  (try? result.get())?.best.reward ?? -.infinity
}
