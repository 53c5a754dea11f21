import Glibc
import Multipliers
import Search
import StrictJSON
import Testing

/// What holds for every population holds for this one by `SearchMethodTests`; here is what it promises beside that.
@Suite struct NaturalEvolutionTests {
  private static func method(
    _ space: MixtureSpace, seed: UInt64 = 5, _ change: (inout NaturalEvolution.Settings) -> Void = { _ in }
  ) -> NaturalEvolution {
    var settings = NaturalEvolution.Settings()
    change(&settings)
    return NaturalEvolution(space: space, settings: settings, start: SearchStart(seed: seed))
  }

  /// Runs to the end by a function of the point that is to be great; its log-likelihood is that function.
  private static func run(_ method: inout NaturalEvolution, _ value: ([Double]) -> Double) {
    while let proposal = method.ask() {
      let ranked = proposal.members.map(value).enumerated().sorted { a, b in
        a.element != b.element ? a.element > b.element : a.offset < b.offset
      }
      method.tell(
        ranked.prefix(proposal.leaders).map {
          RankedMember(member: $0.offset, score: MemberScore(score: 1, logLikelihood: $0.element))
        })
    }
  }

  private static func quadratic(_ target: [Double]) -> ([Double]) -> Double {
    // Axes of unlike weight.
    { x in -x.indices.reduce(0.0) { $0 + Double(1 + 4 * $1) * (x[$1] - target[$1]) * (x[$1] - target[$1]) } }
  }

  @Test(arguments: UInt64(0)..<8)
  func theTopOfAQuadraticIsReachedAndTheSpreadIsSpent(seed: UInt64) throws {
    let target = [0.75, 0.25, 0.4, 0.6]
    var method = Self.method(SearchMethodTests.space(2, units: 2), seed: seed) { $0.patience = 100 }
    Self.run(&method, Self.quadratic(target))
    let best = try #require(method.best).point
    // A step of the grid is 0.016.
    #expect(zip(best, target).allSatisfy { abs($0 - $1) < 0.02 }, "\(best)")
    #expect(zip(method.mean, target).allSatisfy { abs($0 - $1) < 0.04 }, "\(method.mean)")
    #expect(method.stopReason == .converged && method.deviation.allSatisfy { $0 <= 0.02 } && method.generation < 60)
  }

  /// Only the order of scores counts: a function that rises with another has the same search, to the bit.
  @Test func aRisingFunctionOfTheScoreChangesNothing() throws {
    let value = Self.quadratic([0.3, 0.8, 0.5, 0.1])
    // Flat, steep, and far from any quadratic.
    let rising: [(Double) -> Double] = [{ -($0 * $0 * $0 * $0) }, { 1e6 * $0 - 3 }, { -(-$0).squareRoot() }]
    var plain = Self.method(SearchMethodTests.space(2, units: 2))
    Self.run(&plain, value)
    for rise in rising {
      var other = Self.method(SearchMethodTests.space(2, units: 2))
      Self.run(&other) { rise(value($0)) }
      #expect(other.mean == plain.mean && other.deviation == plain.deviation)
      #expect(other.best?.point == plain.best?.point && other.generation == plain.generation)
      #expect(other.stopReason == plain.stopReason)
    }
  }

  /// The update by the formulas of the paper, written down once more from what the population was.
  @Test func aGenerationTeachesWhatTheNaturalGradientSays() throws {
    // The box is so wide that nothing is cut.
    let space = SearchMethodTests.space(lower: -50, upper: 51)
    var method = Self.method(space) { $0.population = 12 }
    let (mean, deviation) = (method.mean, method.deviation)
    let generator = Philox(seed: 5)
    let steps = (1..<12).map { member in
      let (u, v) = generator.normals([0, UInt32(member), 0, 0])
      return [u, v]
    }
    let leaders = (1...6).map { RankedMember(member: $0, score: MemberScore(score: 1, logLikelihood: -Double($0))) }
    let first = try #require(method.ask())
    #expect(first.leaders == leaders.count + 1)
    // Member 0 leads, and the six after it are ranked as they are numbered.
    method.tell([RankedMember(member: 0, score: MemberScore(score: 1, logLikelihood: 0))] + leaders)
    let raw = (1...11).map { max(0, log(11.0 / 2 + 1) - log(Double($0))) }
    let utilities = raw.map { $0 / raw.reduce(0, +) - 1.0 / 11 }
    #expect(abs(utilities.reduce(0, +)) < 1e-12)
    let rate = (3 + log(2.0)) / (5 * 2.0.squareRoot())
    for i in 0..<2 {
      let meanSlope = zip(utilities, steps).reduce(0) { $0 + $1.0 * $1.1[i] }
      let spreadSlope = zip(utilities, steps).reduce(0) { $0 + $1.0 * ($1.1[i] * $1.1[i] - 1) }
      #expect(abs(method.mean[i] - (mean[i] + deviation[i] * meanSlope)) < 1e-9)
      #expect(abs(method.deviation[i] - deviation[i] * exp(rate / 2 * spreadSlope)) < 1e-9)
    }
  }

  /// On a plain no direction is better: the index decides between equals, and the search ends by itself.
  @Test func aPlainEndsIt() {
    var method = Self.method(SearchMethodTests.space())
    Self.run(&method) { _ in -1 }
    #expect(method.stopReason == .stalled && method.generation == 9)
  }

  @Test func normalisedCoefficientsSumToOneWhereverTheMeanGoes() throws {
    let space = MixtureSpace(
      experts: 3, units: 2, granularity: .layer, mix: .sum, normalised: true, lower: 0, upper: 1)
    var method = Self.method(space)
    // One expert alone in each unit.
    Self.run(&method) { point in
      guard let alpha = space.coefficients(at: point)?.alpha else { return -.infinity }
      return -Double(abs(alpha[0][0] - 1) + abs(alpha[2][1] - 1))
    }
    let best = try #require(method.best)
    let alpha = try #require(space.coefficients(at: best.point)).alpha
    for unit in 0..<2 { #expect(alpha.reduce(0) { $0 + $1[unit] } == 1) }
    #expect(alpha[0][0] > 0.9 && alpha[2][1] > 0.9, "\(alpha)")
    #expect(method.mean.allSatisfy { (0...1).contains($0) })
  }
}
