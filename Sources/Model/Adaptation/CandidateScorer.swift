import Engines
package import Multipliers
package import Search

/// Some shots under one mixture: what is computed together. Its result is a pure function of the two, never of what else
/// is asked in the same call, so a cache hit, a dropped candidate or a resume changes no bit.
package struct ScoringWork: Sendable {
  package var candidate: MixtureCoefficients
  /// One of the chunks that `chunks(of:)` made.
  package var shots: [Int]

  package init(candidate: MixtureCoefficients, shots: [Int]) {
    self.candidate = candidate
    self.shots = shots
  }
}

/// Why a scorer gave no scores.
package enum ScorerError: Error, Equatable {
  /// Asked for by `shouldStop`, between two batches.
  case cancelled
  case failed(String)
}

extension ScorerError {
  init(_ error: EngineError) {
    if case .stopped = error { self = .cancelled } else { self = .failed(error.description) }
  }
}

/// Scores of the shots of one piece of work, and which way they rise.
package struct ShotGradient: Sendable, Equatable {
  package var shots: [ShotScore]
  /// Of the sum of the shots' log-likelihoods, by the candidate's coefficients: expert by expert, unit by unit.
  package var gradient: [Double]

  package init(shots: [ShotScore], gradient: [Double]) {
    self.shots = shots
    self.gradient = gradient
  }
}

/// What scores candidates: a model in this process, a table in a test, another back end.
package protocol CandidateScorer {
  var shotCount: Int { get }
  var likelihoodRule: LikelihoodRule { get }

  /// Divides shots into what is computed together: pieces that are worth a pass through the model, small enough for
  /// pruning to save something. A function of the task and the model alone.
  func chunks(of shots: [Int]) -> [[Int]]

  /// Whether the mixture exists (a rescale has a denominator). One that does not scores −∞ in a search.
  func admits(_ candidate: MixtureCoefficients) -> Bool

  /// Scores of the shots of every piece of work, in their order. Blocks; work is done side by side.
  func score(_ work: [ScoringWork]) throws(ScorerError) -> [[ShotScore]]

  /// The same with gradients: a forward and a backward pass for every piece. Like a score, a gradient is a pure function
  /// of its piece of work.
  func gradients(_ work: [ScoringWork]) throws(ScorerError) -> [ShotGradient]
}

extension CandidateScorer {
  package func gradients(_ work: [ScoringWork]) throws(ScorerError) -> [ShotGradient] {
    throw .failed(
      "these rows have no gradient: only the gold answer of rows with choices has a log-likelihood to ascend")
  }
}
