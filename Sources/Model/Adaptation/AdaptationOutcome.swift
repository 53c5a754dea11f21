package import Multipliers
package import Search

/// What an adaptation found.
package struct AdaptationOutcome: Sendable, Equatable {
  package enum Served: Sendable, Equatable {
    case mixture, base, uniform
    case expert(Int)
  }

  /// How a mixture does on all shots, and in the mean on folds that it was not fitted on.
  package struct Standing: Sendable, Equatable {
    package var fit: MemberScore
    package var heldOut: MemberScore?
  }

  package var served: Served
  /// Whether the shots tell anything that was scored from the base. Where they do not, it is served.
  package var hasSignal: Bool
  /// A sentence with the numbers that decided.
  package var because: String
  /// What is served, and what the search itself chose.
  package var alpha: MixtureCoefficients
  package var found: MixtureCoefficients
  package var base: Standing
  package var experts: [Standing]
  package var uniform: Standing
  package var mixture: Standing
  /// Which configuration won, and how its search on all shots went.
  package var configuration: Int
  package var generations: Int
  package var stopReason: StopReason
  /// Every configuration in order, the chosen one among them.
  package var searches: [SearchOutcome]
  /// Of all searches and of the baselines.
  package var costs: SearchCosts
  package var warnings: [String]
}

extension AdaptationOutcome {
  /// How one configuration did.
  package struct SearchOutcome: Sendable, Equatable {
    package var configuration: SearchConfiguration
    package var standing: Standing
    /// What its search on all shots chose.
    package var alpha: MixtureCoefficients
    package var generations: Int
    package var stopReason: StopReason
    /// Of its search on all shots and of those without a fold. A score that another configuration had made already counts
    /// as saved by the cache.
    package var costs: SearchCosts
    /// Of its search on all shots, a step for each generation.
    package var history: [SearchStep]
  }
}
