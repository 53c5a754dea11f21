package import Engines
package import Evaluation
package import LinearAlgebra
package import Multipliers
package import Sandbox

/// Scores rows under one set of weights, item by item: what an evaluation job does and what a report shows.
package struct RowEvaluator {
  private let task: TaskDefinition
  private let model: any Engine
  private let encoder: TaskEncoder
  private let sandbox: Sandbox?
  private let priority: ComputePool.Priority

  /// Rows of one call, computed together. Between calls a job can be cancelled; a short request comes in between the
  /// tiles of one.
  package static let batch = 32

  package init(
    _ task: TaskDefinition, model: any Engine, sandbox: Sandbox?, priority: ComputePool.Priority = .job
  ) throws(TaskEncodingError) {
    self.task = task
    self.model = model
    self.sandbox = sandbox
    encoder = try TaskEncoder(task, for: model)
    self.priority = priority
  }

  package enum Failure: Error {
    case encoding(TaskEncodingError)
    case model(EngineError)
    case scoring(EvaluationError)
    case cancelled
  }

  /// Items in the order of the rows. `progress` is shown those that are done, between batches; `shouldStop` is asked there.
  package func evaluate(
    _ rows: [TaskRow], under view: WeightView, shouldStop: @escaping @Sendable () -> Bool = { false },
    progress: ([EvaluationResult.Item]) -> Void = { _ in }
  ) throws(Failure) -> [EvaluationResult.Item] {
    let encoded: [EncodedRow]
    do { encoded = try encoder.encode(rows) } catch { throw .encoding(error) }
    let scorer: TaskScorer
    do { scorer = try TaskScorer(task, sandbox: sandbox) } catch { throw .scoring(error) }
    var items: [EvaluationResult.Item] = []
    for start in stride(from: 0, to: encoded.count, by: Self.batch) {
      guard !shouldStop() else { throw .cancelled }
      let batch = Array(encoded[start..<min(start + Self.batch, encoded.count)])
      items += try score(batch, view, with: scorer, shouldStop)
      progress(items)
    }
    return items
  }

  /// As ``evaluate(_:under:shouldStop:progress:)``, for many rows under one vector, which the engine may make ready for
  /// them where anything is scored: decoding reads the vector itself.
  package func evaluate(
    _ rows: [TaskRow], underMany vector: MultiplierVector, shouldStop: @escaping @Sendable () -> Bool = { false },
    progress: ([EvaluationResult.Item]) -> Void = { _ in }
  ) throws(Failure) -> [EvaluationResult.Item] {
    var view = vector.isIdentity ? WeightView.base : .factored(vector)
    if rows.contains(where: { $0.scoring == .choice }) {
      do { view = try model.weights(forManyRowsUnder: vector, priority: priority) } catch { throw .model(error) }
    }
    return try evaluate(rows, under: view, shouldStop: shouldStop, progress: progress)
  }

  private func score(
    _ batch: [EncodedRow], _ view: WeightView, with scorer: TaskScorer, _ shouldStop: @escaping @Sendable () -> Bool
  ) throws(Failure) -> [EvaluationResult.Item] {
    var items: [EvaluationResult.Item?] = Array(repeating: nil, count: batch.count)
    let choices = batch.indices.filter { !batch[$0].continuations.isEmpty }
    let generated = batch.indices.filter { batch[$0].continuations.isEmpty }
    let scores: [[ContinuationScore]]
    let answers: [Generation]
    do {
      scores = try model.score(
        choices.map { batch[$0].item }, under: view, priority: priority, shouldStop: shouldStop)
      answers = try generateAnswers(
        generated.map { batch[$0] }, of: task, by: model, under: view, priority: priority, shouldStop: shouldStop
      )
    } catch {
      if case .stopped = error { throw .cancelled }
      throw .model(error)
    }
    do {
      for (index, score) in zip(choices, scores) {
        items[index] = try scorer.score(batch[index].row, sums: score.map(\.sum))
      }
      for (index, answer) in zip(generated, answers) {
        items[index] = try scorer.score(batch[index].row, output: answer.text, shouldStop: shouldStop)
      }
    } catch {
      if case .code(.stopped) = error { throw .cancelled }
      throw .scoring(error)
    }
    return items.compactMap(\.self)
  }
}
