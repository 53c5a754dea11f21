import Adaptation
import Multipliers
import Search
import StrictJSON
import Testing

@Suite struct AdaptationTests {
  static func settings(
    seed: UInt64 = 11, granularities: [Granularity] = [.vector], iterations: Int = 12, prompts: Int? = nil,
    seconds: Double? = nil
  ) -> AdaptationSettings {
    AdaptationSettings(
      seed: seed,
      configurations: granularities.map { granularity in
        var method = CrossEntropyMethod.Settings()
        method.iterations = iterations
        return SearchConfiguration(
          CrossEntropyMethod.self, method,
          in: MixtureSpace(
            experts: 2, units: granularity == .vector ? 1 : 3, granularity: granularity, mix: .delta))
      }, promptBudget: prompts, secondsBudget: seconds, identity: "test")
  }

  /// A clock that goes on by a second whenever it is read.
  final class Ticks {
    var now = 0.0
    func read() -> Double {
      now += 1
      return now
    }
  }

  static func run(
    _ settings: AdaptationSettings, _ scorer: TableScorer, journal: [JSONValue] = [], prunes: Bool = true,
    caches: Bool = true
  ) throws(AdaptationError) -> (outcome: AdaptationOutcome, journal: [JSONValue]) {
    var entries = journal
    let ticks = Ticks()
    var adaptation = Adaptation(
      settings, scorer: scorer, journal: journal, prunes: prunes, caches: caches, clock: { ticks.read() },
      report: { if case .journal(let entry) = $0 { entries.append(entry) } })
    return (try adaptation.run(), entries)
  }

  static func withoutCosts(_ outcome: AdaptationOutcome) -> AdaptationOutcome {
    var outcome = outcome
    outcome.costs = SearchCosts()
    for index in outcome.searches.indices {
      outcome.searches[index].costs = SearchCosts()
      for step in outcome.searches[index].history.indices { outcome.searches[index].history[step].prompts = 0 }
    }
    return outcome
  }

  @Test func theTargetIsFoundAndServed() throws {
    let (outcome, _) = try Self.run(Self.settings(iterations: 40), TableScorer(shots: 40, target: [0.75, 0.25]))
    #expect(outcome.served == .mixture)
    #expect(outcome.alpha == outcome.found)
    #expect(abs(outcome.alpha.alpha[0][0] - 0.75) < 0.25 && abs(outcome.alpha.alpha[1][0] - 0.25) < 0.25)
    let best = [outcome.base, outcome.uniform].map(\.fit) + outcome.experts.map(\.fit)
    #expect(best.allSatisfy { !outcome.mixture.fit.isBelow($0, by: .accuracy) })
    #expect(outcome.costs.savedByCache > 0 && outcome.costs.savedByPruning > 0)
  }

  @Test func aSeedGivesOneOutcomeWithAndWithoutPruning() throws {
    for seed in UInt64(0)..<6 {
      let settings = Self.settings(seed: seed, granularities: [.vector, .layer], iterations: 6)
      let pruned = try Self.run(settings, TableScorer(shots: 10, levels: 5, seed: seed))
      let again = try Self.run(settings, TableScorer(shots: 10, levels: 5, seed: seed))
      let whole = try Self.run(settings, TableScorer(shots: 10, levels: 5, seed: seed), prunes: false)
      #expect(pruned.outcome == again.outcome)
      #expect(pruned.journal == again.journal)
      #expect(Self.withoutCosts(pruned.outcome) == Self.withoutCosts(whole.outcome))
    }
  }

  /// kill -9 after any entry of the journal: what is left is finished without scoring anything twice.
  @Test func aRunResumedAnywhereEndsTheSame() throws {
    let settings = Self.settings(granularities: [.vector, .layer], iterations: 5)
    let first = TableScorer(shots: 9, levels: 9)
    let whole = try Self.run(settings, first)
    let last = whole.journal.count
    for kept in [0, 1, 2, 3, 4, 7, 11, last - 3, last - 1, last] {
      // Through text, as the daemon keeps it.
      let journal = try whole.journal.prefix(kept).map { try parseJSON($0.serialized()) }
      let scorer = TableScorer(shots: 9, levels: 9)
      let resumed = try Self.run(settings, scorer, journal: journal)
      #expect(Self.withoutTime(resumed.outcome) == Self.withoutTime(whole.outcome), "after \(kept) entries")
      #expect(resumed.journal.map(Self.withoutSeconds) == whole.journal.map(Self.withoutSeconds))
      if kept == last { #expect(scorer.pieces == 0) }
      if kept > 2 { #expect(scorer.pieces < first.pieces) }
    }
  }

  static func withoutTime(_ outcome: AdaptationOutcome) -> AdaptationOutcome {
    var outcome = outcome
    outcome.costs.seconds = 0
    for index in outcome.searches.indices { outcome.searches[index].costs.seconds = 0 }
    return outcome
  }

  static func withoutSeconds(_ entry: JSONValue) -> JSONValue {
    guard case .object(var object) = entry else { return entry }
    object["seconds"] = nil
    return .object(object)
  }

  @Test func aJournalOfOtherInputsIsNotUsed() throws {
    let whole = try Self.run(Self.settings(seed: 1), TableScorer(shots: 8))
    let scorer = TableScorer(shots: 8)
    let other = try Self.run(Self.settings(seed: 2), scorer, journal: whole.journal)
    #expect(other.outcome.warnings.count == 1)
    let fresh = try Self.run(Self.settings(seed: 2), TableScorer(shots: 8))
    #expect(other.outcome.alpha == fresh.outcome.alpha)
  }

  @Test func aJournalThatContradictsItselfIsRefused() throws {
    let settings = Self.settings(iterations: 4)
    var journal = try Self.run(settings, TableScorer(shots: 8)).journal
    let index = try #require(journal.firstIndex { $0["entry"] == "generation" })
    guard case .object(var entry) = journal[index], case .object(var state) = entry["state"] else {
      Issue.record("a generation has a state")
      return
    }
    state["mean"] = .array([.number(0.1), .number(0.2)])
    entry["state"] = .object(state)
    journal[index] = .object(entry)
    #expect(throws: AdaptationError.journalMismatch(entry: index)) {
      try Self.run(settings, TableScorer(shots: 8), journal: journal)
    }
  }

  @Test func budgetsEndAllSearchesInTheSameRound() throws {
    let (byPrompts, journal) = try Self.run(
      Self.settings(iterations: 50, prompts: 700), TableScorer(shots: 10))
    #expect(byPrompts.stopReason == .promptBudget)
    #expect(byPrompts.costs.prompts >= 700 && byPrompts.costs.prompts < 700 + 3 * 32 * 10)
    var generations: [Int: Int] = [:]
    for entry in journal where entry["entry"] == "generation" {
      generations[entry["search"]?.intValue ?? -1, default: 0] += 1
    }
    #expect(Set(generations.keys) == [0, 1, 2] && Set(generations.values).count == 1)
    let (bySeconds, _) = try Self.run(Self.settings(iterations: 50, seconds: 9), TableScorer(shots: 10))
    #expect(bySeconds.stopReason == .secondsBudget)
    #expect(bySeconds.generations < 5)
  }

  @Test func cancellingThrowsAndTheJournalGoesOn() throws {
    let settings = Self.settings(iterations: 6)
    let whole = try Self.run(settings, TableScorer(shots: 8))
    let scorer = TableScorer(shots: 8)
    scorer.cancelsAfter = 60
    var entries: [JSONValue] = []
    var adaptation = Adaptation(
      settings, scorer: scorer, clock: { 0 }, report: { if case .journal(let entry) = $0 { entries.append(entry) } })
    var ending: AdaptationError?
    do { _ = try adaptation.run() } catch { ending = error }
    #expect(ending == .cancelled)
    let resumed = try Self.run(settings, TableScorer(shots: 8), journal: entries)
    #expect(resumed.outcome.alpha == whole.outcome.alpha)
  }

  /// On pure chance the mixture is fitted to luck; whatever is served is no worse where it was not fitted.
  @Test func nothingWorseThanABaselineIsServed() throws {
    var baselines = 0
    for seed in UInt64(0)..<24 {
      let (outcome, _) = try Self.run(Self.settings(seed: seed, iterations: 3), TableScorer(shots: 10, seed: seed))
      let rivals = ([outcome.base] + outcome.experts + [outcome.uniform]).map { $0.heldOut ?? $0.fit }
      let mine = outcome.mixture.heldOut ?? outcome.mixture.fit
      switch outcome.served {
      case .mixture:
        #expect(rivals.allSatisfy { !mine.isBelow($0, by: .accuracy) })
        #expect(outcome.alpha == outcome.found)
      case .base:
        baselines += 1
        #expect(outcome.alpha == .base(of: 2))
      case .expert(let k):
        baselines += 1
        #expect(outcome.alpha == .single(k, of: 2))
      case .uniform:
        baselines += 1
        #expect(outcome.alpha.alpha == [[0.5], [0.5]])
      }
      if outcome.served != .mixture { #expect(rivals.contains { mine.isBelow($0, by: .accuracy) }) }
    }
    #expect(baselines > 0 && baselines < 24)
  }

  @Test func oneShotHasNothingToHoldOut() throws {
    let (outcome, _) = try Self.run(Self.settings(iterations: 3), TableScorer(shots: 1))
    #expect(outcome.mixture.heldOut == nil && outcome.base.heldOut == nil)
    #expect(!outcome.mixture.fit.isBelow(outcome.base.fit, by: .accuracy))
  }

  @Test func theFirstGenerationOfThreeSearchesCostsThatOfOne() throws {
    let (outcome, journal) = try Self.run(Self.settings(iterations: 1), TableScorer(shots: 10), prunes: false)
    let generations = journal.filter { $0["entry"] == "generation" }
    #expect(generations.map { $0["scores"]?.arrayValue?.isEmpty } == [false, true, true])
    #expect(outcome.costs.savedByCache >= 32 * 10)
  }

  @Test func foldsPartTheShotsAndChunksLieWithinFolds() {
    for shots in 2...11 {
      let plan = ShotPlan(shots: shots, seed: 5) { TableScorer(shots: shots, chunkSize: 2).chunks(of: $0) }
      #expect(plan.chunks.flatMap(\.self).sorted() == Array(0..<shots))
      #expect(plan.folds.count == 2)
      #expect(plan.heldOut(0) + plan.heldOut(1) == plan.allChunks)
      #expect(plan.fitted(without: 0) == plan.heldOut(1))
      let sizes = plan.folds.map { plan.chunks[$0].reduce(0) { $0 + $1.count } }
      #expect(sizes[0] - sizes[1] == shots % 2)
    }
  }
}
