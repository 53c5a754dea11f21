package import StrictJSON

/// Random shooting, as in the paper's reference code: every generation draws points evenly from the box and the best one
/// so far is kept. It learns nothing on the way, so it is what the other methods have to beat.
package struct RandomShooting: PopulationMethod {
  package static let name = "random"

  package struct Settings: Sendable, Equatable {
    package var population = 32
    package var iterations = 100
    /// Ends after so many generations without another best.
    package var patience = 8

    package init() {}
  }

  package let space: MixtureSpace
  package private(set) var course: PopulationCourse

  package init(space: MixtureSpace, settings: Settings, seed: UInt64, stream: UInt32) {
    precondition(settings.population > 0, "a population of \(settings.population)")
    self.space = space
    course = PopulationCourse(
      population: settings.population, iterations: settings.iterations, patience: settings.patience, seed: seed,
      stream: stream)
  }

  /// The best so far is member 0, so the one leader is the best of all.
  package var leaderCount: Int { 1 }

  package func member(_ number: Int) -> [Double] {
    course.uniforms(space.dimensions, member: number).map {
      space.snapped(space.lower + (space.upper - space.lower) * $0)
    }
  }

  package mutating func tell(_ leaders: [RankedMember]) {
    course.advance(points(of: leaders)[0], leaders[0].score)
  }

  package var state: JSONValue { course.state() }
}
