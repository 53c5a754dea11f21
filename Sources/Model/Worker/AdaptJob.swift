import Adaptation
import Evaluation
import Multipliers
import StrictJSON
import SystemSupport
import Transformer
import WorkerProtocol

extension AdaptSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> AdaptResult { try AdaptJob(spec: self, job: job).run() }
}

/// Searches the mixture that serves a task, and writes its vectors; runs in the thread of jobs.
///
/// The journal holds the search's entries and after them one entry for each set of weights that was scored on the eval
/// file, so a job that was killed at any point goes on after what it had done.
struct AdaptJob {
  let spec: AdaptSpec
  let job: RunningJob

  /// Of the job's work, what searching takes.
  var searching: Double { spec.evaluates ? 0.75 : 1 }

  func run() throws(WorkerFault) -> AdaptResult {
    let task = try loadTask(spec.task, onlyShots: true)
    return try job.using(spec.model) { (model) throws(WorkerFault) in try run(task, on: model) }
  }

  private func run(_ task: TaskDefinition, on model: LoadedModel) throws(WorkerFault) -> AdaptResult {
    let inputs = try SearchInputs(task, model, spec.experts)
    let shots = try inputs.shots(spec.search.shots)
    let settings = try inputs.settings(spec.search, shots: shots)
    var clocks = Clocks()
    clocks.stop("loading", job)

    let outcome = try inputs.search(
      settings, shots: shots, journal: job.journal.filter { $0["entry"] != "eval" }, for: job, report: report())
    clocks.stop("search", job)
    var scores = Scores(outcome)
    if spec.evaluates, var rows = try EvalRows(spec.task, inputs, job) {
      try evaluate(&rows, inputs, outcome, settings.objective, into: &scores)
      clocks.stop("evaluating", job)
    }
    job.report(1, "writing", "writing the mixture's vectors")
    let digest = try writeVectors(outcome, inputs)
    clocks.stop("writing", job)
    var result = result(outcome, scores, inputs, shots: shots.count, clocks)
    result.vectorsDigest = digest.description
    return result
  }

  private func report() -> (AdaptationEvent) -> Void {
    { [job, searching] event in
      switch event {
      case .journal(let entry): job.record(entry)
      case .progress(let fraction, let phase, let detail, let best):
        job.report(searching * fraction, phase.rawValue, detail, best: best?.score)
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
