import Adaptation
import Multipliers
import Search
import StrictJSON
import Testing

/// Whole adaptations by every method: what holds for one holds for all, and for all side by side.
@Suite struct MethodAdaptationTests {
  /// What a table can score: no gradients.
  static let populations = SearchMethodName.all.methods(withGradients: false)
  static let names = populations.map { $0.name } + [.all]

  static func settings(
    _ name: SearchMethodName, seed: UInt64 = 3, iterations: Int = 6, granularity: Granularity = .vector,
    mix: MixRule = .delta, normalised: Bool = false, objective: Objective = .accuracy
  ) -> AdaptationSettings {
    let space = MixtureSpace(
      experts: 2, units: granularity == .vector ? 1 : 3, granularity: granularity, mix: mix, normalised: normalised)
    let requested = RequestedSettings(iterations: iterations)
    return AdaptationSettings(
      seed: seed, objective: objective,
      configurations: name.methods(withGradients: false).map { SearchConfiguration($0, requested, in: space) },
      identity: "test")
  }

  @Test(arguments: names, Granularity.allCases)
  func pruningAndCacheChangeCostsAndNothingElse(name: SearchMethodName, granularity: Granularity) throws {
    for seed in UInt64(0)..<3 {
      for objective in Objective.allCases {
        let settings = Self.settings(name, seed: seed, iterations: 4, granularity: granularity, objective: objective)
        func run(prunes: Bool, caches: Bool) throws -> AdaptationOutcome {
          try AdaptationTests.run(
            settings, TableScorer(shots: 8, levels: 4, seed: seed), prunes: prunes, caches: caches
          ).outcome
        }
        let both = try run(prunes: true, caches: true)
        let none = try run(prunes: false, caches: false)
        #expect(AdaptationTests.withoutCosts(both) == AdaptationTests.withoutCosts(none))
        let pruned = try run(prunes: true, caches: false)
        #expect(AdaptationTests.withoutCosts(pruned) == AdaptationTests.withoutCosts(none))
        #expect(both.costs.prompts < none.costs.prompts)
      }
    }
  }

  /// kill -9 after any entry: the same mixture, the same journal, and nothing scored twice.
  @Test(arguments: names)
  func aRunResumedAfterAnyEntryEndsTheSame(name: SearchMethodName) throws {
    let settings = Self.settings(name, iterations: 4)
    let first = TableScorer(shots: 7, levels: 9)
    let whole = try AdaptationTests.run(settings, first)
    for kept in 0...whole.journal.count {
      let journal = try whole.journal.prefix(kept).map { try parseJSON($0.serialized()) }
      let scorer = TableScorer(shots: 7, levels: 9)
      let resumed = try AdaptationTests.run(settings, scorer, journal: journal)
      #expect(
        AdaptationTests.withoutTime(resumed.outcome) == AdaptationTests.withoutTime(whole.outcome),
        "after \(kept) entries")
      #expect(
        resumed.journal.map(AdaptationTests.withoutSeconds) == whole.journal.map(AdaptationTests.withoutSeconds))
      #expect(kept < 3 || scorer.pieces < first.pieces)
    }
  }

  /// A plain search scores every member of every generation on every shot; what was made and what was saved is that.
  @Test(arguments: names)
  func whatWasMadeAndWhatWasSavedAddUpToThePlainSearch(name: SearchMethodName) throws {
    for iterations in [3, 40] {
      let settings = Self.settings(name, iterations: iterations)
      let (outcome, _) = try AdaptationTests.run(settings, TableScorer(shots: 10, target: [0.75, 0.25]))
      for search in outcome.searches {
        let costs = search.costs
        let total = costs.prompts + costs.savedByCache + costs.savedByPruning + costs.savedByConvergence
        // The search on all shots and the two without a fold.
        let plain = iterations * 32 * (10 + 10)
        let isPaced = search.configuration != outcome.searches[0].configuration
        #expect(isPaced ? total <= plain : total == plain, "\(search.configuration.method.name)")
        #expect(isPaced || (costs.savedByConvergence > 0) == (iterations == 40))
        #expect(costs.savedByCache > 0 && costs.seconds > 0)
      }
      #expect(outcome.costs.prompts > outcome.searches.reduce(0) { $0 + $1.costs.prompts })
    }
  }

  /// What is compared has cost the same: cem ends by itself, the others when they have made as many evaluations.
  @Test func methodsSideBySideAreComparedAtOneCost() throws {
    var stopped = 0
    for seed in UInt64(0)..<2 {
      let (outcome, _) = try AdaptationTests.run(
        Self.settings(.all, seed: seed, iterations: 100), TableScorer(shots: 10, target: [0.75, 0.25], seed: seed))
      let first = outcome.searches[0]
      #expect(first.stopReason.isConvergence)
      for rival in outcome.searches.dropFirst() {
        // A round is at most a generation of each of the three searches.
        #expect(rival.costs.prompts < first.costs.prompts + 32 * (10 + 10), "\(rival.configuration.method.name)")
        stopped += rival.stopReason == .promptBudget ? 1 : 0
      }
    }
    #expect(stopped > 0)
  }

  @Test func everyGenerationLeavesAStepToDrawConvergenceFrom() throws {
    let (outcome, _) = try AdaptationTests.run(
      Self.settings(.all, iterations: 20), TableScorer(shots: 10, target: [0.75, 0.25]))
    for search in outcome.searches {
      let name = search.configuration.method.name
      let steps = search.history
      #expect(steps.map(\.generation) == Array(0..<search.generations), "\(name)")
      #expect(steps.last?.best == search.standing.fit)
      for (before, after) in zip(steps, steps.dropFirst()) {
        #expect(!after.best.isBelow(before.best, by: .accuracy) && after.prompts >= before.prompts)
      }
      let last = try #require(steps.last)
      // The two searches without a fold make some too.
      #expect(last.prompts > 0 && last.prompts < search.costs.prompts)
      // One leader has no mean, and what is drawn evenly has no spread.
      #expect(
        steps.allSatisfy {
          ($0.mean == nil) == (name == RandomShooting.name) && ($0.spread == nil) == (name == RandomShooting.name)
        })
      guard let spread = last.spread, let first = steps.first?.spread else { continue }
      #expect(spread < first && steps.allSatisfy { $0.mean ?? 2 <= $0.best.score })
    }
  }

  @Test func theFoldsChooseAmongMethods() throws {
    var chosen: Set<Int> = []
    for seed in UInt64(0)..<12 {
      let (outcome, _) = try AdaptationTests.run(
        Self.settings(.all, seed: seed, iterations: 3), TableScorer(shots: 10, seed: seed))
      #expect(outcome.searches.map { $0.configuration.method.name } == Self.populations.map { $0.name })
      let mine = outcome.searches[outcome.configuration]
      let held = outcome.searches.map { $0.standing.heldOut ?? .worst }
      #expect(held.allSatisfy { !held[outcome.configuration].isBelow($0, by: .accuracy) })
      #expect(outcome.mixture == mine.standing && outcome.found == mine.alpha)
      chosen.insert(outcome.configuration)
    }
    #expect(chosen.count > 1)
  }

  @Test(arguments: names)
  func normalisedMixturesSumToOneAndLieOnTheGrid(name: SearchMethodName) throws {
    for granularity in Granularity.allCases {
      let (outcome, _) = try AdaptationTests.run(
        Self.settings(name, granularity: granularity, mix: .sum, normalised: true), TableScorer(shots: 8))
      for search in outcome.searches {
        for unit in search.alpha.alpha[0].indices {
          #expect(search.alpha.alpha.reduce(0) { $0 + $1[unit] } == 1)
          #expect(search.alpha.alpha.allSatisfy { ($0[unit] * 64).rounded() == $0[unit] * 64 })
        }
      }
    }
  }

  @Test(arguments: names)
  func aFreeMixtureLiesOnTheGridToo(name: SearchMethodName) throws {
    let (outcome, _) = try AdaptationTests.run(Self.settings(name), TableScorer(shots: 8, target: [0.3, 0.9]))
    for search in outcome.searches {
      #expect(search.alpha.alpha.flatMap(\.self).allSatisfy { ($0 * 64).rounded() == $0 * 64 })
    }
  }

  /// What an older t2d journalled has other entries: its search begins anew, and the record says so.
  @Test func aJournalOfAnOlderVersionIsNotUsed() throws {
    let settings = Self.settings(CrossEntropyMethod.name, iterations: 3)
    let whole = try AdaptationTests.run(settings, TableScorer(shots: 8))
    var journal = whole.journal
    guard case .object(var start) = journal[0] else {
      Issue.record("a journal begins with its start")
      return
    }
    start["version"] = 1
    journal[0] = .object(start)
    let (outcome, _) = try AdaptationTests.run(settings, TableScorer(shots: 8), journal: journal)
    #expect(outcome.warnings.count == 1 && outcome.warnings[0].contains("journal"))
    #expect(outcome.found == whole.outcome.found)
  }

  // MARK: - gradients

  /// The log-likelihood −Σ_k w_k (α_k − t_k)² on every shot, whose gradient is known.
  struct Parabola: CandidateScorer {
    var shotCount: Int { 4 }
    var likelihoodRule: LikelihoodRule { .everyShot }
    let calls = Calls()
    final class Calls { var pieces = 0 }

    func chunks(of shots: [Int]) -> [[Int]] { shots.map { [$0] } }
    func admits(_ candidate: MixtureCoefficients) -> Bool { true }
    func value(_ alpha: [Double]) -> Double { -(alpha[0] - 0.5) * (alpha[0] - 0.5) - 2 * alpha[1] * alpha[1] }
    func score(_ work: [ScoringWork]) throws(ScorerError) -> [[ShotScore]] {
      work.map { piece in
        piece.shots.map { _ in
          ShotScore(right: 1, logLikelihood: value(piece.candidate.alpha.flatMap { $0.map(Double.init) }))
        }
      }
    }
    func gradients(_ work: [ScoringWork]) throws(ScorerError) -> [ShotGradient] {
      calls.pieces += work.count
      let scores = try score(work)
      return zip(work, scores).map { piece, shots in
        let alpha = piece.candidate.alpha.flatMap { $0.map(Double.init) }
        return ShotGradient(
          shots: shots, gradient: [-2 * (alpha[0] - 0.5), -4 * alpha[1]].map { $0 * Double(shots.count) })
      }
    }
  }

  @Test func aGradientIsTheMeanOverItsShotsAndCountsThree() throws {
    let scorer = Parabola()
    var evaluator = Evaluator(scorer, chunks: scorer.chunks(of: [0, 1, 2, 3]))
    evaluator.begin(replaying: nil)
    let found = try evaluator.gradient(at: MixtureCoefficients(mix: .delta, [0.25, 0.5]), on: [0, 2, 3])
    #expect(found.gradient == [0.5, -2])
    #expect(found.score == MemberScore(score: 1, logLikelihood: -0.5625))
    #expect(evaluator.costs.prompts == 9)
  }

  @Test func aGradientOutOfTheJournalIsNotComputedAgain() throws {
    let scorer = Parabola()
    let chunks = scorer.chunks(of: [0, 1, 2, 3])
    let candidate = MixtureCoefficients(mix: .delta, [0.1, 0.7])
    var first = Evaluator(scorer, chunks: chunks)
    first.begin(replaying: nil)
    let found = try first.gradient(at: candidate, on: [0, 1])
    let entry = try parseJSON(first.scores.serialized())
    var second = Evaluator(scorer, chunks: chunks)
    second.begin(replaying: entry)
    let again = try second.gradient(at: candidate, on: [0, 1])
    #expect(again == found && scorer.calls.pieces == 2)
    #expect(second.scores == first.scores && second.costs == first.costs)
    // Half of a step: the rest is computed.
    second.begin(replaying: entry)
    let more = try second.gradient(at: candidate, on: [0, 1, 2])
    #expect(more.gradient.count == 2 && scorer.calls.pieces == 3)
  }

  @Test func aScorerWithoutGradientsSaysSo() {
    var evaluator = Evaluator(TableScorer(shots: 4), chunks: [[0, 1], [2, 3]])
    evaluator.begin(replaying: nil)
    #expect(throws: ScorerError.self) {
      try evaluator.gradient(at: MixtureCoefficients(mix: .delta, [0, 0]), on: [0])
    }
  }
}
