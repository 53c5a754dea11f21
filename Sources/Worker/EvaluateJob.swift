import Adaptation
import Evaluation
import LinearAlgebra
import StrictJSON
import Transformer
import WorkerProtocol

/// Scores a task's rows under some weights; runs in the thread of jobs.
struct EvaluateJob {
  private let spec: EvaluateSpec
  private let job: RunningJob
  private let models: ModelStore

  /// Of the job's progress, what loading takes.
  private static let loading = 0.1

  init(_ spec: EvaluateSpec, _ job: RunningJob, _ models: ModelStore) {
    self.spec = spec
    self.job = job
    self.models = models
  }

  func run() throws(WorkerFault) -> JSONValue {
    let task = try loadTask(spec.task)
    let (split, rows) = try task.rows(spec.split, limit: spec.limit)
    return try models.using(spec.model, progress: job.loadingProgress(of: Self.loading)) {
      (model) throws(WorkerFault) in
      var scorer = try RowScorer(task, rows: rows, on: model, for: job)
      var result: JSONObject
      switch spec.weights {
      case .fixed(let weights):
        let items = try scorer.items(under: weights, column: Self.column) { report($0, of: rows.count) }
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
    let decisions = try scorer.decisions(of: dispatch, column: Self.column) { report($0, of: 2 * count) }
    let items = try scorer.items(decisions, of: dispatch, column: Self.column) { report(count + $0, of: 2 * count) }
    var result = EvaluationResult(task: scorer.task, items: items).json.objectValue ?? [:]
    result["labels"] = dispatch.shares(of: decisions)
    result["read"] = .string(dispatch.reading.rawValue)
    result["dispatch_template"] = .string(dispatch.templateSource)
    result["items"] = .array(
      zip(items, decisions).map { item, decision in
        var shown = item.json.objectValue ?? [:]
        shown["label"] = .string(decision.label)
        shown["label_probability"] = .number(decision.probability)
        return .object(shown)
      })
    return result
  }

  /// Of a dispatched evaluation half is deciding.
  private func report(_ done: Int, of count: Int) {
    let share = Double(done) / Double(count)
    job.report(
      JobProgress(
        fraction: Self.loading + (1 - Self.loading) * share, phase: "evaluating", detail: "row \(done) of \(count)",
        etaSeconds: share > 0 ? job.seconds * (1 - share) / share : nil))
  }
}

/// A task as the daemon keeps it; with `onlyShots` its eval and training files stay closed.
func loadTask(_ reference: TaskReference, onlyShots: Bool = false) throws(WorkerFault) -> TaskDefinition {
  do {
    return try TaskFile.load(path: reference.path, name: reference.name, onlyShots: onlyShots)
  } catch {
    throw WorkerFault(.taskUnreadable, error.description)
  }
}

extension WorkerFault {
  /// An error of encoding or scoring rows.
  init(evaluating error: any Error) {
    switch error {
    case let error as WorkerFault: self = error
    case let error as TaskEncodingError: self.init(error)
    case let error as EvaluationError: self.init(error)
    case RowEvaluator.Failure.encoding(let error): self.init(error)
    case RowEvaluator.Failure.model(let error): self.init(error)
    case RowEvaluator.Failure.scoring(let error): self.init(error)
    case RowEvaluator.Failure.cancelled: self.init(.cancelled, "the job was cancelled")
    default: self.init(.failed, "\(error)")
    }
  }

  init(_ error: EvaluationError) {
    let kind: Kind =
      switch error {
      case .codeExecutionDisabled, .code: .unsupported
      case .scoreCount, .invalidPattern: .taskUnreadable
      }
    self.init(kind, error.description)
  }

  init(_ error: TaskEncodingError) {
    let kind: Kind =
      switch error {
      case .noTokenizer: .noTokenizer
      case .noChatTemplate: .unsupported
      case .emptyChoice: .taskUnreadable
      case .tooLong: .promptTooLong
      }
    self.init(kind, error.description)
  }
}
