import Engines
import Adaptation
import Evaluation
import Records
import Results
import Transformer
import WorkerProtocol

extension DispatchEvaluateSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> DispatchEvaluateResult {
    try DispatchEvaluateJob(spec: self, job: job).run()
  }
}

/// Sorts labelled prompts by each of the strategies; runs in the thread of jobs.
///
/// The journal has an entry for each batch of rows under each strategy, so a job that was cut goes on after the last one.
struct DispatchEvaluateJob {
  let spec: DispatchEvaluateSpec
  let job: RunningJob

  func run() throws(WorkerFault) -> DispatchEvaluateResult {
    try job.using(spec.model) { (model) throws(WorkerFault) in
      let strategies = try spec.strategies.enumerated().map { (number, strategy) throws(WorkerFault) in
        (strategy.name, try evaluate(strategy, number, on: model))
      }
      return DispatchEvaluateResult(
        count: spec.rows.count, strategies: ByName(strategies), kernel: job.kernel, seconds: job.seconds)
    }
  }

  private func evaluate(
    _ strategy: DispatchEvaluateSpec.Strategy, _ number: Int, on model: LoadedModel
  ) throws(WorkerFault) -> DispatchEvaluateResult.Strategy {
    let dispatch = strategy.dispatch
    let dispatcher = try Dispatcher(dispatch, for: model.model)
    let view = try model.view(dispatch.weights)
    var matrix = ConfusionMatrix(labels: dispatch.names)
    var items: [Item] = []
    let kept = kept(strategy.name)
    for batch in DispatchBatch.ranges(of: spec.rows.count) {
      try job.checkCancelled()
      var found = kept[batch.lowerBound] ?? []
      if found.count != batch.count { found = try decide(batch, strategy, dispatcher, view, on: model) }
      for (item, row) in zip(found, spec.rows[batch]) {
        guard dispatch.names.contains(item.given) else {
          throw WorkerFault(.failed, "the journal of job \(job.id) has no label for row \(row.line)")
        }
        matrix.add(truth: row.label, given: item.given)
      }
      items += found
      job.report(
        share(batch.upperBound, of: spec.rows.count, inPart: number, of: spec.strategies.count), "evaluating",
        "\(strategy.name), row \(batch.upperBound) of \(spec.rows.count)")
    }
    return DispatchEvaluateResult.Strategy(
      count: matrix.total, correct: matrix.correct, accuracy: matrix.accuracy, ci95: Interval(matrix.interval),
      otherShare: matrix.otherShare, labels: matrix.labels, matrix: matrix.counts, read: dispatch.reading,
      template: dispatch.templateSource, items: items)
  }

  private typealias Item = DispatchEvaluateResult.Item

  /// What a batch of rows came to, for the journal.
  private struct Entry: Codable {
    var first: Int
    var strategy: String
    var items: [Item]
  }

  /// The items of batches that an earlier run decided, by the row with which each begins.
  private func kept(_ strategy: String) -> [Int: [Item]] {
    var kept: [Int: [Item]] = [:]
    for entry in job.journal {
      guard let entry = try? RecordReader(unknownMembers: .ignored).read(entry, as: Entry.self) else { continue }
      if entry.strategy == strategy { kept[entry.first] = entry.items }
    }
    return kept
  }

  private func decide(
    _ batch: Range<Int>, _ strategy: DispatchEvaluateSpec.Strategy, _ dispatcher: Dispatcher, _ view: WeightView,
    on model: LoadedModel
  ) throws(WorkerFault) -> [Item] {
    let rows = spec.rows[batch]
    let outcomes = try model.decisions(
      rows.map { .init(prompt: $0.prompt, line: $0.line) }, strategy.dispatch, dispatcher, view, for: job)
    let items = zip(rows, outcomes).map { row, outcome in
      Item(
        line: row.line, label: row.label, given: outcome.label, probability: dispatcher.probability(of: outcome),
        text: outcome.text, note: outcome.note)
    }
    job.record(RecordWriter.json(Entry(first: batch.lowerBound, strategy: strategy.name, items: items)))
    return items
  }
}
