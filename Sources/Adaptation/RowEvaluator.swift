package import Evaluation
package import LinearAlgebra
package import Transformer

/// Scores rows under one set of weights, item by item: what an evaluation job does and what a report shows.
package struct RowEvaluator {
  private let task: TaskDefinition
  private let model: LanguageModel
  private let encoder: TaskEncoder
  private let priority: ComputePool.Priority

  /// Rows of one call. Between calls a job can be cancelled; a short request comes in between the tiles of one.
  private static let batch = 32

  package init(
    _ task: TaskDefinition, model: LanguageModel, priority: ComputePool.Priority = .job
  ) throws(TaskEncodingError) {
    self.task = task
    self.model = model
    encoder = try TaskEncoder(task, for: model)
    self.priority = priority
  }

  package enum Failure: Error {
    case encoding(TaskEncodingError)
    case model(TransformerError)
    case scoring(EvaluationError)
    case cancelled
  }

  /// Items in the order of the rows. `progress` is told how many are done, between batches; `shouldStop` is asked there.
  package func evaluate(
    _ rows: [TaskRow], under view: WeightView, shouldStop: () -> Bool = { false }, progress: (Int) -> Void = { _ in }
  ) throws(Failure) -> [EvaluationResult.Item] {
    let encoded: [EncodedRow]
    do { encoded = try encoder.encode(rows) } catch { throw .encoding(error) }
    let scorer: TaskScorer
    do { scorer = try TaskScorer(task) } catch { throw .scoring(error) }
    var items: [EvaluationResult.Item] = []
    for start in stride(from: 0, to: encoded.count, by: Self.batch) {
      guard !shouldStop() else { throw .cancelled }
      let batch = Array(encoded[start..<min(start + Self.batch, encoded.count)])
      items += try score(batch, under: view, with: scorer, shouldStop)
      progress(items.count)
    }
    return items
  }

  private func score(
    _ batch: [EncodedRow], under view: WeightView, with scorer: TaskScorer, _ shouldStop: () -> Bool
  ) throws(Failure) -> [EvaluationResult.Item] {
    var items: [EvaluationResult.Item?] = Array(repeating: nil, count: batch.count)
    let choices = batch.indices.filter { !batch[$0].continuations.isEmpty }
    let generated = batch.indices.filter { batch[$0].continuations.isEmpty }
    let scores: [[ContinuationScore]]
    let answers: [Generation]
    do {
      scores = try model.score(choices.map { batch[$0].item }, under: view, priority: priority)
      answers = try generateAnswers(
        generated.map { batch[$0] }, of: task, by: model, under: view, priority: priority, shouldStop: shouldStop)
    } catch {
      if case .stopped = error { throw .cancelled }
      throw .model(error)
    }
    do {
      for (index, score) in zip(choices, scores) {
        items[index] = try scorer.score(batch[index].row, sums: score.map(\.sum))
      }
      for (index, answer) in zip(generated, answers) {
        items[index] = try scorer.score(batch[index].row, output: answer.text)
      }
    } catch {
      throw .scoring(error)
    }
    return items.compactMap(\.self)
  }
}
