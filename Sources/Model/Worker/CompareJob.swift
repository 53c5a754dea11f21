import Settings
import Evaluation
import LinearAlgebra
import Records
import Results
import StrictJSON
import WorkerProtocol

extension CompareSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> JSONValue { try CompareJob(spec: self, job: job).run() }
}

/// Scores the same rows under the base, every expert, and the strategies A, B and C (arXiv 2501.06252, table 2), and
/// compares them row by row; runs in the thread of jobs.
struct CompareJob {
  let spec: CompareSpec
  let job: RunningJob

  /// A column with what became of it.
  private struct Scored {
    var column: CompareSpec.Column
    var items: [EvaluationResult.Item]
    var decisions: [RowScorer.Decision]?
    var seconds: Double
  }

  func run() throws(WorkerFault) -> JSONValue {
    let task = try loadTask(spec.task)
    let (split, rows) = try task.rows(spec.split, limit: spec.limit)
    return try job.using(spec.model) { (model) throws(WorkerFault) in
      var scorer = try RowScorer(task, rows: rows, on: model, for: job)
      var scored: [Scored] = []
      for (number, column) in spec.columns.enumerated() {
        try job.checkCancelled()
        let progress = { (done: Int) in
          job.report(
            share(done, of: rows.count, inPart: number, of: spec.columns.count), "comparing",
            "\(column.name): row \(done) of \(rows.count)")
        }
        scored.append(try score(column, &scorer, progress))
      }
      return result(scored, rows, of: task, split)
    }
  }

  private func score(
    _ column: CompareSpec.Column, _ scorer: inout RowScorer, _ progress: (Int) -> Void
  ) throws(WorkerFault) -> Scored {
    var decisions: [RowScorer.Decision]?
    let items: [EvaluationResult.Item]
    switch column.weights {
    case .fixed(let weights): items = try scorer.items(under: weights, column: column.name, progress: progress)
    case .dispatched(let dispatch):
      let labels = try scorer.decisions(of: dispatch, column: column.name, progress: progress)
      // Every label's weights have a column of their own, so nothing is left to compute.
      items = try scorer.items(labels, of: dispatch, column: column.name, progress: { _ in })
      decisions = labels
    }
    return Scored(column: column, items: items, decisions: decisions, seconds: scorer.seconds[column.name] ?? 0)
  }

  // MARK: - result

  private func result(
    _ scored: [Scored], _ rows: [TaskRow], of task: TaskDefinition, _ split: RowSplit
  ) -> JSONValue {
    let table = ComparisonTable(
      scored.map { one in
        ComparisonTable.Column(
          name: one.column.name, isExpert: one.column.strategy == .expert,
          right: one.items.map { $0.isCorrect(task.metric) })
      })
    var notes = scored.compactMap { one in one.column.note.map { "\(one.column.name): \($0)" } }
    if split != .eval, scored.contains(where: { $0.column.strategy == .mixture }) {
      notes.append("mixture: these are not eval rows; it may have been fitted to them")
    }
    return [
      "n": JSONValue(rows.count), "task": .string(task.name), "metric": .string(task.metric.rawValue),
      "scoring": .string(task.scoring.rawValue), "template": .string(task.templateName),
      "split": .string(split.rawValue), "best_expert": JSONValue(table.bestExpert),
      "columns": .array(zip(scored, table.lines).map { summary($0, $1, task) }),
      "skipped": .array(spec.skipped.map(\.json)), "notes": JSONValue(notes),
      "items": .array(rows.enumerated().map { item($0, $1, scored, task) }),
      "kernel": .string(BLAS.kernel.running), "seconds": .number(scored.reduce(0) { $0 + $1.seconds }),
    ]
  }

  private func summary(_ scored: Scored, _ line: ComparisonTable.Line, _ task: TaskDefinition) -> JSONValue {
    let scores = EvaluationResult(task: task, items: scored.items)
    var summary: JSONObject = [
      "column": .string(line.name), "strategy": .string(scored.column.strategy.rawValue),
      "n": JSONValue(line.count), "correct": JSONValue(line.correct), "score": .number(line.share),
    ]
    for metric in task.scoring == .choice ? [Metric.acc, .accNorm] : [task.metric] {
      summary[metric.rawValue] = .number(scores.share(metric))
    }
    summary["ci95"] = [.number(line.interval.low), .number(line.interval.high)]
    summary["versus_base"] = line.versusBase.map { RecordWriter.json(EvalSummary.Paired($0)) } ?? .null
    summary["versus_best_expert"] = line.versusBestExpert.map { RecordWriter.json(EvalSummary.Paired($0)) } ?? .null
    if case .dispatched(let dispatch) = scored.column.weights, let decisions = scored.decisions {
      summary.describe(decisions, of: dispatch)
    }
    summary["seconds"] = .number(scored.seconds)
    return .object(summary)
  }

  /// What every column made of one row.
  private func item(_ number: Int, _ row: TaskRow, _ scored: [Scored], _ task: TaskDefinition) -> JSONValue {
    let metric = task.metric
    var columns = JSONObject()
    for one in scored {
      let item = one.items[number]
      var shown: JSONObject = ["right": .bool(item.isCorrect(metric)), "answer": .string(item.answer(metric))]
      if let decisions = one.decisions {
        shown.describe(decisions[number])
      }
      columns[one.column.name] = .object(shown)
    }
    return [
      "id": .string(row.id), "line": JSONValue(row.line), "question": .string(task.request(of: row)),
      "gold": .string(row.goldAnswer), "columns": .object(columns),
    ]
  }
}
