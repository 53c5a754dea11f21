package import StrictJSON

/// The cross-entropy method with the constants of the paper's reference code, and a floor under the spread.
///
/// Each generation draws members around a mean, keeps the best six and takes their mean and spread for the next. Member 0
/// is the best so far (in the first generation the initial mean), so the best never gets lost.
package struct CrossEntropyMethod: PopulationMethod {
  package static let name = "cem"

  package struct Settings: Sendable, Equatable {
    package var population = 32
    /// 0.2 of the population, rounded down.
    package var elites = 6
    package var iterations = 100
    /// Below about one step of the grid a spread draws the same points again.
    package var floor = 0.02
    /// Ends after so many generations without another best.
    package var patience = 8

    package init() {}
  }

  package let space: MixtureSpace
  package let settings: Settings
  private let generator: Philox
  /// Keeps searches of one seed apart.
  private let stream: UInt32

  package private(set) var generation = 0
  package private(set) var mean: [Double]
  package private(set) var deviation: [Double]
  package private(set) var best: (point: [Double], score: MemberScore)?
  package private(set) var unchanged = 0
  package private(set) var stopReason: StopReason?

  package init(space: MixtureSpace, settings: Settings, seed: UInt64, stream: UInt32) {
    precondition(settings.elites > 1 && settings.elites <= settings.population, "\(settings.elites) elites")
    self.space = space
    self.settings = settings
    generator = Philox(seed: seed)
    self.stream = stream
    mean = space.center
    deviation = Array(repeating: (space.upper - space.lower) / 2, count: space.dimensions)
    if settings.iterations < 1 { stopReason = .iterations }
  }

  package func ask() -> Proposal? {
    guard stopReason == nil else { return nil }
    var members = [best?.point ?? mean.map(space.snapped)]
    for member in 1..<settings.population { members.append(draw(member)) }
    return Proposal(generation: generation, members: members, leaders: settings.elites)
  }

  private func draw(_ member: Int) -> [Double] {
    let normals = generator.normals(space.dimensions, member: member, generation: generation, stream: stream)
    return mean.indices.map { space.snapped(mean[$0] + deviation[$0] * normals[$0]) }
  }

  package var unspent: Int { (settings.iterations - generation) * settings.population }
  package var spread: Double? { deviation.reduce(0, +) / Double(deviation.count) }

  package mutating func tell(_ leaders: [RankedMember]) {
    guard let proposal = ask() else { preconditionFailure("told a search that has ended") }
    precondition(leaders.count == settings.elites, "told \(leaders.count) leaders of \(settings.elites)")
    let elites = leaders.map { proposal.members[$0.member] }

    unchanged = best?.point == elites[0] ? unchanged + 1 : 0
    best = (elites[0], leaders[0].score)
    let count = Double(elites.count)
    for coordinate in mean.indices {
      let center = elites.reduce(0) { $0 + $1[coordinate] } / count
      let squares = elites.reduce(0) { $0 + ($1[coordinate] - center) * ($1[coordinate] - center) }
      mean[coordinate] = center
      deviation[coordinate] = max((squares / (count - 1)).squareRoot(), settings.floor)
    }
    generation += 1

    if deviation.allSatisfy({ $0 <= settings.floor }) {
      stopReason = .converged
    } else if unchanged >= settings.patience {
      stopReason = .stalled
    } else if generation >= settings.iterations {
      stopReason = .iterations
    }
  }

  // MARK: - state

  package var state: JSONValue {
    var object: JSONObject = [
      "generation": .integer(Int64(generation)), "mean": .array(mean.map { .number($0) }),
      "deviation": .array(deviation.map { .number($0) }), "unchanged": .integer(Int64(unchanged)),
    ]
    store(best, in: &object)
    if let stopReason { object["stop"] = .string(stopReason.rawValue) }
    return .object(object)
  }
}
