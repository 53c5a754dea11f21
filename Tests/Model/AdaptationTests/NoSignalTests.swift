import Adaptation
import Multipliers
import Search
import Testing

/// What is served where the shots tell nothing from the base.
@Suite struct NoSignalTests {
  /// Scores by the mixture alone.
  private struct FlatScorer: CandidateScorer {
    var shotCount = 8
    var likelihoodRule = LikelihoodRule.rightShots
    var admitted: @Sendable (MixtureCoefficients) -> Bool = { _ in true }
    var shotScore: @Sendable (MixtureCoefficients) -> ShotScore

    func chunks(of shots: [Int]) -> [[Int]] { [shots] }
    func admits(_ candidate: MixtureCoefficients) -> Bool { admitted(candidate) }
    func score(_ work: [ScoringWork]) throws(ScorerError) -> [[ShotScore]] {
      work.map { piece in piece.shots.map { _ in shotScore(piece.candidate) } }
    }
  }

  private static func outcome(of scorer: FlatScorer) throws(AdaptationError) -> AdaptationOutcome {
    var adaptation = Adaptation(
      AdaptationTests.settings(iterations: 4), scorer: scorer, clock: { 0 }, report: { _ in })
    return try adaptation.run()
  }

  private static let wrong = ShotScore(right: 0, logLikelihood: nil)

  @Test(arguments: [1, 2, 8], [LikelihoodRule.rightShots, .everyShot])
  func whereEveryShotIsWrongUnderAllTheBaseIsServed(shots: Int, rule: LikelihoodRule) throws {
    let outcome = try Self.outcome(of: FlatScorer(shotCount: shots, likelihoodRule: rule) { _ in Self.wrong })
    #expect(!outcome.hasSignal)
    #expect(outcome.served == .base)
    #expect(outcome.alpha == .base(of: 2))
    #expect(
      outcome.because
        == "no signal: on the shots the base, every expert and every mixture have score 0.0, log-likelihood -inf, so the "
        + "base is served")
  }

  /// Experts that change nothing.
  @Test func whereAllAreEquallyRightTheBaseIsServedToo() throws {
    let outcome = try Self.outcome(of: FlatScorer { _ in ShotScore(right: 1, logLikelihood: -0.5) })
    #expect(!outcome.hasSignal && outcome.served == .base && outcome.alpha == .base(of: 2))
  }

  /// An expert that cannot be scored says nothing for the others.
  @Test func whatCannotBeScoredIsNoSignal() throws {
    let outcome = try Self.outcome(
      of: FlatScorer(admitted: { $0 != .single(1, of: 2) }) { _ in Self.wrong })
    #expect(outcome.experts[1].fit == .worst)
    #expect(!outcome.hasSignal && outcome.served == .base)
  }

  /// As many right, but with more confidence: little to go by, and more than nothing.
  @Test func aLikelihoodThatDiffersIsASignal() throws {
    let outcome = try Self.outcome(
      of: FlatScorer(likelihoodRule: .everyShot) {
        ShotScore(right: 0, logLikelihood: -1 - Double(abs($0.alpha[0][0] - 0.75)))
      })
    #expect(outcome.hasSignal && outcome.served == .mixture)
    #expect(!outcome.because.contains("no signal"))
  }

  @Test func anExpertThatIsWorseThanTheRestIsASignal() throws {
    let outcome = try Self.outcome(
      of: FlatScorer {
        ShotScore(right: $0 == .single(0, of: 2) ? 0 : 1, logLikelihood: $0 == .single(0, of: 2) ? nil : -0.5)
      })
    #expect(outcome.hasSignal)
  }
}
