import StrictJSON

/// A method that compares the members of a population, generation by generation.
///
/// Member 0 is the best so far, at first the middle of the space: so the best never gets lost, and being known it costs
/// nothing.
package protocol PopulationMethod: SearchMethod {
  var space: MixtureSpace { get }
  var progress: PopulationProgress { get }
  /// How many places of the ranking it learns from.
  var leaderCount: Int { get }
  /// A member of this generation other than member 0: a point of the space's grid.
  func member(_ number: Int) -> [Double]
  /// The leading members of the last proposal, best first.
  mutating func tell(_ leaders: [RankedMember])
}

extension PopulationMethod {
  package var question: Question? { ask().map { .ranking($0) } }

  package mutating func take(_ answer: Answer) {
    guard case .ranking(let leaders) = answer else { preconditionFailure("\(Self.name) asks for rankings alone") }
    tell(leaders)
  }

  package func ask() -> Proposal? {
    guard progress.stopReason == nil else { return nil }
    let members = [progress.best?.point ?? space.center] + (1..<progress.population).map { member($0) }
    return Proposal(generation: progress.generation, members: members, leaders: leaderCount)
  }

  /// The points of the leaders that the method is told.
  func points(of leaders: [RankedMember]) -> [[Double]] {
    guard let proposal = ask() else { preconditionFailure("told a search that has ended") }
    precondition(leaders.count == leaderCount, "told \(leaders.count) leaders of \(leaderCount)")
    return leaders.map { proposal.members[$0.member] }
  }

  package var best: (point: [Double], score: MemberScore)? { progress.best }
  package var generation: Int { progress.generation }
  package var stopReason: StopReason? { progress.stopReason }
  package var unspent: Int { (progress.iterations - progress.generation) * progress.population }
}

/// How far a search by populations has come: what every such method counts and keeps, whatever it learns.
package struct PopulationProgress: Sendable {
  let population: Int
  let iterations: Int
  private let patience: Int
  private let generator: Philox
  /// Keeps searches of one seed apart.
  private let stream: UInt32

  private(set) var generation = 0
  private(set) var best: (point: [Double], score: MemberScore)?
  /// Generations without another best.
  private var unchanged = 0
  private(set) var stopReason: StopReason?

  /// - Parameter patience: ends after so many generations without another best.
  init(population: Int, iterations: Int, patience: Int, start: SearchStart) {
    self.population = population
    self.iterations = iterations
    self.patience = patience
    generator = Philox(seed: start.seed)
    stream = start.stream
    if iterations < 1 { stopReason = .iterations }
  }

  /// What a member of this generation is drawn with.
  func uniforms(_ count: Int, member: Int) -> [Double] {
    generator.uniforms(count, member: member, generation: generation, stream: stream)
  }

  func normals(_ count: Int, member: Int) -> [Double] {
    generator.normals(count, member: member, generation: generation, stream: stream)
  }

  /// Ends a generation, of which this point was the best.
  mutating func advance(_ point: [Double], _ score: MemberScore, hasConverged: Bool = false) {
    unchanged = best?.point == point ? unchanged + 1 : 0
    best = (point, score)
    generation += 1
    if hasConverged {
      stopReason = .converged
    } else if unchanged >= patience {
      stopReason = .stalled
    } else if generation >= iterations {
      stopReason = .iterations
    }
  }

  /// The state of a method: this, and what it has learnt beside it.
  func state(_ learnt: JSONObject = [:]) -> JSONValue {
    var object: JSONObject = ["generation": .integer(Int64(generation))]
    for (key, value) in learnt.members { object[key] = value }
    object["unchanged"] = .integer(Int64(unchanged))
    store(best, in: &object)
    if let stopReason { object["stop"] = .string(stopReason.rawValue) }
    return .object(object)
  }
}
