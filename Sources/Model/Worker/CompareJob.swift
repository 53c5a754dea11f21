import Evaluation
import Records
import Results
import Settings
import WorkerProtocol

extension CompareSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> CompareResult { try CompareJob(spec: self, job: job).run() }
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

  func run() throws(WorkerFault) -> CompareResult {
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
  ) -> CompareResult {
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
    return CompareResult(
      count: rows.count, task: task.name, metric: task.metric.rawValue, scoring: task.scoring,
      template: task.templateName, split: split, bestExpert: table.bestExpert,
      columns: zip(scored, table.lines).map { summary($0, $1, task) }, skipped: spec.skipped, notes: notes,
      items: rows.enumerated().map { item($0, $1, scored, task) }, kernel: job.kernel,
      seconds: scored.reduce(0) { $0 + $1.seconds })
  }

  private func summary(_ scored: Scored, _ line: ComparisonTable.Line, _ task: TaskDefinition) -> CompareResult.Column {
    var scores = EvaluationResult(task: task, items: scored.items).scores
    // What is behind a score is for evaluations.
    (scores.exactMatchByRule, scores.outcomes) = (nil, nil)
    var sorting = RowSorting()
    if case .dispatched(let dispatch) = scored.column.weights, let decisions = scored.decisions {
      sorting = RowSorting(decisions, of: dispatch)
    }
    return CompareResult.Column(
      name: line.name, strategy: scored.column.strategy, count: line.count, correct: line.correct, score: line.share,
      scores: scores, ci95: Interval(line.interval), versusBase: line.versusBase.map { EvalSummary.Paired($0) },
      versusBestExpert: line.versusBestExpert.map { EvalSummary.Paired($0) }, sorting: sorting, seconds: scored.seconds)
  }

  /// What every column made of one row.
  private func item(
    _ number: Int, _ row: TaskRow, _ scored: [Scored], _ task: TaskDefinition
  ) -> CompareResult.Item {
    let columns = scored.map { one in
      let (item, decision) = (one.items[number], one.decisions?[number])
      return (
        one.column.name,
        CompareResult.Item.Cell(
          isRight: item.isCorrect(task.metric), answer: item.answer(task.metric), label: decision?.label,
          labelProbability: decision?.probability)
      )
    }
    return CompareResult.Item(
      id: row.id, line: row.line, question: task.request(of: row), gold: row.goldAnswer, columns: ByName(columns))
  }
}
