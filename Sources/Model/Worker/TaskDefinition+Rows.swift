import Settings
import Evaluation
import SystemSupport
import WorkerProtocol

/// A task as the daemon keeps it; with `onlyShots` its eval and training files stay closed.
func loadTask(_ reference: TaskReference, onlyShots: Bool = false) throws(WorkerFault) -> TaskDefinition {
  do {
    let files = try TaskFile.read(path: reference.path, onlyShots: onlyShots)
    let stored = reference.files?.map { (name: $0.name, digest: $0.digest) }
    if let stored, let problem = files.difference(from: stored, onlyShots: onlyShots) {
      throw WorkerFault.damaged("task '\(reference.name)'", reference.path, problem)
    }
    guard let reading = RowReading(rawValue: reference.reading ?? RowReading.first.rawValue) else {
      throw WorkerFault(
        .taskUnreadable, "the task '\(reference.name)' is read by rules that this t2-worker does not have")
    }
    return try TaskDefinition(name: reference.name, files: files, reading: reading)
  } catch let fault as WorkerFault {
    throw fault
  } catch {
    throw reference.fault(error)
  }
}

extension TaskReference {
  /// Its files were good when they were stored: what cannot be read, and is there, may be read later.
  fileprivate func fault(_ error: any Error) -> WorkerFault {
    guard files != nil, let error = error as? TaskFileError else { return WorkerFault(.taskUnreadable, "\(error)") }
    switch error {
    case .unreadable(let file, _):
      let isThere = ((try? FileSystem.status(file)) ?? nil) != nil
      if isThere { return WorkerFault(.files, error.description, retry: true) }
      return .damaged("task '\(name)'", path, "it is missing")
    default: return .damaged("task '\(name)'", path, error.description)
    }
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
