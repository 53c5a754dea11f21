import Adaptation
import Evaluation
import LinearAlgebra
import Multipliers
import StrictJSON
import SystemSupport
import Transformer
import WorkerProtocol

/// Searches the mixture that serves a task, and writes its vectors; runs in the thread of jobs.
///
/// The journal holds the search's entries and after them one entry for each set of weights that was scored on the eval
/// file, so a job that was killed at any point goes on after what it had done.
struct AdaptJob {
  let spec: AdaptSpec
  let job: RunningJob
  private let models: ModelStore

  /// Shares of the job's progress.
  private static let loading = 0.05
  private var searching: Double { spec.evaluates ? 0.75 : 0.95 }

  init(_ spec: AdaptSpec, _ job: RunningJob, _ models: ModelStore) {
    self.spec = spec
    self.job = job
    self.models = models
  }

  func run() throws(WorkerFault) -> AdaptResult {
    let task = try loadTask(spec.task)
    return try models.using(spec.model, progress: job.loadingProgress(of: Self.loading)) {
      (model) throws(WorkerFault) in try run(task, on: model)
    }
  }

  private func run(_ task: TaskDefinition, on model: LoadedModel) throws(WorkerFault) -> AdaptResult {
    try job.checkCancelled()
    let experts = try model.experts(spec.experts)
    let rescale = try LoadedModel.rescale(of: experts)
    let mixer = model.mixer(experts, rescale)
    let mix = spec.search.mix ?? .standard(for: rescale)
    let shots = Array(task.shots.prefix(spec.search.shots ?? task.shots.count))
    let rows: [EncodedRow]
    let settings: AdaptationSettings
    do {
      rows = try TaskEncoder(task, for: model.model).encode(shots)
      settings = try self.settings(
        experts: experts.count, layout: model.model.layout, mix: mix,
        identity: identity(task, model, experts, shots: shots.count))
    } catch {
      throw WorkerFault(evaluating: error)
    }
    var clocks = Clocks()
    clocks.stop("loading", job)

    let search = SearchInputs(task: task, model: model, experts: experts, mixer: mixer, rows: rows)
    let outcome = try runSearch(search, settings)
    clocks.stop("search", job)
    var scores = Scores(outcome)
    if spec.evaluates, !task.eval.isEmpty {
      try evaluate(task, search, outcome, into: &scores)
      clocks.stop("evaluating", job)
    }
    job.report(JobProgress(fraction: 0.99, phase: "writing", detail: "writing the mixture's vectors"))
    try writeVectors(outcome, search)
    clocks.stop("writing", job)
    return result(outcome, scores, search, rescale, clocks)
  }

  struct SearchInputs {
    var task: TaskDefinition
    var model: LoadedModel
    var experts: [LoadedModel.LoadedExpert]
    var mixer: Mixer
    var rows: [EncodedRow]
  }

  // MARK: - settings

  private func settings(
    experts: Int, layout: MultiplierLayout, mix: MixRule, identity: String
  ) throws(WorkerFault) -> AdaptationSettings {
    try adaptationSettings(spec.search, experts: experts, layout: layout, mix: mix, identity: identity)
  }

  /// All that the scores depend on. The kernel is not among it: scores that were journalled under another one stay.
  private func identity(
    _ task: TaskDefinition, _ model: LoadedModel, _ experts: [LoadedModel.LoadedExpert], shots: Int
  ) -> String {
    ([model.model.digest, task.shotsDigest.description, "\(shots)"] + experts.map(\.reference.digest))
      .joined(separator: " ")
  }

  // MARK: - search

  private func runSearch(
    _ inputs: SearchInputs, _ settings: AdaptationSettings
  ) throws(WorkerFault) -> AdaptationOutcome {
    do {
      switch inputs.task.scoring {
      case .choice:
        let basis = try ExpertBasis(model: inputs.model.model, experts: inputs.experts.map(\.multipliers))
        let scorer = ChoiceScorer(
          model: inputs.model.model, basis: basis, mixer: inputs.mixer, rows: inputs.rows, metric: inputs.task.metric,
          shouldStop: { [job] in job.isCancelled })
        return try runSearch(settings, scorer)
      case .generate:
        guard settings.objective == .accuracy else {
          throw WorkerFault(
            .unsupported, "the objective 'loglik' needs rows with choices; '\(inputs.task.name)' has generated ones")
        }
        let scorer = try GenerationScorer(
          model: inputs.model.model, mixer: inputs.mixer, task: inputs.task, rows: inputs.rows,
          shouldStop: { [job] in job.isCancelled })
        return try runSearch(settings, scorer)
      case .code:
        throw WorkerFault(.unsupported, "the task '\(inputs.task.name)' is scored by running code, which is off")
      }
    } catch let error as AdaptationError {
      switch error {
      case .cancelled: throw WorkerFault(.cancelled, error.description)
      case .scorer, .journalMismatch: throw WorkerFault(.failed, error.description)
      }
    } catch let error as TransformerError {
      throw WorkerFault(error)
    } catch {
      throw WorkerFault(evaluating: error)
    }
  }

  private func runSearch(
    _ settings: AdaptationSettings, _ scorer: some CandidateScorer
  ) throws(AdaptationError) -> AdaptationOutcome {
    let entries = job.journal.filter { $0["entry"] != "eval" }
    let begun = job.seconds
    var adaptation = Adaptation(
      settings, scorer: scorer, journal: entries, clock: { [job] in job.seconds },
      report: { [job, searching] event in
        switch event {
        case .journal(let entry): job.record(entry)
        case .progress(let fraction, let phase, let detail, let best):
          let spent = job.seconds - begun
          job.report(
            JobProgress(
              fraction: Self.loading + (searching - Self.loading) * fraction, phase: phase.rawValue, detail: detail,
              best: best?.score, etaSeconds: fraction > 0.02 ? spent * (1 - fraction) / fraction : nil))
        }
      })
    return try adaptation.run()
  }
}

/// Seconds by phase.
struct Clocks {
  private(set) var seconds: [(phase: String, seconds: Double)] = []
  private var last = 0.0

  mutating func stop(_ phase: String, _ job: RunningJob) {
    let now = job.seconds
    seconds.append((phase, now - last))
    last = now
  }

  var total: Double { last }
}
