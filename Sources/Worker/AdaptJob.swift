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
    let task = try loadTask(spec.task, onlyShots: true)
    return try models.using(spec.model, progress: job.loadingProgress(of: Self.loading)) {
      (model) throws(WorkerFault) in try run(task, on: model)
    }
  }

  private func run(_ task: TaskDefinition, on model: LoadedModel) throws(WorkerFault) -> AdaptResult {
    try job.checkCancelled()
    let ground = try SearchGround(task, model, spec.experts)
    let shots = Array(ground.rows.indices.prefix(spec.search.shots ?? ground.rows.count))
    let settings = try ground.settings(spec.search, shots: shots)
    var clocks = Clocks()
    clocks.stop("loading", job)

    let outcome = try ground.search(
      settings, shots: shots, journal: job.journal.filter { $0["entry"] != "eval" }, for: job, report: report())
    clocks.stop("search", job)
    var scores = Scores(outcome)
    if spec.evaluates, var rows = try EvalRows(spec.task, ground, job) {
      try evaluate(&rows, ground, outcome, settings.objective, into: &scores)
      clocks.stop("evaluating", job)
    }
    job.report(JobProgress(fraction: 0.99, phase: "writing", detail: "writing the mixture's vectors"))
    try writeVectors(outcome, ground)
    clocks.stop("writing", job)
    return result(outcome, scores, ground, shots: shots.count, clocks)
  }

  private func report() -> (AdaptationEvent) -> Void {
    let begun = job.seconds
    return { [job, searching] event in
      switch event {
      case .journal(let entry): job.record(entry)
      case .progress(let fraction, let phase, let detail, let best):
        let spent = job.seconds - begun
        job.report(
          JobProgress(
            fraction: Self.loading + (searching - Self.loading) * fraction, phase: phase.rawValue, detail: detail,
            best: best?.score, etaSeconds: fraction > 0.02 ? spent * (1 - fraction) / fraction : nil))
      }
    }
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
