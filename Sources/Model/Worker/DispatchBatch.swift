import Adaptation
import Engines
import WorkerProtocol

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
  /// The first pass of a job, on one batch.
  func decisions(
    _ batch: [DispatchBatch.Prompt], _ dispatch: DispatchSpec, _ dispatcher: Dispatcher, _ view: WeightView,
    for job: RunningJob
  ) throws(WorkerFault) -> [Dispatcher.Outcome] {
    switch dispatch.reading {
    case .score:
      var items: [ScoringItem] = []
      for row in batch { items.append(try at(row) { try dispatcher.item(row.prompt) }) }
      return try faulting { try dispatcher.score(items, under: view, priority: .job) }
    case .generate:
      var requests: [GenerationRequest] = []
      for row in batch {
        requests.append(
          try at(row) {
            try dispatcher.request(row.prompt, under: view, maximumTokens: dispatch.maximumTokens)
          })
      }
      let texts = try faulting {
        try model.generate(requests, priority: .job) { _ in !job.isCancelled }.map(\.text)
      }
      var outcomes: [Dispatcher.Outcome] = []
      for (row, text) in zip(batch, texts) {
        try job.checkCancelled()
        outcomes.append(
          try at(row) {
            try dispatcher.read(
              text, to: row.prompt, under: view, inPiecesOf: model.passRows, priority: .job)
          })
      }
      return outcomes
    }
  }

  /// What is wrong with a row is said with its line.
  private func at<Value>(
    _ row: DispatchBatch.Prompt, _ body: () throws -> Value
  ) throws(WorkerFault) -> Value {
    do throws(WorkerFault) {
      return try faulting(body)
    } catch {
      throw WorkerFault(error.kind, "line \(row.line): \(error.message)", retry: error.retry)
    }
  }
}
