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
    let (split, rows) = rows(of: task)
    guard !rows.isEmpty else {
      throw WorkerFault(
        .taskUnreadable, "the task '\(task.name)' has no \(split.rawValue) rows; put them into \(split.rawValue).jsonl")
    }
    return try models.using(spec.model, progress: job.loadingProgress(of: Self.loading)) {
      (model) throws(WorkerFault) in
      let items = try evaluate(rows, of: task, with: model)
      guard case .object(var result) = EvaluationResult(task: task, items: items).json else { return .null }
      result["split"] = .string(split.rawValue)
      result["kernel"] = .string(BLAS.kernel.running)
      result["seconds"] = .number(job.seconds)
      return .object(result)
    }
  }

  private func rows(of task: TaskDefinition) -> (EvaluateSpec.Split, [TaskRow]) {
    let split: EvaluateSpec.Split =
      switch spec.split {
      case .automatic: task.eval.isEmpty ? .fewshot : .eval
      case .eval, .fewshot, .train: spec.split
      }
    let rows: [TaskRow] =
      switch split {
      case .automatic, .fewshot: task.shots
      case .eval: task.eval
      case .train: task.train
      }
    return (split, Array(rows.prefix(spec.limit ?? rows.count)))
  }

  private func evaluate(
    _ rows: [TaskRow], of task: TaskDefinition, with model: LoadedModel
  ) throws(WorkerFault) -> [EvaluationResult.Item] {
    let view = try model.view(spec.weights)
    do {
      let evaluator = try RowEvaluator(task, model: model.model)
      return try evaluator.evaluate(rows, under: view, shouldStop: { job.isCancelled }) { done in
        let share = Double(done) / Double(rows.count)
        job.report(
          JobProgress(
            fraction: Self.loading + (1 - Self.loading) * share, phase: "evaluating",
            detail: "row \(done) of \(rows.count)",
            etaSeconds: share > 0 ? job.seconds * (1 - share) / share : nil))
      }
    } catch {
      throw WorkerFault(evaluating: error)
    }
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
    case RowEvaluator.Failure.encoding(let error): self.init(error)
    case RowEvaluator.Failure.model(let error): self.init(error)
    case RowEvaluator.Failure.scoring(let error): self.init(.taskUnreadable, "\(error)")
    case RowEvaluator.Failure.cancelled: self.init(.cancelled, "the job was cancelled")
    default: self.init(.failed, "\(error)")
    }
  }

  init(_ error: TaskEncodingError) {
    let kind: Kind =
      switch error {
      case .noTokenizer: .noTokenizer
      case .noChatTemplate, .codeRow: .unsupported
      case .emptyChoice: .taskUnreadable
      case .tooLong: .promptTooLong
      }
    self.init(kind, error.description)
  }
}
