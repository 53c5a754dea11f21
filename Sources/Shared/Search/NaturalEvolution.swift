import Glibc
package import StrictJSON

/// Separable natural evolution strategies (Schaul, Glasmachers and Schmidhuber, "High dimensions and heavy tails for
/// natural evolution strategies", GECCO 2011; Wierstra et al., "Natural evolution strategies", JMLR 15, 2014): climbs the
/// expected utility of what it draws, by the natural gradient on the mean and on the logarithm of the spread of each
/// coefficient. Utilities go by rank alone, so any rising function of the score leads to the same mixture.
///
/// The box and the grid are those of ``SeparableCMAES``: what is drawn is clamped to the box and rounded to be scored, and
/// the clamped point teaches. Member 0, the best so far, was not drawn from this generation's spread and teaches nothing.
package struct NaturalEvolution: PopulationMethod {
  package static let name = SearchMethodName(declaring: "nes")
  package static let summary = "natural evolution: follows the natural gradient of a spread, and looks at ranks alone"

  package struct Settings: PopulationSettings {
    package var population = StandardSearch.population
    package var iterations = StandardSearch.iterations
    package var floor = StandardSearch.floor
    package var patience = StandardSearch.patience

    package init() {}
  }

  package let space: MixtureSpace
  private let settings: Settings
  /// Of the ranks that are above a draw's average utility; all below share one.
  private let shares: [Double]
  package private(set) var progress: PopulationProgress
  package private(set) var mean: [Double]
  package private(set) var deviation: [Double]

  package init(space: MixtureSpace, settings: Settings, start: SearchStart) {
    precondition(settings.population > 1, "a population of \(settings.population)")
    self.space = space
    self.settings = settings
    progress = PopulationProgress(
      population: settings.population, iterations: settings.iterations, patience: settings.patience, start: start)
    let half = Double(settings.population - 1) / 2
    // max(0, log(λ/2 + 1) − log k) of rank k, as long as it is above 0.
    let raw = (1..<settings.population).map { log(half + 1) - log(Double($0)) }.filter { $0 > 0 }
    let total = raw.reduce(0, +)
    shares = raw.map { $0 / total }
    mean = space.center
    deviation = Array(repeating: 0.3 * (space.upper - space.lower), count: space.dimensions)
  }

  /// The ranks that differ, and the best so far, which may stand before them.
  package var leaderCount: Int { shares.count + 1 }
  package var spread: Double? { deviation.reduce(0, +) / Double(deviation.count) }

  package func member(_ number: Int) -> [Double] { drawn(number).map(space.snapped) }

  /// A member in the box, not yet on the grid.
  private func drawn(_ member: Int) -> [Double] {
    let normals = progress.normals(space.dimensions, member: member)
    return mean.indices.map { space.clamped(mean[$0] + deviation[$0] * normals[$0]) }
  }

  package mutating func tell(_ leaders: [RankedMember]) {
    let best = points(of: leaders)[0]
    // Utilities sum to 0: the share of the rank, less the same part for every draw.
    var utilities = Array(repeating: -1 / Double(settings.population - 1), count: settings.population)
    utilities[0] = 0
    for (leader, share) in zip(leaders.filter { $0.member > 0 }, shares) { utilities[leader.member] += share }
    climb(utilities)
    progress.advance(best, leaders[0].score, hasConverged: deviation.allSatisfy { $0 <= settings.floor })
  }

  /// μ += σ ∇μ and σ *= exp(η ∇σ / 2), with ∇μ = Σ u s, ∇σ = Σ u (s² − 1) and s what was drawn, in spreads from the mean.
  private mutating func climb(_ utilities: [Double]) {
    let rate = (3 + log(Double(space.dimensions))) / (5 * Double(space.dimensions).squareRoot())
    var meanSlope = Array(repeating: 0.0, count: space.dimensions)
    var spreadSlope = meanSlope
    for member in 1..<settings.population {
      let point = drawn(member)
      for i in point.indices {
        let step = (point[i] - mean[i]) / deviation[i]
        meanSlope[i] += utilities[member] * step
        spreadSlope[i] += utilities[member] * (step * step - 1)
      }
    }
    for i in mean.indices {
      mean[i] = space.clamped(mean[i] + deviation[i] * meanSlope[i])
      let grown = deviation[i] * exp(rate / 2 * spreadSlope[i])
      // Never nothing, which could not be divided by, where the floor is 0.
      deviation[i] = min(max(grown, settings.floor, 1e-9), space.upper - space.lower)
    }
  }

  package var state: JSONValue { progress.state(["mean": list(mean), "deviation": list(deviation)]) }
}
