import Search
import StrictJSON
import Testing

@Suite struct CrossEntropyMethodTests {
  static let space = MixtureSpace(experts: 2, units: 1, granularity: .vector, mix: .delta)

  static func method(_ change: (inout CrossEntropyMethod.Settings) -> Void = { _ in }) -> CrossEntropyMethod {
    var settings = CrossEntropyMethod.Settings()
    change(&settings)
    return CrossEntropyMethod(space: space, settings: settings, start: SearchStart(seed: 42))
  }

  /// The six members nearest to a point lead.
  static func leaders(_ proposal: Proposal, near target: [Double]) -> [RankedMember] {
    let ranked = proposal.members.indices.map { index -> (Int, Double) in
      (index, zip(proposal.members[index], target).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) })
    }.sorted { ($0.1, $0.0) < ($1.1, $1.0) }
    return ranked.prefix(proposal.leaders).map {
      RankedMember(member: $0.0, score: MemberScore(score: 1, logLikelihood: -$0.1))
    }
  }

  @Test func theConstantsAreThoseOfTheReference() throws {
    let method = Self.method()
    #expect(method.mean == [0.5, 0.5] && method.deviation == [0.5, 0.5])
    let proposal = try #require(method.ask())
    #expect(proposal.members.count == 32 && proposal.leaders == 6)
    #expect(method.settings.iterations == 100)
    #expect(proposal.members[0] == [0.5, 0.5])
    for value in proposal.members.flatMap(\.self) {
      #expect((0...1).contains(value) && (value * 64).rounded() == value * 64)
    }
    // N(1/2, 1/2) clamped to [0, 1]: about a sixth of the coordinates on each border.
    let borders = proposal.members.flatMap(\.self).filter { $0 == 0 || $0 == 1 }.count
    #expect((8...36).contains(borders))
    #expect(method.ask() == method.ask())
  }

  @Test func meanAndSpreadAreThoseOfTheElites() throws {
    var method = Self.method()
    let proposal = try #require(method.ask())
    let leaders = Self.leaders(proposal, near: [0.8, 0.1])
    method.tell(leaders)
    let elites = leaders.map { proposal.members[$0.member] }
    for coordinate in 0..<2 {
      let values = elites.map { $0[coordinate] }
      let mean = values.reduce(0, +) / 6
      let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 5
      #expect(abs(method.mean[coordinate] - mean) < 1e-15)
      #expect(abs(method.deviation[coordinate] - max(0.02, variance.squareRoot())) < 1e-15)
    }
    #expect(method.best?.point == elites[0])
    #expect(try #require(method.ask()).members[0] == elites[0])
  }

  @Test func itConvergesOnWhatLeadsAndSaysSo() throws {
    var method = Self.method()
    while let proposal = method.ask() { method.tell(Self.leaders(proposal, near: [0.75, 0.25])) }
    let best = try #require(method.best)
    #expect(abs(best.point[0] - 0.75) < 0.05 && abs(best.point[1] - 0.25) < 0.05)
    #expect(method.stopReason == .converged || method.stopReason == .stalled)
    #expect(method.generation < 40)
  }

  @Test func eightGenerationsWithoutAnotherBestEndIt() {
    var method = Self.method { $0.floor = 0 }
    var told = 0
    while let proposal = method.ask() {
      // Member 0 leads for ever, the rest of the elite is spread out.
      method.tell(
        (0..<6).map { RankedMember(member: $0, score: MemberScore(score: 1, logLikelihood: -Double($0))) })
      told += 1
      if told > 50 { break }
      _ = proposal
    }
    #expect(method.stopReason == .stalled)
    #expect(told == 9)
  }

  @Test func iterationsEndIt() throws {
    var method = Self.method { $0.iterations = 2 }
    for _ in 0..<2 { method.tell(Self.leaders(try #require(method.ask()), near: [0.3, 0.9])) }
    #expect(method.ask() == nil)
    #expect(method.stopReason == .iterations)
  }

  @Test func seedsAndStreamsDrawDifferently() {
    let first = Self.method().ask()
    let otherSeed = CrossEntropyMethod(space: Self.space, settings: .init(), start: SearchStart(seed: 43)).ask()
    let otherStream = CrossEntropyMethod(space: Self.space, settings: .init(), start: SearchStart(seed: 42, stream: 1))
      .ask()
    #expect(first != otherSeed && first != otherStream && otherSeed != otherStream)
  }
}
