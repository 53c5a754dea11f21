package import StrictJSON

/// The cross-entropy method with the constants of the paper's reference code, and a floor under the spread.
///
/// Each generation draws members around a mean, keeps the best six and takes their mean and spread for the next.
package struct CrossEntropyMethod: PopulationMethod {
  package static let name = SearchMethodName(declaring: "cem")
  package static let summary = "the cross-entropy method: draws around the mean of the best members, as the paper does"
  package static let journalName = "crossEntropy"

  package struct Settings: PopulationSettings {
    package var population = StandardSearch.population
    package var elites = StandardSearch.elites
    package var iterations = StandardSearch.iterations
    package var floor = StandardSearch.floor
    package var patience = StandardSearch.patience

    package init() {}

    package mutating func apply(_ requested: RequestedSettings) {
      population = requested.population ?? population
      elites = requested.elites ?? elites
      iterations = requested.iterations ?? iterations
    }
  }

  package let space: MixtureSpace
  package let settings: Settings
  package private(set) var progress: PopulationProgress
  package private(set) var mean: [Double]
  package private(set) var deviation: [Double]

  package init(space: MixtureSpace, settings: Settings, start: SearchStart) {
    precondition(settings.elites > 1 && settings.elites <= settings.population, "\(settings.elites) elites")
    self.space = space
    self.settings = settings
    progress = PopulationProgress(
      population: settings.population, iterations: settings.iterations, patience: settings.patience, start: start)
    mean = space.center
    deviation = Array(repeating: (space.upper - space.lower) / 2, count: space.dimensions)
  }

  package var leaderCount: Int { settings.elites }
  package var spread: Double? { deviation.reduce(0, +) / Double(deviation.count) }

  package func member(_ number: Int) -> [Double] {
    let normals = progress.normals(space.dimensions, member: number)
    return mean.indices.map { space.snapped(mean[$0] + deviation[$0] * normals[$0]) }
  }

  package mutating func tell(_ leaders: [RankedMember]) {
    let elites = points(of: leaders)
    let count = Double(elites.count)
    for coordinate in mean.indices {
      let center = elites.reduce(0) { $0 + $1[coordinate] } / count
      let squares = elites.reduce(0) { $0 + ($1[coordinate] - center) * ($1[coordinate] - center) }
      mean[coordinate] = center
      deviation[coordinate] = max((squares / (count - 1)).squareRoot(), settings.floor)
    }
    progress.advance(elites[0], leaders[0].score, hasConverged: deviation.allSatisfy { $0 <= settings.floor })
  }

  package var state: JSONValue { progress.state(["mean": list(mean), "deviation": list(deviation)]) }
}
