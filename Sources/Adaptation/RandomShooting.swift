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
  package let settings: Settings
  private let generator: Philox
  private let stream: UInt32

  package private(set) var generation = 0
  package private(set) var best: (point: [Double], score: MemberScore)?
  package private(set) var unchanged = 0
  package private(set) var stopReason: StopReason?

  package init(space: MixtureSpace, settings: Settings, seed: UInt64, stream: UInt32) {
    precondition(settings.population > 0, "a population of \(settings.population)")
    self.space = space
    self.settings = settings
    generator = Philox(seed: seed)
    self.stream = stream
    if settings.iterations < 1 { stopReason = .iterations }
  }

  package var unspent: Int { (settings.iterations - generation) * settings.population }

  package func ask() -> Proposal? {
    guard stopReason == nil else { return nil }
    // The best so far is member 0, so the one leader that is asked for is the best of all; it begins with equal parts.
    var members = [best?.point ?? space.center]
    for member in 1..<settings.population {
      let drawn = generator.uniforms(space.dimensions, member: member, generation: generation, stream: stream)
      members.append(drawn.map { space.snapped(space.lower + (space.upper - space.lower) * $0) })
    }
    return Proposal(generation: generation, members: members, leaders: 1)
  }

  package mutating func tell(_ leaders: [RankedMember]) {
    guard let proposal = ask() else { preconditionFailure("told a search that has ended") }
    precondition(leaders.count == 1, "told \(leaders.count) leaders of 1")
    let point = proposal.members[leaders[0].member]
    unchanged = best?.point == point ? unchanged + 1 : 0
    best = (point, leaders[0].score)
    generation += 1
    if unchanged >= settings.patience {
      stopReason = .stalled
    } else if generation >= settings.iterations {
      stopReason = .iterations
    }
  }

  // MARK: - state

  package var state: JSONValue {
    var object: JSONObject = ["generation": .integer(Int64(generation)), "unchanged": .integer(Int64(unchanged))]
    store(best, in: &object)
    if let stopReason { object["stop"] = .string(stopReason.rawValue) }
    return .object(object)
  }
}
