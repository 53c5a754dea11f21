import Adaptation
import Evaluation
import LinearAlgebra
import StrictJSON
import Transformer
import WorkerProtocol

extension EvaluateSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> JSONValue { try EvaluateJob(spec: self, job: job).run() }
}

/// Scores a task's rows under some weights; runs in the thread of jobs.
struct EvaluateJob {
  let spec: EvaluateSpec
  let job: RunningJob

  func run() throws(WorkerFault) -> JSONValue {
    let task = try loadTask(spec.task)
    let (split, rows) = try task.rows(spec.split, limit: spec.limit)
    return try job.using(spec.model) { (model) throws(WorkerFault) in
      var scorer = try RowScorer(task, rows: rows, on: model, for: job)
      var result: JSONObject
      switch spec.weights {
      case .fixed(let weights):
        let items = try scorer.items(under: weights, column: Self.column) { done in
          job.report(share(done, of: rows.count), "evaluating", "row \(done) of \(rows.count)")
        }
        result = EvaluationResult(task: task, items: items).json.objectValue ?? [:]
      case .dispatched(let dispatch): result = try dispatched(by: dispatch, &scorer)
      }
      result["split"] = .string(split.rawValue)
      if task.scoring == .code { result["protections"] = JSONValue(scorer.protections) }
      result["kernel"] = .string(BLAS.kernel.running)
      result["seconds"] = .number(job.seconds)
      return .object(result)
    }
  }

  /// The only one, in the journal.
  private static let column = "evaluation"

  /// Each row under the weights of its label, which the item names.
  private func dispatched(by dispatch: DispatchSpec, _ scorer: inout RowScorer) throws(WorkerFault) -> JSONObject {
    let count = scorer.rows.count
    let decisions = try scorer.decisions(of: dispatch, column: Self.column) { done in
      job.report(share(done, of: count, of: 2), "dispatching", "row \(done) of \(count)")
    }
    let items = try scorer.items(decisions, of: dispatch, column: Self.column) { done in
      job.report(share(done, of: count, inPart: 1, of: 2), "evaluating", "row \(done) of \(count)")
    }
    var result = EvaluationResult(task: scorer.task, items: items).json.objectValue ?? [:]
    result.describe(decisions, of: dispatch)
    result["items"] = .array(
      zip(items, decisions).map { item, decision in
        var shown = item.json.objectValue ?? [:]
        shown.describe(decision)
        return .object(shown)
      })
    return result
  }
}
