import Adaptation
import Evaluation
import Records
import Results
import StrictJSON
import Transformer
import WorkerProtocol

extension EvaluateSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> EvaluateResult { try EvaluateJob(spec: self, job: job).run() }
}

/// Scores a task's rows under some weights; runs in the thread of jobs.
struct EvaluateJob {
  let spec: EvaluateSpec
  let job: RunningJob

  func run() throws(WorkerFault) -> EvaluateResult {
    let task = try loadTask(spec.task)
    let (split, rows) = try task.rows(spec.split, limit: spec.limit)
    return try job.using(spec.model) { (model) throws(WorkerFault) in
      var scorer = try RowScorer(task, rows: rows, on: model, for: job)
      var sorting = RowSorting()
      let found: [EvaluationResult.Item]
      var shown: [JSONObject]
      switch spec.weights {
      case .fixed(let weights):
        found = try scorer.items(under: weights, column: Self.column) { done in
          job.report(share(done, of: rows.count), "evaluating", "row \(done) of \(rows.count)")
        }
        shown = found.map(\.json)
      case .dispatched(let dispatch):
        // Each row under the weights of its label, which the item names.
        let decisions: [RowScorer.Decision]
        (decisions, found) = try dispatched(by: dispatch, &scorer)
        sorting = RowSorting(decisions, of: dispatch)
        shown = found.map(\.json)
        for (index, decision) in decisions.enumerated() {
          shown[index]["label"] = .string(decision.label)
          shown[index]["label_probability"] = .number(decision.probability)
        }
      }
      let scored = EvaluationResult(task: task, items: found)
      return EvaluateResult(
        count: scored.count, scores: scored.scores, ci95: Interval(scored.interval), task: scored.task,
        metric: scored.metric.rawValue, scoring: scored.scoring, template: scored.template, items: shown,
        sorting: sorting, split: split, protections: task.scoring == .code ? scorer.protections : nil,
        kernel: job.kernel, seconds: job.seconds)
    }
  }

  /// The only one, in the journal.
  private static let column = "evaluation"

  private func dispatched(
    by dispatch: DispatchSpec, _ scorer: inout RowScorer
  ) throws(WorkerFault) -> ([RowScorer.Decision], [EvaluationResult.Item]) {
    let count = scorer.rows.count
    let decisions = try scorer.decisions(of: dispatch, column: Self.column) { done in
      job.report(share(done, of: count, of: 2), "dispatching", "row \(done) of \(count)")
    }
    let items = try scorer.items(decisions, of: dispatch, column: Self.column) { done in
      job.report(share(done, of: count, inPart: 1, of: 2), "evaluating", "row \(done) of \(count)")
    }
    return (decisions, items)
  }
}

extension Interval {
  init(_ interval: WilsonInterval) { self.init(interval.low, interval.high) }
}
