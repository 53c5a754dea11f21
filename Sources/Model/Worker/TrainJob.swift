import Adaptation
import Digests
import Evaluation
import Experts
import LinearAlgebra
import ModelFormats
import Multipliers
import Records
import Settings
import StrictJSON
import SystemSupport
import Training
import Transformer
import WorkerProtocol

extension TrainSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> JSONValue { try TrainJob(spec: self, job: job).run() }
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

  func run() throws(WorkerFault) -> JSONValue {
    let settings = try spec.settings.divergenceWeights.map { (weight) throws(WorkerFault) in
      try spec.settings.training(withDivergence: weight)
    }
    let data = try TrainingData(spec)
    return try job.using(spec.model) { (model) throws(WorkerFault) in try run(settings, data, on: model) }
  }

  private func run(
    _ sweep: [TrainingSettings], _ data: TrainingData, on model: LoadedModel
  ) throws(WorkerFault) -> JSONValue {
    let matrices = try model.model.layout.matrices(of: spec.settings)
    let space = spec.settings.parameterSpace
    let method = spec.settings.method
    let weights: any TrainedParameters =
      switch method {
      case .svf:
        TrainedMultipliers(model.model, space: space, matrices: matrices, components: spec.settings.components)
      case .lora: try adapters(matrices, seed: spec.settings.seed, on: model)
      }
    if spec.isEstimate { return try estimate(sweep, data, weights, on: model) }
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
    var result = result(outcome, data, rowCount)
    switch method {
    case .svf: try write(outcome, runs[best].settings, data, matrices, space, on: model)
    case .lora:
      result["name"] = .string(spec.name)
      result["method"] = .string(method.rawValue)
      result["rank"] = JSONValue(spec.settings.rank ?? TrainingSettings.standardRank)
      if let task = data.evaluated {
        result["eval"] = try compared(weights.view(at: outcome.state.best), task, on: model)
      }
      if let partner = spec.partner {
        result["mixing"] = try mixing(
          outcome.state.best, data, with: partner, number: runs.count, settings: runs[best].settings, matrices,
          on: model)
      }
      result["seconds"] = .number(job.seconds)
    }
    result["parameters"] = JSONValue(weights.trainedCount)
    result["kl_weight"] = .number(runs[best].settings.divergenceWeight)
    if runs.count > 1 { result["sweep"] = .array(runs.map { Self.shown($0.settings, $0.result) }) }
    return .object(result)
  }

  /// What it would take; of a sweep all of it.
  private func estimate(
    _ sweep: [TrainingSettings], _ data: TrainingData, _ weights: any TrainedParameters, on model: LoadedModel
  ) throws(WorkerFault) -> JSONValue {
    job.report(0, "estimating", "a few rows")
    let job = job
    // One that weighs the divergence takes longest.
    let settings = sweep.max { $0.divergenceWeight < $1.divergenceWeight } ?? sweep[0]
    let trainee = try data.trainee(weights, settings, for: model, sandbox: job.sandbox, shouldStop: { job.isCancelled })
    let estimate = try faulting {
      try TrainingEstimate(settings, of: trainee, start: weights.start, clock: { job.seconds })
    }
    return [
      "name": .string(spec.name), "dry_run": true, "parameters": JSONValue(weights.trainedCount),
      "rows": JSONValue(trainee.rowCount), "training_rows": JSONValue(estimate.trainingRows),
      "step_tokens": JSONValue(estimate.step.tokens), "step_seconds": .number(estimate.stepSeconds),
      "validation_seconds": .number(estimate.validationSeconds),
      "seconds": .number(estimate.seconds * Double(sweep.count)),
      "memory_bytes": JSONValue(estimate.step.memoryBytes), "kernel": .string(BLAS.kernel.running),
    ]
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
    let state = TrainingState(path: path, identity: run.identity) ?? fresh
    let known =
      job.journal.filter { ($0["training"]?.intValue ?? 0) == run.number }
      .compactMap { $0["step"]?.intValue }.max() ?? -1
    // What another job came to before it was cut is part of this one's curve.
    for point in state.curve where point.step > known { job.record(entry(point, run)) }
    var best = state.bestValidation?.reward
    var trainer = try Trainer(settings, model: trainee, state: state) { point in
      if point.step > known { job.record(entry(point, run)) }
      best = [best, point.validation?.reward].compactMap { $0 }.max()
      report(point, run, best: best)
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
  private func entry(_ point: TrainingState.Point, _ run: Run) -> JSONValue {
    guard run.count > 1, case .object(var object) = point.json else { return point.json }
    object["training"] = JSONValue(run.number)
    return .object(object)
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
      [model.model.digest, JSONValue.object(chosen).jsonText, spec.lesson.json.jsonText] + data.digests.map(\.digest)
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

  private func report(_ point: TrainingState.Point, _ run: Run, best: Double?) {
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
    trainedWith["best_step"] = JSONValue(outcome.state.bestStep)
    trainedWith["training_rows"] = JSONValue(outcome.order.training.count)
    trainedWith["data"] = .array(
      data.digests.map { ["task": .string($0.task), "label": JSONValue($0.label), "digest": .string($0.digest)] })
    let expert = TrainedExpert(
      name: spec.name, kind: data.kind, label: spec.label, task: data.task,
      parameters: outcome.state.best, space: space, maximumMultiplier: TrainedMultipliers.maximumMultiplier,
      matrices: matrices, model: try model.signature, trainedWith: .object(trainedWith),
      metrics: ["held_out": heldOut(outcome)])
    do throws(SafetensorsError) {
      try expert.write(to: spec.expertPath)
    } catch {
      throw WorkerFault(.files, "cannot write the expert: \(error)", retry: true)
    }
  }

  private func heldOut(_ outcome: Trainer.Outcome) -> JSONValue {
    ["n": JSONValue(outcome.base.rows), "base": outcome.base.json, "expert": outcome.best.json]
  }

  private func result(_ outcome: Trainer.Outcome, _ data: TrainingData, _ rows: Int) -> JSONObject {
    [
      "kind": .string(data.kind.rawValue), "objective": .string(spec.settings.objective.rawValue),
      "steps": JSONValue(outcome.state.step), "best_step": JSONValue(outcome.state.bestStep),
      "stop_reason": .string(outcome.stopReason.rawValue),
      "warnings": .array([outcome.problem].compactMap { $0.map { .string("stopped early: " + $0) } }),
      "rows": JSONValue(rows), "training_rows": JSONValue(outcome.order.training.count), "held_out": heldOut(outcome),
      "curve": .array(outcome.state.curve.map(\.json)), "kernel": .string(BLAS.kernel.running),
      "seconds": .number(job.seconds),
    ]
  }

  /// A training of a sweep.
  private static func shown(_ settings: TrainingSettings, _ result: Result<Trainer.Outcome, TrainingError>) -> JSONValue
  {
    var shown: JSONObject = ["kl_weight": .number(settings.divergenceWeight)]
    switch result {
    case .success(let outcome):
      shown["best_step"] = JSONValue(outcome.state.bestStep)
      shown["stop_reason"] = .string(outcome.stopReason.rawValue)
      shown["held_out"] = outcome.best.json
    case .failure(let error): shown["problem"] = .string(error.description)
    }
    return .object(shown)
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
