package import Multipliers

/// Some shots under one mixture: what is computed together. Its result is a pure function of the two, never of what else
/// is asked in the same call, so a cache hit, a dropped member or a resume changes no bit.
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
}
