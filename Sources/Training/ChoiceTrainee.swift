import LinearAlgebra
import Multipliers
package import Transformer

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

/// A language model whose multipliers learn to choose. The parameters are the multipliers themselves, flat by the model's
/// layout; those of matrices that are not trained have the derivative 0 and so stay what they are.
package struct ChoiceTrainee: TrainedModel {
  private let model: LanguageModel
  private let examples: [ChoiceExample]
  private let objective: TrainingObjective
  private let divergenceWeight: Double
  private let isTrained: [Bool]
  private let lowestLayer: Int
  private let shouldStop: @Sendable () -> Bool

  /// Rows of one forward pass without gradient: between two of them a job can be cancelled.
  private static let scoredTogether = 16

  /// - Parameter matrices: the numbers of those that are trained.
  package init(
    _ model: LanguageModel, examples: [ChoiceExample], settings: TrainingSettings, matrices: [Int],
    shouldStop: @escaping @Sendable () -> Bool
  ) {
    self.model = model
    self.examples = examples
    objective = settings.objective
    divergenceWeight = settings.divergenceWeight
    var isTrained = [Bool](repeating: false, count: model.layout.count)
    for matrix in matrices { for i in model.layout.range(of: matrix) { isTrained[i] = true } }
    self.isTrained = isTrained
    lowestLayer = matrices.compactMap { model.layout.matrices[$0].layer }.min() ?? 0
    self.shouldStop = shouldStop
  }

  package var rowCount: Int { examples.count }
  package var parameterCount: Int { model.layout.count }

  package func gradient(of rows: [Int], at parameters: [Float]) throws(TrainingError) -> (gradient: [Float], Standing) {
    let examples = rows.map { self.examples[$0] }
    let base = divergenceWeight > 0 ? try score(examples, under: .base) : nil
    do {
      let tape = try model.record(
        examples.map(\.item), under: MultiplierVector(parameters), priority: .job, shouldStop: shouldStop)
      let outcomes = outcomes(examples, tape.scores, base: base)
      let derivatives = zip(outcomes, tape.scores).map { outcome, scores in
        zip(outcome.derivatives, scores).map { derivative, score in
          // L is the sum over the tokens, so each of them has the whole derivative.
          [Float](repeating: Float(derivative / Double(rows.count)), count: score.logprobs.count)
        }
      }
      let gradient = try tape.gradient(
        derivatives, fromLayer: lowestLayer, priority: .job, shouldStop: shouldStop)
      return (zip(gradient, isTrained).map { $1 ? $0 : 0 }, Standing(outcomes))
    } catch {
      switch error {
      case .overflow, .gradientOverflow: return ([Float](repeating: .nan, count: parameterCount), .none(rows.count))
      default: throw TrainingError(error)
      }
    }
  }

  package func standing(of rows: [Int], at parameters: [Float]) throws(TrainingError) -> Standing {
    let examples = rows.map { self.examples[$0] }
    let base = divergenceWeight > 0 ? try score(examples, under: .base) : nil
    guard let scores = try score(examples, under: .factored(MultiplierVector(parameters))) else {
      return .none(rows.count)
    }
    return Standing(outcomes(examples, scores, base: base))
  }

  private func outcomes(
    _ examples: [ChoiceExample], _ scores: [[ContinuationScore]], base: [[ContinuationScore]]?
  ) -> [RowOutcome] {
    examples.indices.map { index in
      objective.outcome(
        scores[index].map(\.sum), gold: examples[index].gold, base: base?[index].map(\.sum),
        divergenceWeight: divergenceWeight)
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
        scores += try model.score(items, under: view, priority: .job)
      } catch {
        if case .overflow = error { return nil }
        throw TrainingError(error)
      }
    }
    return scores
  }
}

extension Standing {
  /// Of a model that has no numbers any more; the trainer sees that it diverged.
  fileprivate static func none(_ rows: Int) -> Standing { Standing(rows: rows, loss: .nan, reward: .nan, right: 0) }
}

extension TrainingError {
  fileprivate init(_ error: TransformerError) {
    if case .stopped = error { self = .cancelled } else { self = .model(error.description) }
  }
}
