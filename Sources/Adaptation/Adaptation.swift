import Multipliers
package import StrictJSON

/// Finds the mixture of experts that serves a task best, from a few shots.
///
/// First the baselines: the base, each expert alone, all in equal parts. Then every configuration is searched on all
/// shots and once without each fold, one generation of each search in turn so that a budget falls on all alike. The
/// configuration that does best on what its searches did not see is chosen, and served unless a baseline does better there.
///
/// Runs in the calling thread and knows neither clock nor files. An interrupted run is resumed by running it again with
/// its journal: every step asks the journal before the scorer, so the same decisions follow, and the same end.
package struct Adaptation<Scorer: CandidateScorer> {
  private let settings: AdaptationSettings
  private let scorer: Scorer
  private let plan: ShotPlan
  private let report: (AdaptationEvent) -> Void
  private let clock: () -> Double

  private var evaluator: Evaluator<Scorer>
  private var searches: [Search] = []
  private var journal: [JSONValue]
  private var cursor = 0
  private var secondsBefore = 0.0
  private var startOfRun = 0.0
  private var elapsed = 0.0
  private var fraction = 0.0
  private var warnings: [String] = []

  private struct Search {
    var configuration: Int
    /// Nil fits on all shots.
    var fold: Int?
    var chunks: [Int]
    var method: any SearchMethod
    var budgetStop: StopReason?

    var stopReason: StopReason? { method.stopReason ?? budgetStop }
  }

  /// `clock` gives seconds from any start; `report` is called in the thread that runs.
  package init(
    _ settings: AdaptationSettings, scorer: Scorer, journal: [JSONValue] = [], prunes: Bool = true,
    clock: @escaping () -> Double, report: @escaping (AdaptationEvent) -> Void
  ) {
    self.settings = settings
    self.scorer = scorer
    self.report = report
    self.clock = clock
    plan = ShotPlan(shots: scorer.shotCount, seed: settings.seed, chunking: scorer.chunks(of:))
    evaluator = Evaluator(scorer, chunks: plan.chunks, prunes: prunes)
    self.journal = journal
  }

  package mutating func run() throws(AdaptationError) -> AdaptationOutcome {
    openJournal()
    progress(.baselines, "scoring the base, each expert and the uniform mixture")
    let baselines = try scoreBaselines()
    startSearches()
    try runSearches()
    progress(.choosing, "comparing on the shots that were held out")
    return try choose(baselines)
  }

  // MARK: - journal

  private mutating func openJournal() {
    startOfRun = clock()
    let start: JSONValue = ["entry": "start", "version": 1, "identity": .string(settings.fingerprint)]
    if let first = journal.first {
      if first == start {
        cursor = 1
        secondsBefore = journal.last?["seconds"]?.doubleValue ?? 0
        return
      }
      warnings.append("the journal of an earlier run belongs to other settings or inputs and was not used")
      journal = []
    }
    report(.journal(start))
  }

  /// Does one step: out of the journal if it holds the step, and into it otherwise. `label` says which step it is.
  private mutating func step<Result>(
    _ label: JSONObject, _ body: (inout Self) throws(ScorerError) -> Result,
    state: (inout Self, Result) -> JSONObject
  ) throws(AdaptationError) -> Result {
    // `.none`, since a bare nil would be JSON's null.
    let replayed = cursor < journal.count ? journal[cursor] : Optional.none
    if let replayed, !label.members.allSatisfy({ replayed[$0.key] == $0.value }) {
      throw .journalMismatch(entry: cursor)
    }
    evaluator.begin(replaying: replayed?["scores"])
    let result: Result
    do throws(ScorerError) { result = try body(&self) } catch { throw AdaptationError(error) }
    let after = state(&self, result)
    if let replayed {
      guard after.members.allSatisfy({ replayed[$0.key] == $0.value }) else {
        throw .journalMismatch(entry: cursor)
      }
      elapsed = replayed["seconds"]?.doubleValue ?? elapsed
      cursor += 1
      if cursor == journal.count { startOfRun = clock() }
    } else {
      elapsed = secondsBefore + clock() - startOfRun
      var entry = label
      for member in after.members { entry[member.key] = member.value }
      entry["scores"] = evaluator.scores
      entry["seconds"] = .number(elapsed)
      report(.journal(.object(entry)))
    }
    return result
  }

  // MARK: - baselines

  private struct Baselines {
    var candidates: [MixtureCoefficients]
    var fits: [MemberScore]
    var heldOut: [MemberScore?]
  }

  private var expertCount: Int { settings.configurations[0].space.experts }

  /// The base, the experts in order, and the uniform mixture.
  private mutating func scoreBaselines() throws(AdaptationError) -> Baselines {
    let count = expertCount
    var candidates = [MixtureCoefficients.base(of: count)]
    for k in 0..<count { candidates.append(.single(k, of: count)) }
    candidates.append(
      MixtureCoefficients(
        mix: settings.configurations[0].space.mix, Array(repeating: 1 / Float(count), count: count)))
    let chunks = plan.allChunks
    let fits = try step(["entry": "baselines"]) { (run) throws(ScorerError) in
      try run.evaluator.scores(of: candidates, on: chunks)
    } state: { _, fits in
      ["fits": .array(fits.map(scoreJSON))]
    }
    // All their scores are known now, so nothing is computed here.
    let heldOut = try step(["entry": "baselines_held_out"]) { (run) throws(ScorerError) in
      var byFold: [[MemberScore]] = []
      for fold in run.plan.folds.indices {
        byFold.append(try run.evaluator.scores(of: candidates, on: run.plan.heldOut(fold)))
      }
      return candidates.indices.map { c in byFold.isEmpty ? nil : MemberScore.mean(byFold.map { $0[c] }) }
    } state: { _, means in
      ["held_out": .array(means.map { $0.map(scoreJSON) ?? .null })]
    }
    return Baselines(candidates: candidates, fits: fits, heldOut: heldOut)
  }

  // MARK: - searches

  private mutating func startSearches() {
    for (number, configuration) in settings.configurations.enumerated() {
      for fold in [nil] + plan.folds.indices.map(Optional.some) {
        // One stream for all searches of a configuration: they begin with the same members, whose scores on all shots are
        // those on the folds, so the first generation of three searches costs that of one.
        let stream = UInt32(truncatingIfNeeded: number)
        searches.append(
          Search(
            configuration: number, fold: fold, chunks: fold.map { plan.fitted(without: $0) } ?? plan.allChunks,
            method: configuration.start(seed: settings.seed, stream: stream)))
      }
    }
  }

  private mutating func runSearches() throws(AdaptationError) {
    let most = max(1, settings.configurations.map(\.generations).max() ?? 1)
    var round = 0
    while searches.contains(where: { $0.stopReason == nil }) {
      for index in searches.indices where searches[index].stopReason == nil {
        try advance(index)
        let done = Double(round) + Double(index + 1) / Double(searches.count)
        fraction = max(fraction, min(0.99, budgetFraction(done / Double(most))))
        let best = searches.first { $0.fold == nil }?.method.best?.score
        progress(.search, "generation \(round + 1) of at most \(most)", best)
      }
      round += 1
      var reason: StopReason?
      if let budget = settings.secondsBudget, elapsed >= budget { reason = .secondsBudget }
      if let budget = settings.promptBudget, evaluator.prompts >= budget { reason = .promptBudget }
      if let reason {
        for index in searches.indices where searches[index].stopReason == nil { searches[index].budgetStop = reason }
      }
    }
  }

  private func budgetFraction(_ ofGenerations: Double) -> Double {
    var fraction = ofGenerations
    if let budget = settings.promptBudget {
      fraction = max(fraction, Double(evaluator.prompts) / Double(max(1, budget)))
    }
    if let budget = settings.secondsBudget { fraction = max(fraction, elapsed / max(1e-9, budget)) }
    return fraction
  }

  /// One generation of one search.
  private mutating func advance(_ index: Int) throws(AdaptationError) {
    guard let proposal = searches[index].method.ask() else { return }
    let space = settings.configurations[searches[index].configuration].space
    let members = proposal.members.map { space.coefficients(at: $0) }
    let label: JSONObject = [
      "entry": "generation", "search": .integer(Int64(index)), "generation": .integer(Int64(proposal.generation)),
    ]
    _ = try step(label) { (run) throws(ScorerError) in
      try run.evaluator.rank(
        members, on: run.searches[index].chunks, leaders: proposal.leaders, objective: run.settings.objective)
    } state: { run, leaders in
      run.searches[index].method.tell(leaders)
      return [
        "leaders": .array(leaders.map { .array([.integer(Int64($0.member)), scoreJSON($0.score)]) }),
        "state": run.searches[index].method.state,
      ]
    }
  }

  // MARK: - choice

  private mutating func choose(_ baselines: Baselines) throws(AdaptationError) -> AdaptationOutcome {
    let objective = settings.objective
    var best: (configuration: Int, heldOut: MemberScore?, fit: MemberScore)?
    for configuration in settings.configurations.indices {
      let heldOut = try heldOut(configuration)
      let fit = whole(configuration).method.best?.score ?? .worst
      let isBetter = best.map { ($0.heldOut ?? $0.fit).isBelow(heldOut ?? fit, by: objective) } ?? true
      if isBetter { best = (configuration, heldOut, fit) }
    }
    guard let best else { preconditionFailure("an adaptation without configurations") }

    let search = whole(best.configuration)
    let space = settings.configurations[best.configuration].space
    let point = search.method.best.flatMap { space.coefficients(at: $0.point) }
    let mine = best.heldOut ?? best.fit
    let theirs = baselines.candidates.indices.map { baselines.heldOut[$0] ?? baselines.fits[$0] }
    var rival = 0
    for index in theirs.indices where theirs[rival].isBelow(theirs[index], by: objective) { rival = index }

    let names = (0..<expertCount).map { AdaptationOutcome.Served.expert($0) }
    let kinds = [AdaptationOutcome.Served.base] + names + [.uniform]
    let isServed = point != nil && !mine.isBelow(theirs[rival], by: objective)
    let standing = { (index: Int) in
      AdaptationOutcome.Standing(fit: baselines.fits[index], heldOut: baselines.heldOut[index])
    }
    return AdaptationOutcome(
      served: isServed ? .mixture : kinds[rival],
      because: because(isServed, heldOut: best.heldOut != nil, mine: mine, theirs: theirs[rival]),
      alpha: isServed ? point ?? baselines.candidates[rival] : baselines.candidates[rival],
      found: point ?? MixtureCoefficients.base(of: expertCount), base: standing(0),
      experts: (0..<expertCount).map { standing($0 + 1) }, uniform: standing(expertCount + 1),
      mixture: .init(fit: best.fit, heldOut: best.heldOut), configuration: best.configuration,
      generations: search.method.generation, stopReason: search.stopReason ?? .iterations,
      prompts: evaluator.prompts, savedByCache: evaluator.savedByCache, savedByPruning: evaluator.savedByPruning,
      seconds: elapsed, warnings: warnings)
  }

  private func whole(_ configuration: Int) -> Search {
    guard let search = searches.first(where: { $0.configuration == configuration && $0.fold == nil }) else {
      preconditionFailure("configuration \(configuration) was not searched on all shots")
    }
    return search
  }

  /// The mean over the folds of what the search without that fold found, on that fold.
  private mutating func heldOut(_ configuration: Int) throws(AdaptationError) -> MemberScore? {
    let space = settings.configurations[configuration].space
    var scores: [MemberScore] = []
    for search in searches where search.configuration == configuration {
      guard let fold = search.fold else { continue }
      let candidate = search.method.best.flatMap { space.coefficients(at: $0.point) }
      let label: JSONObject = [
        "entry": "held_out", "configuration": .integer(Int64(configuration)), "fold": .integer(Int64(fold)),
      ]
      let found = try step(label) { (run) throws(ScorerError) in
        try run.evaluator.scores(of: [candidate], on: run.plan.heldOut(fold))
      } state: { _, scores in
        ["held_out": .array(scores.map(scoreJSON))]
      }
      scores += found
    }
    return scores.isEmpty ? nil : .mean(scores)
  }

  private func because(_ isServed: Bool, heldOut: Bool, mine: MemberScore, theirs: MemberScore) -> String {
    let place = heldOut ? "on held-out shots" : "on the shots (too few to hold any out)"
    return "\(place) the mixture has \(shown(mine)), the best baseline \(shown(theirs)); "
      + (isServed ? "not below, so it is served" : "below, so the baseline is served")
  }

  private func shown(_ score: MemberScore) -> String {
    func three(_ value: Double) -> String {
      guard value.isFinite else { return "-inf" }
      let thousandths = (value * 1000).rounded() / 1000
      return "\(thousandths)"
    }
    return "score \(three(score.score)), log-likelihood \(three(score.logLikelihood))"
  }

  private func progress(_ phase: AdaptationEvent.Phase, _ detail: String, _ best: MemberScore? = nil) {
    report(.progress(fraction: fraction, phase: phase, detail: detail, best: best))
  }
}
