package import Engines
import LinearAlgebra
package import Results
package import Settings

/// A row with choices, in tokens: of a task, or a request and the labels that a dispatcher may give it.
package struct ChoiceExample: Sendable, Equatable {
  package var item: ScoringItem
  /// The number of the right continuation.
  package var gold: Int

  package init(item: ScoringItem, gold: Int) {
    self.item = item
    self.gold = gold
  }
}

/// A language model that learns to choose.
package struct ChoiceTrainee: TrainedModel {
  private let weights: any TrainedParameters
  private let examples: [ChoiceExample]
  private let settings: TrainingSettings
  private let shouldStop: @Sendable () -> Bool

  /// Rows of one forward pass without gradient: between two of them a job can be cancelled.
  private static let scoredTogether = 16

  package init(
    _ weights: any TrainedParameters, examples: [ChoiceExample], settings: TrainingSettings,
    shouldStop: @escaping @Sendable () -> Bool
  ) {
    self.weights = weights
    self.examples = examples
    self.settings = settings
    self.shouldStop = shouldStop
  }

  package var rowCount: Int { examples.count }
  package var parameterCount: Int { weights.start.count }
  package var groups: [Range<Int>] { weights.groups }
  package var rewardIsSampled: Bool { false }

  package func cost(of rows: [Int]) -> TrainingCost {
    let each = rows.map { row in
      examples[row].item.continuations.reduce(examples[row].item.prompt.count) { $0 + $1.count }
    }
    let tokens = each.reduce(0, +)
    return TrainingCost(
      tokens: tokens, memoryBytes: weights.model.gradientBytes(rows: tokens, longest: each.max() ?? 0))
  }

  package func gradient(
    of rows: [Int], step: Int, at parameters: [Float]
  ) throws(TrainingError) -> (gradient: [Float], Standing) {
    let examples = rows.map { self.examples[$0] }
    let base = settings.divergenceWeight > 0 ? try score(examples, under: .base) : nil
    do {
      let tape = try weights.record(
        examples.map(\.item), at: parameters, temperature: 1, divergence: nil, gradientFollows: true,
        shouldStop: shouldStop)
      let outcomes = outcomes(examples, tape.scores, base: base)
      let derivatives = zip(outcomes, tape.scores).map { outcome, scores in
        zip(outcome.derivatives, scores).map { derivative, score in
          // L is the sum over the tokens, so each of them has the whole derivative.
          score.derivatives(Float(derivative / Double(rows.count)))
        }
      }
      let gradient = try weights.gradient(
        tape, derivatives, divergenceWeight: 0, at: parameters, shouldStop: shouldStop)
      return (gradient, Standing(outcomes))
    } catch {
      guard error.isOverflow else { throw TrainingError(error) }
      return ([Float](repeating: .nan, count: parameterCount), .none(rows.count))
    }
  }

  package func standing(of rows: [Int], at parameters: [Float]) throws(TrainingError) -> Standing {
    let examples = rows.map { self.examples[$0] }
    let base = settings.divergenceWeight > 0 ? try score(examples, under: .base) : nil
    guard let scores = try score(examples, under: weights.view(at: parameters)) else {
      return .none(rows.count)
    }
    return Standing(outcomes(examples, scores, base: base))
  }

  private func outcomes(
    _ examples: [ChoiceExample], _ scores: [[ContinuationScore]], base: [[ContinuationScore]]?
  ) -> [RowOutcome] {
    examples.indices.map { index in
      settings.objective.outcome(
        scores[index].map(\.sum), gold: examples[index].gold, base: base?[index].map(\.sum),
        divergenceWeight: settings.divergenceWeight, direction: settings.divergenceDirection)
    }
  }

  /// Nil where the weights have left the range of float.
  private func score(
    _ examples: [ChoiceExample], under view: WeightView
  ) throws(TrainingError) -> [[ContinuationScore]]? {
    var scores: [[ContinuationScore]] = []
    for start in stride(from: 0, to: examples.count, by: Self.scoredTogether) {
      guard !shouldStop() else { throw .cancelled }
      let items = examples[start..<min(start + Self.scoredTogether, examples.count)].map(\.item)
      do {
        scores += try weights.model.score(items, under: view, priority: .job, shouldStop: shouldStop)
      } catch {
        if error.isOverflow { return nil }
        throw TrainingError(error)
      }
    }
    return scores
  }
}

extension Standing {
  /// Of a model that has no numbers any more; the trainer sees that it diverged.
  static func none(_ rows: Int) -> Standing { Standing(rows: rows, loss: .nan, reward: .nan, right: 0) }
}

extension EngineError {
  /// The weights have left the range of float: the training's to report, not the model's.
  var isOverflow: Bool {
    switch self {
    case .overflow, .gradientOverflow: true
    default: false
    }
  }
}
