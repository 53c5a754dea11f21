package import Evaluation
package import LinearAlgebra
package import Multipliers
package import Sandbox
package import Transformer

/// Scores rows under one set of weights, item by item: what an evaluation job does and what a report shows.
package struct RowEvaluator {
  private let task: TaskDefinition
  private let model: LanguageModel
  private let encoder: TaskEncoder
  private let sandbox: Sandbox?
  private let priority: ComputePool.Priority

  /// Rows of one call, computed together. Between calls a job can be cancelled; a short request comes in between the
  /// tiles of one.
  package static let batch = 32

  package init(
    _ task: TaskDefinition, model: LanguageModel, sandbox: Sandbox?, priority: ComputePool.Priority = .job
  ) throws(TaskEncodingError) {
    self.task = task
    self.model = model
    self.sandbox = sandbox
    encoder = try TaskEncoder(task, for: model)
    self.priority = priority
  }

  package enum Failure: Error {
    case encoding(TaskEncodingError)
    case model(TransformerError)
    case scoring(EvaluationError)
    case cancelled
  }

  /// Which weights a batch sees.
  private enum Source {
    case view(WeightView)
    /// The only expert of the basis, materialised.
    case basis(ExpertBasis)

    var view: WeightView {
      switch self {
      case .view(let view): view
      case .basis(let basis): .factored(basis.experts[0])
      }
    }
  }

  /// Items in the order of the rows. `progress` is shown those that are done, between batches; `shouldStop` is asked there.
  package func evaluate(
    _ rows: [TaskRow], under view: WeightView, shouldStop: () -> Bool = { false },
    progress: ([EvaluationResult.Item]) -> Void = { _ in }
  ) throws(Failure) -> [EvaluationResult.Item] {
    try evaluate(rows, .view(view), shouldStop, progress)
  }

  /// As ``evaluate(_:under:shouldStop:progress:)``, for many rows under one vector: its matrices are built once, so a
  /// forward pass costs what the base's costs and not half as much again. Where they would not stay in memory, or
  /// nothing is scored (decoding goes factored), it is the same as the former.
  package func evaluate(
    _ rows: [TaskRow], underMany vector: MultiplierVector, shouldStop: () -> Bool = { false },
    progress: ([EvaluationResult.Item]) -> Void = { _ in }
  ) throws(Failure) -> [EvaluationResult.Item] {
    // Building the base from its own vectors would cost its last bits.
    guard !vector.isIdentity else { return try evaluate(rows, .view(.base), shouldStop, progress) }
    let basis: ExpertBasis
    do { basis = try ExpertBasis(model: model, experts: [vector], priority: priority) } catch { throw .model(error) }
    let isWorthIt = basis.isResident && rows.contains { $0.scoring == .choice }
    return try evaluate(rows, isWorthIt ? .basis(basis) : .view(.factored(vector)), shouldStop, progress)
  }

  private func evaluate(
    _ rows: [TaskRow], _ source: Source, _ shouldStop: () -> Bool, _ progress: ([EvaluationResult.Item]) -> Void
  ) throws(Failure) -> [EvaluationResult.Item] {
    let encoded: [EncodedRow]
    do { encoded = try encoder.encode(rows) } catch { throw .encoding(error) }
    let scorer: TaskScorer
    do { scorer = try TaskScorer(task, sandbox: sandbox) } catch { throw .scoring(error) }
    var items: [EvaluationResult.Item] = []
    for start in stride(from: 0, to: encoded.count, by: Self.batch) {
      guard !shouldStop() else { throw .cancelled }
      let batch = Array(encoded[start..<min(start + Self.batch, encoded.count)])
      items += try score(batch, source, with: scorer, shouldStop)
      progress(items)
    }
    return items
  }

  private func score(
    _ batch: [EncodedRow], _ source: Source, with scorer: TaskScorer, _ shouldStop: () -> Bool
  ) throws(Failure) -> [EvaluationResult.Item] {
    var items: [EvaluationResult.Item?] = Array(repeating: nil, count: batch.count)
    let choices = batch.indices.filter { !batch[$0].continuations.isEmpty }
    let generated = batch.indices.filter { batch[$0].continuations.isEmpty }
    let scores: [[ContinuationScore]]
    let answers: [Generation]
    do {
      let items = choices.map { batch[$0].item }
      switch source {
      case .view(let view): scores = try model.score(items, under: view, priority: priority)
      case .basis(let basis):
        let matrices = model.layout.matrices.count
        let alone = BlendCoefficients(
          base: [Float](repeating: 0, count: matrices), experts: [[Float]](repeating: [1], count: matrices))
        scores =
          try model.scoreCandidates(
            basis: basis, [Candidate(alone, items)], priority: priority, shouldStop: shouldStop
          ).first ?? []
      }
      answers = try generateAnswers(
        generated.map { batch[$0] }, of: task, by: model, under: source.view, priority: priority, shouldStop: shouldStop
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
