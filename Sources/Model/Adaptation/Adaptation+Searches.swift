import Search
import StrictJSON

extension Adaptation {
  // MARK: - searches

  mutating func startSearches() {
    for (number, configuration) in settings.configurations.enumerated() {
      for fold in [nil] + plan.folds.indices.map(Optional.some) {
        // One stream for all searches of a configuration: they begin with the same candidates, whose scores on all shots are
        // those on the folds, so the first generation of three searches costs that of one.
        searches.append(
          Search(
            configuration: number, fold: fold, chunks: fold.map { plan.fitted(without: $0) } ?? plan.allChunks,
            method: configuration.started(
              SearchStart(seed: settings.seed, stream: UInt32(truncatingIfNeeded: number), isWhole: fold == nil))))
      }
    }
  }

  /// Tells a search what is known before its first question.
  private mutating func begin(_ index: Int, after baselines: Baselines) throws(AdaptationError) {
    let search = searches[index]
    let space = settings.configurations[search.configuration].space
    var known = try known(baselines, on: search.chunks, in: space)
    if search.fold == nil, type(of: search.method).followsFolds {
      for follower in searches.indices where searches[follower].configuration == search.configuration {
        guard let fold = searches[follower].fold, let found = searches[follower].method.best else { continue }
        let heldOut = try heldOut(of: follower)
        known.append(
          (
            found.point,
            .mean(
              [found.score, heldOut],
              weights: [plan.shots(in: searches[follower].chunks), plan.shots(in: plan.heldOut(fold))])
          ))
      }
    }
    searches[index].method.begin(knowing: known)
    searches[index].hasBegun = true
  }

  private func waits(_ index: Int) -> Bool {
    let search = searches[index]
    return !search.hasBegun && search.fold == nil && type(of: search.method).followsFolds
      && searches.contains { $0.configuration == search.configuration && $0.fold != nil && $0.stopReason == nil }
  }

  /// The baselines that are points of a space, and their scores on some chunks, which are all known by now.
  private mutating func known(
    _ baselines: Baselines, on chunks: [Int], in space: MixtureSpace
  ) throws(AdaptationError) -> [(point: [Double], score: MemberScore)] {
    let scores: [MemberScore]
    do throws(ScorerError) {
      scores = try evaluator.scores(of: baselines.candidates, on: chunks)
    } catch {
      throw AdaptationError(error)
    }
    return zip(baselines.candidates, scores).compactMap { candidate, score in
      space.point(of: candidate).map { ($0, score) }
    }
  }

  mutating func runSearches(after baselines: Baselines) throws(AdaptationError) {
    let most = max(1, settings.configurations.map(\.generations).max() ?? 1)
    var round = 0
    while searches.contains(where: { $0.stopReason == nil }) {
      let ahead = settings.configurations.indices.filter { isAhead($0) }
      for index in searches.indices where searches[index].stopReason == nil && !waits(index) {
        if ahead.contains(searches[index].configuration) { continue }
        if !searches[index].hasBegun { try begin(index, after: baselines) }
        try advance(index)
        let done = Double(round) + Double(index + 1) / Double(searches.count)
        fraction = max(fraction, min(0.99, budgetFraction(done / Double(most))))
        let best = searches.first { $0.fold == nil }?.method.best?.score
        progress(.search, "generation \(round + 1) of at most \(most)", best)
      }
      round += 1
      endRivals()
      var reason: StopReason?
      if let budget = settings.secondsBudget, elapsed >= budget { reason = .secondsBudget }
      if let budget = settings.promptBudget, evaluator.costs.prompts >= budget { reason = .promptBudget }
      guard let reason else { continue }
      for index in searches.indices where searches[index].stopReason == nil { searches[index].budgetStop = reason }
      // One that waited has at least what the others found.
      for index in searches.indices where !searches[index].hasBegun { try begin(index, after: baselines) }
    }
  }

  /// Methods side by side are compared at one cost. The first that compares populations in a space sets it: another that
  /// has made as many evaluations waits for that one, and ends with it.
  private func isAhead(_ configuration: Int) -> Bool {
    guard let first = pacemaker(of: configuration) else { return false }
    return prompts(of: configuration) > 0 && prompts(of: configuration) >= prompts(of: first)
  }

  private func pacemaker(of configuration: Int) -> Int? {
    let rival = settings.configurations[configuration]
    guard rival.method.isOnGrid else { return nil }
    let first = settings.configurations.firstIndex { $0.method.isOnGrid && $0.space == rival.space }
    return first == configuration ? nil : first
  }

  private mutating func endRivals() {
    for number in settings.configurations.indices {
      guard isAhead(number), let first = pacemaker(of: number),
        searches.allSatisfy({ $0.configuration != first || $0.stopReason != nil })
      else { continue }
      for index in searches.indices where searches[index].configuration == number && searches[index].stopReason == nil {
        searches[index].budgetStop = .promptBudget
      }
    }
  }

  private func prompts(of configuration: Int) -> Int {
    searches.reduce(0) { $0 + ($1.configuration == configuration ? $1.costs.prompts : 0) }
  }

  private func budgetFraction(_ ofGenerations: Double) -> Double {
    var fraction = ofGenerations
    if let budget = settings.promptBudget {
      fraction = max(fraction, Double(evaluator.costs.prompts) / Double(max(1, budget)))
    }
    if let budget = settings.secondsBudget { fraction = max(fraction, elapsed / max(1e-9, budget)) }
    return fraction
  }

  /// One generation of one search.
  private mutating func advance(_ index: Int) throws(AdaptationError) {
    guard let question = searches[index].method.question else { return }
    let space = settings.configurations[searches[index].configuration].space
    let chunks = searches[index].chunks
    let label: JSONObject = [
      "entry": "generation", "search": .integer(Int64(index)), "generation": .integer(Int64(question.generation)),
    ]
    var mean: Double?
    switch question {
    case .ranking(let proposal):
      let members = proposal.members.map { space.coefficients(at: $0) }
      let leaders = try step(label, of: index) { (run) throws(ScorerError) in
        try run.evaluator.rank(members, on: chunks, leaders: proposal.leaders, objective: run.settings.objective)
      } state: { run, leaders in
        run.searches[index].method.take(.ranking(leaders))
        return [
          "leaders": .array(leaders.map { .array([.integer(Int64($0.member)), $0.score.json]) }),
          "state": run.searches[index].method.state,
        ]
      }
      if leaders.count > 1 { mean = MemberScore.mean(leaders.map(\.score)).value(by: settings.objective) }
    case .value(let request):
      _ = try step(label, of: index) { (run) throws(ScorerError) in
        try run.evaluator.scores(of: [space.coefficients(at: request.point, onGrid: false)], on: chunks)[0]
      } state: { run, score in
        run.searches[index].method.take(.value(score))
        return ["score": score.json, "state": run.searches[index].method.state]
      }
    case .gradient(let request):
      let candidate = space.coefficients(at: request.point, onGrid: false)
      _ = try step(label, of: index) { (run) throws(ScorerError) in
        // As a candidate that does not exist.
        guard let candidate, run.scorer.admits(candidate) else {
          return PointGradient(score: .worst, gradient: request.point.map { _ in 0 })
        }
        return try run.evaluator.gradient(at: candidate, on: chunks)
      } state: { run, found in
        run.searches[index].method.take(.gradient(found))
        return ["score": found.score.json, "state": run.searches[index].method.state]
      }
    }
    let search = searches[index]
    searches[index].history.append(
      SearchStep(
        generation: question.generation, best: search.method.best?.score ?? .worst, mean: mean,
        spread: search.method.spread, prompts: search.costs.prompts))
    // Known as soon as the method stops, and the same number whenever it is resumed.
    if searches[index].method.stopReason?.isConvergence == true {
      searches[index].costs.savedByConvergence = searches[index].method.unspent * plan.shots(in: chunks)
    }
  }
}
