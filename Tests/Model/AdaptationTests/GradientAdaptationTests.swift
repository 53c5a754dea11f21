import Adaptation
import Multipliers
import Search
import StrictJSON
import TestSupport
import Testing

/// Whole adaptations by a gradient.
@Suite struct GradientAdaptationTests {
  /// A scorer whose shots' log-likelihoods are hills, each of a height of its own.
  final class HillScorer: CandidateScorer {
    let hill: Hill
    let shotCount = 10
    let likelihoodRule = LikelihoodRule.everyShot
    private(set) var scored = 0
    private(set) var mixtures: Set<[[Float]]> = []
    private(set) var differentiated = 0

    init(_ hill: Hill) { self.hill = hill }

    func chunks(of shots: [Int]) -> [[Int]] {
      stride(from: 0, to: shots.count, by: 3).map { Array(shots[$0..<min($0 + 3, shots.count)]) }
    }
    func admits(_ candidate: MixtureCoefficients) -> Bool { true }

    private func shots(_ piece: ScoringWork) -> [ShotScore] {
      let x = piece.candidate.alpha.flatMap { $0.map { Double($0) } }
      return piece.shots.map {
        ShotScore(right: $0 % 2 == 0 ? 1 : 0, logLikelihood: hill.value(x) * (1 + 0.02 * Double($0)))
      }
    }
    func score(_ work: [ScoringWork]) -> [[ShotScore]] {
      scored += work.reduce(0) { $0 + $1.shots.count }
      mixtures.formUnion(work.map(\.candidate.alpha))
      return work.map { shots($0) }
    }
    func gradients(_ work: [ScoringWork]) -> [ShotGradient] {
      differentiated += work.reduce(0) { $0 + $1.shots.count }
      return work.map { piece in
        let x = piece.candidate.alpha.flatMap { $0.map { Double($0) } }
        let factor = piece.shots.reduce(0.0) { $0 + 1 + 0.02 * Double($1) }
        return ShotGradient(shots: shots(piece), gradient: hill.gradient(x).map { $0 * factor })
      }
    }
  }

  private static func settings() -> AdaptationSettings {
    let space = MixtureSpace(experts: 2, units: 1, granularity: .vector, mix: .delta)
    var method = GradientAscent.Settings()
    method.objective = .loglik
    return AdaptationSettings(
      seed: 5, objective: .loglik,
      configurations: [
        SearchConfiguration(GradientAscent.self, method, in: space)
      ], identity: "test")
  }

  private static func run(
    _ scorer: HillScorer, journal: [JSONValue] = []
  ) throws -> (outcome: AdaptationOutcome, journal: [JSONValue]) {
    var entries = journal
    let ticks = AdaptationTests.Ticks()
    var adaptation = Adaptation(
      settings(), scorer: scorer, journal: journal, clock: { ticks.read() },
      report: { if case .journal(let entry) = $0 { entries.append(entry) } })
    return (try adaptation.run(), entries)
  }

  private let hill = Hill(target: [0.7, 0.2], weights: [1.5, 0.8], skew: 0.3)

  @Test func anAdaptationByGradientServesTheTopAndCountsThreeForAGradient() throws {
    let scorer = HillScorer(hill)
    let (outcome, _) = try Self.run(scorer)
    #expect(outcome.served == .mixture)
    let alpha = outcome.alpha.alpha
    #expect(hill.value(alpha.flatMap { $0.map { Double($0) } }) > hill.value(hill.target) - 1e-3)
    #expect(outcome.costs.prompts == scorer.scored + 3 * scorer.differentiated)
    #expect(outcome.searches[0].costs.prompts < 10 * 3 * 2 * 5)
    // All three searches begin at one point: the folds find their gradients there already.
    #expect(outcome.costs.savedByCache >= 3 * 10)
  }

  @Test func theScoreOfTheUniformMixtureComesWithItsGradient() throws {
    let scorer = HillScorer(hill)
    let (outcome, _) = try Self.run(scorer)
    #expect(outcome.uniform.fit.logLikelihood < 0 && outcome.uniform.heldOut != nil)
    #expect(scorer.mixtures.contains([[0], [1]]) && !scorer.mixtures.contains([[0.5], [0.5]]))
  }

  @Test func aRunResumedAnywhereEndsTheSame() throws {
    let first = HillScorer(hill)
    let whole = try Self.run(first)
    for kept in 0...whole.journal.count {
      let second = HillScorer(hill)
      let journal = try whole.journal.prefix(kept).map { try parseJSON(Array($0.jsonText.utf8)) }
      let resumed = try Self.run(second, journal: journal)
      #expect(AdaptationTests.withoutCosts(resumed.outcome) == AdaptationTests.withoutCosts(whole.outcome))
      #expect(resumed.outcome.costs.prompts == whole.outcome.costs.prompts, "after \(kept)")
      #expect(resumed.journal.count == whole.journal.count)
      if kept == whole.journal.count { #expect(second.scored == 0 && second.differentiated == 0) }
    }
  }
}
