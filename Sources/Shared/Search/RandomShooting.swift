package import StrictJSON

/// Random shooting, as in the paper's reference code: every generation draws points evenly from the box and the best one
/// so far is kept. It learns nothing on the way, so it is what the other methods have to beat.
package struct RandomShooting: PopulationMethod {
  package static let name = SearchMethodName(declaring: "random")
  package static let summary = "random shooting: draws evenly and learns nothing, so it is what others have to beat"

  package struct Settings: PopulationSettings {
    package var population = StandardSearch.population
    package var iterations = StandardSearch.iterations
    package var patience = StandardSearch.patience

    package init() {}
  }

  package let space: MixtureSpace
  package private(set) var progress: PopulationProgress

  package init(space: MixtureSpace, settings: Settings, start: SearchStart) {
    precondition(settings.population > 0, "a population of \(settings.population)")
    self.space = space
    progress = PopulationProgress(
      population: settings.population, iterations: settings.iterations, patience: settings.patience, start: start)
  }

  /// The best so far is member 0, so the one leader is the best of all.
  package var leaderCount: Int { 1 }

  package func member(_ number: Int) -> [Double] {
    progress.uniforms(space.dimensions, member: number).map {
      space.snapped(space.lower + (space.upper - space.lower) * $0)
    }
  }

  package mutating func tell(_ leaders: [RankedMember]) {
    progress.advance(points(of: leaders)[0], leaders[0].score)
  }

  package var state: JSONValue { progress.state() }
}
