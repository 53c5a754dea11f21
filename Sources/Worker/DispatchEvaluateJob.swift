import Adaptation
import Evaluation
import LinearAlgebra
import StrictJSON
import Transformer
import WorkerProtocol

/// Sorts labelled prompts by each of the strategies; runs in the thread of jobs.
///
/// The journal has an entry for each batch of rows under each strategy, so a job that was cut goes on after the last one.
struct DispatchEvaluateJob {
  private let spec: DispatchEvaluateSpec
  private let job: RunningJob
  private let models: ModelStore

  /// Of the job's progress, what loading takes.
  private static let loading = 0.05

  init(_ spec: DispatchEvaluateSpec, _ job: RunningJob, _ models: ModelStore) {
    self.spec = spec
    self.job = job
    self.models = models
  }

  func run() throws(WorkerFault) -> JSONValue {
    try models.using(spec.model, progress: job.loadingProgress(of: Self.loading)) {
      (model) throws(WorkerFault) in
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
      let done = number * spec.rows.count + batch.upperBound
      let share = Double(done) / Double(spec.rows.count * spec.strategies.count)
      job.report(
        JobProgress(
          fraction: Self.loading + (1 - Self.loading) * share, phase: "evaluating",
          detail: "\(strategy.name), row \(batch.upperBound) of \(spec.rows.count)",
          etaSeconds: job.seconds * (1 - share) / share))
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

/// Prompts that are decided together in a job.
enum DispatchBatch {
  struct Prompt {
    var prompt: String
    /// For errors.
    var line: Int
  }

  /// Some quarter of a second of work, and enough rows for products that pay.
  private static let size = 16

  /// What is computed together is a function of the row alone, so that a resumed job ends with the same bits.
  static func ranges(of count: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
  }
}

extension LoadedModel {
  /// Pass one of a job, on one batch.
  func decisions(
    _ batch: [DispatchBatch.Prompt], _ dispatch: DispatchSpec, _ dispatcher: Dispatcher, _ view: WeightView,
    for job: RunningJob
  ) throws(WorkerFault) -> [Dispatcher.Outcome] {
    switch dispatch.reading {
    case .score:
      var items: [ScoringItem] = []
      for row in batch { items.append(try at(row) { () throws(DispatcherError) in try dispatcher.item(row.prompt) }) }
      return try deciding { () throws(DispatcherError) in try dispatcher.score(items, under: view, priority: .job) }
    case .generate:
      var requests: [GenerationRequest] = []
      for row in batch {
        requests.append(
          try at(row) { () throws(DispatcherError) in
            try dispatcher.request(row.prompt, under: view, maximumTokens: dispatch.maximumTokens)
          })
      }
      let texts: [String]
      do throws(TransformerError) {
        texts = try model.generate(requests, priority: .job) { _ in !job.isCancelled }.map(\.text)
      } catch {
        throw WorkerFault(error)
      }
      var outcomes: [Dispatcher.Outcome] = []
      for (row, text) in zip(batch, texts) {
        try job.checkCancelled()
        outcomes.append(
          try at(row) { () throws(DispatcherError) in
            try dispatcher.read(
              text, to: row.prompt, under: view, inPiecesOf: LanguageModel.batchRows, priority: .job)
          })
      }
      return outcomes
    }
  }

  /// What is wrong with a row is said with its line.
  private func at<Value>(
    _ row: DispatchBatch.Prompt, _ body: () throws(DispatcherError) -> Value
  ) throws(WorkerFault) -> Value {
    do throws(WorkerFault) {
      return try deciding(body)
    } catch {
      throw WorkerFault(error.kind, "line \(row.line): \(error.message)")
    }
  }
}
