import Adaptation
import Evaluation
import LinearAlgebra
import StrictJSON
import Transformer
import WorkerProtocol

/// Sorts labelled prompts by each of the strategies; runs in the thread of jobs.
///
/// The journal has an entry for each row under each strategy, so a job that was cut goes on after the last one.
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
    for (index, row) in spec.rows.enumerated() {
      try job.checkCancelled()
      var item = kept(index, strategy.name) ?? .null
      if item == .null { item = try decide(row, index, strategy, dispatcher, view, on: model) }
      guard let given = item["given"]?.stringValue, dispatch.names.contains(given) else {
        throw WorkerFault(.failed, "the journal of job \(job.id) has no label for row \(row.line)")
      }
      matrix.add(truth: row.label, given: given)
      items.append(item)
      let done = number * spec.rows.count + index + 1
      let share = Double(done) / Double(spec.rows.count * spec.strategies.count)
      job.report(
        JobProgress(
          fraction: Self.loading + (1 - Self.loading) * share, phase: "evaluating",
          detail: "\(strategy.name), row \(index + 1) of \(spec.rows.count)",
          etaSeconds: job.seconds * (1 - share) / share))
    }
    var result = matrix.json
    result["read"] = .string(dispatch.reading.rawValue)
    result["template"] = .string(dispatch.templateSource)
    result["items"] = .array(items)
    return .object(result)
  }

  private func kept(_ index: Int, _ strategy: String) -> JSONValue? {
    job.journal.first { $0["row"]?.intValue == index && $0["strategy"]?.stringValue == strategy }?["item"]
  }

  private func decide(
    _ row: DispatchEvaluateSpec.Row, _ index: Int, _ strategy: DispatchEvaluateSpec.Strategy,
    _ dispatcher: Dispatcher, _ view: WeightView, on model: LoadedModel
  ) throws(WorkerFault) -> JSONValue {
    let outcome = try model.decision(row.prompt, line: row.line, strategy.dispatch, dispatcher, view, for: job)
    var item: JSONObject = [
      "line": JSONValue(row.line), "label": .string(row.label), "given": .string(outcome.label),
      "probability": .number(
        zip(dispatcher.labels, outcome.probabilities).first { $0.0 == outcome.label }?.1 ?? 0),
    ]
    if let text = outcome.text { item["text"] = .string(text) }
    if let note = outcome.note { item["note"] = .string(note) }
    job.record(["row": JSONValue(index), "strategy": .string(strategy.name), "item": .object(item)])
    return .object(item)
  }
}

extension LoadedModel {
  /// Pass one of a job, on the prompt of a row, which errors name by its line.
  func decision(
    _ prompt: String, line: Int, _ dispatch: DispatchSpec, _ dispatcher: Dispatcher, _ view: WeightView,
    for job: RunningJob
  ) throws(WorkerFault) -> Dispatcher.Outcome {
    let outcome: Dispatcher.Outcome
    do throws(WorkerFault) {
      outcome = try deciding { () throws(DispatcherError) in
        switch dispatch.reading {
        case .score:
          return try dispatcher.score(prompt, under: view, inPiecesOf: LanguageModel.batchRows, priority: .job)
        case .generate:
          let request = try dispatcher.request(prompt, under: view, maximumTokens: dispatch.maximumTokens)
          let text: String
          do throws(TransformerError) {
            text = try model.generate([request], priority: .job) { _ in !job.isCancelled }[0].text
          } catch {
            throw .model(error)
          }
          return try dispatcher.read(
            text, to: prompt, under: view, inPiecesOf: LanguageModel.batchRows, priority: .job)
        }
      }
    } catch {
      throw WorkerFault(error.kind, "line \(line): \(error.message)")
    }
    try job.checkCancelled()
    return outcome
  }
}
