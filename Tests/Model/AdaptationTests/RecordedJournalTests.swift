import Adaptation
import Multipliers
import Search
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// Journals that an earlier version wrote, one of each method that it had: an upgrade in the middle of a search loses
/// nothing, and a seed gives the mixture that it always gave.
@Suite struct RecordedJournalTests {
  private static func journal(_ name: String) throws -> [JSONValue] {
    let path = "\(repository)/Tests/Model/AdaptationTests/Fixtures/journals/\(name).jsonl"
    return try JSONLines(try FileSystem.readAll(path, maximumBytes: 1 << 20)).map { try $0.value.get() }
  }

  private static let space = MixtureSpace(experts: 2, units: 3, granularity: .layer, mix: .delta, lower: -0.25)

  private static func check<Method: SearchMethod>(
    _: Method.Type, _ method: Method.Settings, _ scorer: some CandidateScorer, scored: () -> Int
  ) throws {
    let settings = AdaptationSettings(
      seed: 2026, objective: .loglik, configurations: [SearchConfiguration(Method.self, method, in: space)],
      promptBudget: 5000, identity: "recorded")
    func run(_ journal: [JSONValue]) throws -> (outcome: AdaptationOutcome, journal: [JSONValue]) {
      var entries = journal
      var adaptation = Adaptation(
        settings, scorer: scorer, journal: journal, clock: { 0 },
        report: { if case .journal(let entry) = $0 { entries.append(entry) } })
      return (try adaptation.run(), entries)
    }
    let recorded = try journal(Method.name.rawValue)
    let resumed = try run(recorded)
    #expect(scored() == 0 && resumed.outcome.warnings == [] && resumed.journal == recorded)
    let fresh = try run([])
    #expect(scored() > 0 && fresh.journal == recorded)
    #expect(AdaptationTests.withoutCosts(fresh.outcome) == AdaptationTests.withoutCosts(resumed.outcome))
  }

  @Test func crossEntropy() throws {
    var settings = CrossEntropyMethod.Settings()
    (settings.population, settings.elites, settings.iterations) = (8, 3, 4)
    let scorer = TableScorer(shots: 6, target: [0.75, 0.5, 0, 0.25, 0.5, 1])
    try Self.check(CrossEntropyMethod.self, settings, scorer) { scorer.pieces }
  }

  @Test func randomShooting() throws {
    var settings = RandomShooting.Settings()
    (settings.population, settings.iterations) = (8, 4)
    let scorer = TableScorer(shots: 6, target: [0.75, 0.5, 0, 0.25, 0.5, 1])
    try Self.check(RandomShooting.self, settings, scorer) { scorer.pieces }
  }

  @Test func separableCMAES() throws {
    var settings = SeparableCMAES.Settings()
    (settings.population, settings.iterations) = (8, 4)
    let scorer = TableScorer(shots: 6, target: [0.75, 0.5, 0, 0.25, 0.5, 1])
    try Self.check(SeparableCMAES.self, settings, scorer) { scorer.pieces }
  }

  @Test func gradientAscent() throws {
    var settings = GradientAscent.Settings()
    settings.iterations = 6
    let hill = Hill(target: [0.75, 0.5, 0, 0.25, 0.5, 1], weights: [2, 1, 3, 1, 2, 1], skew: 0.4)
    let scorer = GradientAdaptationTests.HillScorer(hill)
    try Self.check(GradientAscent.self, settings, scorer) { scorer.scored + scorer.differentiated }
  }
}
