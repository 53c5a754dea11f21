import Engines
import Evaluation
import Multipliers
import Search

extension ChoiceScorer {
  /// Scores by the pass that records, and the gradient of the shots' log-likelihoods (the gold choice's mean over its
  /// tokens, added up) by the coefficients of the mixture: back through the network to the multipliers, and from there by
  /// the chain rule of the mixer.
  package func gradients(_ work: [ScoringWork]) throws(ScorerError) -> [ShotGradient] {
    var results: [ShotGradient] = []
    for piece in work { results.append(try gradient(piece)) }
    return results
  }

  private func gradient(_ piece: ScoringWork) throws(ScorerError) -> ShotGradient {
    do {
      let rows = piece.shots.map { self.rows[$0] }
      let tape = try model.record(
        rows.map(\.item), under: try mixer.multipliers(piece.candidate), temperature: 1, divergence: nil,
        gradientFollows: true, priority: priority, shouldStop: shouldStop)
      let derivatives = zip(rows, tape.scores).map { row, choices in
        choices.indices.map { choice in
          let score = choices[choice]
          return score.derivatives(choice == row.row.gold ? 1 / Float(score.logprobs.count - score.lead) : 0)
        }
      }
      let byMultiplier = try tape.gradient(
        derivatives, divergenceWeight: 0, fromLayer: 0, priority: priority, shouldStop: shouldStop)
      let byCoefficient = try mixer.gradient(byMultiplier, at: piece.candidate)
      return ShotGradient(
        shots: zip(rows, tape.scores).map { shotScore($0.row, $1) }, gradient: byCoefficient.flatMap(\.self))
    } catch EngineError.stopped {
      throw .cancelled
    } catch let error as EngineError where error.isOverflow {
      // As bad as a mixture can be, and no error of the search's.
      let nothing = ShotScore(right: 0, logLikelihood: -.infinity)
      return ShotGradient(
        shots: piece.shots.map { _ in nothing },
        gradient: [Double](repeating: 0, count: piece.candidate.alpha.reduce(0) { $0 + $1.count }))
    } catch {
      throw .failed("\(error)")
    }
  }
}

extension EngineError {
  /// Weights that leave the range of float.
  fileprivate var isOverflow: Bool {
    if case .overflow = self { return true }
    if case .gradientOverflow = self { return true }
    return false
  }
}
