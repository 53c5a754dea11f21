import Settings
import Evaluation
import WorkerProtocol

/// A task as the daemon keeps it; with `onlyShots` its eval and training files stay closed.
func loadTask(_ reference: TaskReference, onlyShots: Bool = false) throws(WorkerFault) -> TaskDefinition {
  do {
    return try TaskFile.load(path: reference.path, name: reference.name, onlyShots: onlyShots)
  } catch {
    throw WorkerFault(.taskUnreadable, error.description)
  }
}

extension TaskDefinition {
  /// The rows that a job scores, which there must be; `automatic` are the eval rows where there are any.
  func rows(_ wanted: RowSplit, limit: Int?) throws(WorkerFault) -> (RowSplit, [TaskRow]) {
    let split: RowSplit =
      switch wanted {
      case .automatic: eval.isEmpty ? .fewshot : .eval
      case .eval, .fewshot, .train: wanted
      }
    let rows: [TaskRow] =
      switch split {
      case .automatic, .fewshot: shots
      case .eval: eval
      case .train: train
      }
    guard !rows.isEmpty else {
      throw WorkerFault(
        .taskUnreadable, "the task '\(name)' has no \(split.rawValue) rows; put them into \(split.rawValue).jsonl")
    }
    guard let limit else { return (split, rows) }
    guard limit > 0 else { throw WorkerFault(.badRequest, "\(limit) rows were asked for; ask for 1 or more") }
    return (split, Array(rows.prefix(limit)))
  }
}
