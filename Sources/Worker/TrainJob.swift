import Adaptation
import Digests
import Evaluation
import Experts
import LinearAlgebra
import ModelFormats
import Multipliers
import StrictJSON
import SystemSupport
import Training
import Transformer
import WorkerProtocol

/// Trains an expert and writes its file; runs in the thread of jobs.
///
/// The state lies in a file of its own beside the journal: it has a megabyte, and only the last one counts. It is written
/// after each validation and when the job is told to stop, so a killed job does some steps again and a job that made room
/// for another none; the steps are pure functions of the state, so they end with the same bits. The journal has the
/// learning curve.
struct TrainJob {
  private let spec: TrainSpec
  private let job: RunningJob
  private let models: ModelStore

  /// Of the job's progress, what loading takes.
  private static let loading = 0.05

  init(_ spec: TrainSpec, _ job: RunningJob, _ models: ModelStore) {
    self.spec = spec
    self.job = job
    self.models = models
  }

  func run() throws(WorkerFault) -> JSONValue {
    let settings = try TrainingSettings(spec.settings)
    let data = try TrainingData(spec)
    return try models.using(spec.model, progress: job.loadingProgress(of: Self.loading)) {
      (model) throws(WorkerFault) in try run(settings, data, on: model)
    }
  }

  private func run(
    _ settings: TrainingSettings, _ data: TrainingData, on model: LoadedModel
  ) throws(WorkerFault) -> JSONValue {
    let matrices = try model.model.layout.matrices(of: spec.settings.modules)
    let examples = try data.examples(for: model)
    let trainee = ChoiceTrainee(
      model.model, examples: examples, settings: settings, matrices: matrices, shouldStop: { job.isCancelled })
    let identity = identity(data, model)
    let fresh = TrainingState(
      identity: identity, parameters: MultiplierVector.ones(model.model.layout.count).values,
      decay: settings.weightDecay)
    let state = kept(identity) ?? fresh
    let known = job.journal.compactMap { $0["step"]?.intValue }.max() ?? -1
    let begun = (seconds: job.seconds, step: state.step)
    var best = state.bestValidation?.reward

    let outcome: Trainer<ChoiceTrainee>.Outcome
    do throws(TrainingError) {
      var trainer = try Trainer(settings, model: trainee, state: state) { point in
        if point.step > known { job.record(point.json) }
        best = [best, point.validation?.reward].compactMap { $0 }.max()
        report(point, of: settings.steps, best: best, since: begun)
      } save: { (state) throws(TrainingError) in
        try save(state)
      }
      do throws(TrainingError) {
        outcome = try trainer.run()
      } catch {
        if error == .cancelled, !trainer.state.curve.isEmpty { try save(trainer.state) }
        throw error
      }
    } catch {
      throw WorkerFault(error)
    }
    try write(outcome, data, matrices, on: model)
    return result(outcome, data, examples.count)
  }

  // MARK: - state

  /// All that the outcome depends on, the number of threads not among it. What it will be called is none of it either.
  private func identity(_ data: TrainingData, _ model: LoadedModel) -> String {
    let parts =
      [model.model.digest, spec.settings.json.jsonText, spec.lesson.json.jsonText] + data.digests.map(\.digest)
    return SHA256.digest(Array(parts.joined(separator: "\n").utf8)).description
  }

  /// What an interrupted run of this very training left.
  private func kept(_ identity: String) -> TrainingState? {
    guard let file = try? SafetensorsFile.open(path: spec.statePath) else { return nil }
    return TrainingState(file, identity: identity)
  }

  private func save(_ state: TrainingState) throws(TrainingError) {
    do throws(SystemCallError) {
      try FileSystem.writeAtomically(spec.statePath, state.bytes)
    } catch {
      throw .notSaved("\(error)")
    }
  }

  private func report(
    _ point: TrainingState.Point, of steps: Int, best: Double?, since begun: (seconds: Double, step: Int)
  ) {
    var parts = ["step \(point.step) of \(steps)"]
    if let batch = point.batch { parts.append("reward \(rounded(batch.reward)), acc \(rounded(batch.right))") }
    if let held = point.validation { parts.append("held out \(rounded(held.reward)), acc \(rounded(held.right))") }
    let made = point.step - begun.step
    let each = made > 0 ? (job.seconds - begun.seconds) / Double(made) : nil
    job.report(
      JobProgress(
        fraction: Self.loading + (0.99 - Self.loading) * Double(point.step) / Double(steps), phase: "training",
        detail: parts.joined(separator: "; "), best: best,
        etaSeconds: each.map { $0 * Double(steps - point.step) }))
  }

  private func rounded(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }

  // MARK: - the expert

  private func write(
    _ outcome: Trainer<ChoiceTrainee>.Outcome, _ data: TrainingData, _ matrices: [Int], on model: LoadedModel
  ) throws(WorkerFault) {
    var trainedWith = spec.settings.json.objectValue ?? [:]
    trainedWith["best_step"] = JSONValue(outcome.state.bestStep)
    trainedWith["training_rows"] = JSONValue(outcome.order.training.count)
    trainedWith["data"] = .array(
      data.digests.map { ["task": .string($0.task), "label": JSONValue($0.label), "digest": .string($0.digest)] })
    let expert = TrainedExpert(
      name: spec.name, kind: data.kind, label: spec.label, task: data.task,
      vector: MultiplierVector(outcome.state.best), matrices: matrices, model: try model.signature,
      trainedWith: .object(trainedWith), metrics: ["held_out": heldOut(outcome)])
    do throws(SafetensorsError) {
      try expert.write(to: spec.expertPath)
    } catch {
      throw WorkerFault(.files, "cannot write the expert: \(error)", retry: true)
    }
  }

  private func heldOut(_ outcome: Trainer<ChoiceTrainee>.Outcome) -> JSONValue {
    ["n": JSONValue(outcome.base.rows), "base": outcome.base.json, "expert": outcome.best.json]
  }

  private func result(
    _ outcome: Trainer<ChoiceTrainee>.Outcome, _ data: TrainingData, _ rows: Int
  ) -> JSONValue {
    [
      "kind": .string(data.kind.rawValue), "objective": .string(spec.settings.objective),
      "steps": JSONValue(outcome.state.step), "best_step": JSONValue(outcome.state.bestStep),
      "stop_reason": .string(outcome.stopReason.rawValue), "rows": JSONValue(rows),
      "training_rows": JSONValue(outcome.order.training.count), "held_out": heldOut(outcome),
      "curve": .array(outcome.state.curve.map(\.json)), "kernel": .string(BLAS.kernel.running),
      "seconds": .number(job.seconds),
    ]
  }
}

extension TrainingSettings {
  init(_ settings: TrainSettings) throws(WorkerFault) {
    self.init()
    guard let objective = TrainingObjective(rawValue: settings.objective) else {
      let known = TrainingObjective.allCases.map(\.rawValue).joined(separator: ", ")
      throw WorkerFault(.badRequest, "the objective '\(settings.objective)' is not one of \(known)")
    }
    self.objective = objective
    steps = settings.steps
    batch = settings.batch
    learningRate = settings.learningRate
    warmUp = settings.warmUp
    clip = settings.clip
    weightDecay = settings.weightDecay
    divergenceWeight = settings.divergenceWeight
    seed = settings.seed
    validationRows = settings.validationRows
    validationInterval = settings.validationInterval
    patience = settings.patience
    if let problem { throw WorkerFault(.badRequest, "cannot train so: \(problem)") }
  }
}

extension MultiplierLayout {
  /// The matrices that a list of modules means: `mlp`, `attention`, or projections by their names in the checkpoint.
  fileprivate func matrices(of modules: [String]) throws(WorkerFault) -> [Int] {
    guard !modules.isEmpty else { return Array(matrices.indices) }
    var chosen: Set<Int> = []
    for module in modules {
      let part = module == "attention" ? "self_attn" : module
      let found = matrices.indices.filter { index in
        matrices[index].name.split(separator: ".").contains { $0.utf8.elementsEqual(part.utf8) }
          && (module == "mlp" || module == "attention" || module.hasSuffix("_proj"))
      }
      guard !found.isEmpty else {
        let projections = Set(matrices.compactMap { $0.name.split(separator: ".").first { $0.hasSuffix("_proj") } })
        throw WorkerFault(
          .badRequest,
          "the model has no target matrices '\(module)'; modules are mlp, attention, "
            + projections.sorted().joined(separator: ", "))
      }
      chosen.formUnion(found)
    }
    return chosen.sorted()
  }
}

extension WorkerFault {
  fileprivate init(_ error: TrainingError) {
    let kind: Kind =
      switch error {
      case .cancelled: .cancelled
      case .tooFewRows: .taskUnreadable
      case .diverged, .noReward, .nothingLearned, .model: .failed
      case .notSaved: .files
      }
    self.init(kind, error.description, retry: kind == .files)
  }
}
