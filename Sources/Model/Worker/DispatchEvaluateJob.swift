import Adaptation
import Evaluation
import LinearAlgebra
import StrictJSON
import Transformer
import WorkerProtocol

extension DispatchEvaluateSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> JSONValue { try DispatchEvaluateJob(spec: self, job: job).run() }
}

/// Sorts labelled prompts by each of the strategies; runs in the thread of jobs.
///
/// The journal has an entry for each batch of rows under each strategy, so a job that was cut goes on after the last one.
struct DispatchEvaluateJob {
  let spec: DispatchEvaluateSpec
  let job: RunningJob

  func run() throws(WorkerFault) -> JSONValue {
    try job.using(spec.model) { (model) throws(WorkerFault) in
      var strategies = JSONObject()
      for (number, strategy) in spec.strategies.enumerated() {
        strategies[strategy.name] = try evaluate(strategy, number, on: model)
      }
      return [
        "n": JSONValue(spec.rows.count), "strategies": .object(strategies), "kernel": .string(BLAS.kernel.running),
        "seconds": .number(job.seconds),
      ]
    }
  }

  private func evaluate(
    _ strategy: DispatchEvaluateSpec.Strategy, _ number: Int, on model: LoadedModel
  ) throws(WorkerFault) -> JSONValue {
    let dispatch = strategy.dispatch
    let dispatcher = try Dispatcher(dispatch, for: model.model)
    let view = try model.view(dispatch.weights)
    var matrix = ConfusionMatrix(labels: dispatch.names)
    var items: [JSONValue] = []
    let kept = kept(strategy.name)
    for batch in DispatchBatch.ranges(of: spec.rows.count) {
      try job.checkCancelled()
      var found = kept[batch.lowerBound] ?? []
      if found.count != batch.count { found = try decide(batch, strategy, dispatcher, view, on: model) }
      for (item, row) in zip(found, spec.rows[batch]) {
        guard let given = item["given"]?.stringValue, dispatch.names.contains(given) else {
          throw WorkerFault(.failed, "the journal of job \(job.id) has no label for row \(row.line)")
        }
        matrix.add(truth: row.label, given: given)
      }
      items += found
      job.report(
        share(batch.upperBound, of: spec.rows.count, inPart: number, of: spec.strategies.count), "evaluating",
        "\(strategy.name), row \(batch.upperBound) of \(spec.rows.count)")
    }
    var result = matrix.json
    result["read"] = .string(dispatch.reading.rawValue)
    result["template"] = .string(dispatch.templateSource)
    result["items"] = .array(items)
    return .object(result)
  }

  /// The items of batches that an earlier run decided, by the row with which each begins.
  private func kept(_ strategy: String) -> [Int: [JSONValue]] {
    var kept: [Int: [JSONValue]] = [:]
    for entry in job.journal where entry["strategy"]?.stringValue == strategy {
      if let first = entry["first"]?.intValue { kept[first] = entry["items"]?.arrayValue }
    }
    return kept
  }

  private func decide(
    _ batch: Range<Int>, _ strategy: DispatchEvaluateSpec.Strategy, _ dispatcher: Dispatcher, _ view: WeightView,
    on model: LoadedModel
  ) throws(WorkerFault) -> [JSONValue] {
    let rows = spec.rows[batch]
    let outcomes = try model.decisions(
      rows.map { .init(prompt: $0.prompt, line: $0.line) }, strategy.dispatch, dispatcher, view, for: job)
    let items = zip(rows, outcomes).map { row, outcome -> JSONValue in
      var item: JSONObject = [
        "line": JSONValue(row.line), "label": .string(row.label), "given": .string(outcome.label),
        "probability": .number(dispatcher.probability(of: outcome)),
      ]
      if let text = outcome.text { item["text"] = .string(text) }
      if let note = outcome.note { item["note"] = .string(note) }
      return .object(item)
    }
    job.record([
      "first": JSONValue(batch.lowerBound), "strategy": .string(strategy.name), "items": .array(items),
    ])
    return items
  }
}
