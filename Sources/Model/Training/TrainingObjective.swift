import Glibc
package import Results
package import Settings

/// On rows with choices what is minimised is a function of the choices' summed log-likelihoods L_c, and of the model
/// restricted to them: q = softmax(L), which is how `acc` reads a model. With so few answers the expected reward is a sum and
/// not a sample, so its gradient is exact: q_c (r_c − Σ q r). Cross-entropy pulls as hard where the right choice is far away,
/// where the reward's slope is flat; next-token is what a language model is usually trained on, as an ablation. Rows whose
/// answers are generated are ``GenerationTrainee``'s.
extension TrainingObjective {
  /// The loss of one row and its derivative by each L_c.
  /// - Parameters:
  ///   - base: the L_c of the base; needed where `divergenceWeight` is above 0.
  ///   - divergenceWeight: λ of λ KL(q ‖ q_base), or of the other direction.
  package func outcome(
    _ logLikelihoods: [Double], gold: Int, base: [Double]? = nil, divergenceWeight: Double = 0,
    direction: DivergenceDirection = .paper
  ) -> RowOutcome {
    precondition(logLikelihoods.indices.contains(gold), "choice \(gold) of \(logLikelihoods.count)")
    let logShares = logSoftmax(logLikelihoods)
    let shares = logShares.map { exp($0) }
    let reward = 2 * shares[gold] - 1
    var outcome = RowOutcome(
      loss: 0, reward: reward, isRight: best(logLikelihoods) == gold, divergence: 0,
      derivatives: [Double](repeating: 0, count: shares.count))
    switch self {
    case .reinforce:
      outcome.loss = -reward
      for c in shares.indices { outcome.derivatives[c] = -shares[c] * ((c == gold ? 1 : -1) - reward) }
    case .crossEntropy:
      outcome.loss = -logShares[gold]
      for c in shares.indices { outcome.derivatives[c] = shares[c] - (c == gold ? 1 : 0) }
    case .nextToken:
      outcome.loss = -logLikelihoods[gold]
      outcome.derivatives[gold] = -1
    }
    guard divergenceWeight > 0, let base else { return outcome }
    let logBase = logSoftmax(base)
    let differences = zip(logShares, logBase).map { $0 - $1 }
    switch direction {
    case .paper:
      outcome.divergence = zip(shares, differences).reduce(0) { $0 + $1.0 * $1.1 }
      for c in shares.indices {
        outcome.derivatives[c] += divergenceWeight * shares[c] * (differences[c] - outcome.divergence)
      }
    case .reference:
      outcome.divergence = zip(logBase, differences).reduce(0) { $0 - exp($1.0) * $1.1 }
      for c in shares.indices { outcome.derivatives[c] += divergenceWeight * (shares[c] - exp(logBase[c])) }
    }
    outcome.loss += divergenceWeight * outcome.divergence
    return outcome
  }

  /// Of equal ones the first, as `acc` has it.
  private func best(_ values: [Double]) -> Int {
    values.indices.reduce(0) { values[$1] > values[$0] ? $1 : $0 }
  }
}

/// How one row fares.
package struct RowOutcome: Sendable, Equatable {
  package var loss: Double
  /// Expected, −1 to 1.
  package var reward: Double
  package var isRight: Bool
  package var divergence: Double
  /// dloss/dL_c.
  package var derivatives: [Double]
}

extension Standing {
  package init(_ outcomes: [RowOutcome]) {
    precondition(!outcomes.isEmpty, "the mean of no rows")
    func mean(_ value: (RowOutcome) -> Double) -> Double {
      outcomes.reduce(0) { $0 + value($1) } / Double(outcomes.count)
    }
    self.init(
      rows: outcomes.count, loss: mean(\.loss), reward: mean(\.reward), right: mean { $0.isRight ? 1 : 0 },
      divergence: mean(\.divergence))
  }
}

/// ln of the softmax, safe for sums far below zero.
private func logSoftmax(_ values: [Double]) -> [Double] {
  let largest = values.max() ?? 0
  let total = largest + log(values.reduce(0) { $0 + exp($1 - largest) })
  return values.map { $0 - total }
}
