import Multipliers
import Search
import StrictJSON

extension Adaptation {
  mutating func choose(_ baselines: Baselines) throws(AdaptationError) -> AdaptationOutcome {
    let objective = settings.objective
    var best: (configuration: Int, heldOut: MemberScore?, fit: MemberScore)?
    var standings: [AdaptationOutcome.Standing] = []
    for configuration in settings.configurations.indices {
      let heldOut = try heldOut(configuration)
      let fit = whole(configuration).method.best?.score ?? .worst
      standings.append(.init(fit: fit, heldOut: heldOut))
      let isBetter = best.map { ($0.heldOut ?? $0.fit).isBelow(heldOut ?? fit, by: objective) } ?? true
      if isBetter { best = (configuration, heldOut, fit) }
    }
    guard let best else { preconditionFailure("an adaptation without configurations") }

    let search = whole(best.configuration)
    let point = found(by: search)
    let mine = best.heldOut ?? best.fit
    let theirs = baselines.candidates.indices.map { baselines.heldOut[$0] ?? baselines.fits[$0] }
    var rival = 0
    for index in theirs.indices where theirs[rival].isBelow(theirs[index], by: objective) { rival = index }

    let names = (0..<expertCount).map { AdaptationOutcome.Served.expert($0) }
    let kinds = [AdaptationOutcome.Served.base] + names + [.uniform]
    let hasSignal = hasSignal(baselines, standings)
    let isServed = hasSignal && point != nil && !mine.isBelow(theirs[rival], by: objective)
    // The base is the first of the baselines.
    if !hasSignal { rival = 0 }
    let standing = { (index: Int) in
      AdaptationOutcome.Standing(fit: baselines.fits[index], heldOut: baselines.heldOut[index])
    }
    return AdaptationOutcome(
      served: isServed ? .mixture : kinds[rival],
      hasSignal: hasSignal,
      because: because(isServed, hasSignal, heldOut: best.heldOut != nil, mine: mine, theirs: theirs[rival]),
      alpha: isServed ? point ?? baselines.candidates[rival] : baselines.candidates[rival],
      found: point ?? MixtureCoefficients.base(of: expertCount), base: standing(0),
      experts: (0..<expertCount).map { standing($0 + 1) }, uniform: standing(expertCount + 1),
      mixture: .init(fit: best.fit, heldOut: best.heldOut), configuration: best.configuration,
      generations: search.method.generation, stopReason: search.stopReason ?? .iterations,
      searches: settings.configurations.indices.map { outcome(of: $0, standings[$0]) }, costs: totalCosts,
      warnings: warnings)
  }

  /// Whether anything that was scored differs from the base, on all shots or on those held out. Rows that are generated and
  /// never right have no likelihood either: then all are equal, and whatever the search came by first would be served.
  /// Of what could not be scored nothing is known.
  private func hasSignal(_ baselines: Baselines, _ found: [AdaptationOutcome.Standing]) -> Bool {
    let scored =
      baselines.candidates.indices.map { (fit: baselines.fits[$0], heldOut: baselines.heldOut[$0]) }
      + found.map { (fit: $0.fit, heldOut: $0.heldOut) }
    return scored.contains { $0.fit != .worst && ($0.fit != scored[0].fit || $0.heldOut != scored[0].heldOut) }
  }

  private func outcome(
    of configuration: Int, _ standing: AdaptationOutcome.Standing
  ) -> AdaptationOutcome.SearchOutcome {
    let search = whole(configuration)
    var costs = SearchCosts()
    for one in searches where one.configuration == configuration { costs += one.costs }
    return AdaptationOutcome.SearchOutcome(
      configuration: settings.configurations[configuration], standing: standing,
      alpha: found(by: search) ?? .base(of: expertCount), generations: search.method.generation,
      stopReason: search.stopReason ?? .iterations, costs: costs, history: search.history)
  }

  /// The searches', and those of the baselines.
  private var totalCosts: SearchCosts {
    var costs = evaluator.costs
    costs.savedByConvergence = searches.reduce(0) { $0 + $1.costs.savedByConvergence }
    costs.seconds = elapsed
    return costs
  }

  /// The mixture at the best point of a search.
  private func found(by search: Search) -> MixtureCoefficients? {
    let configuration = settings.configurations[search.configuration]
    return search.method.best.flatMap {
      configuration.space.coefficients(at: $0.point, onGrid: configuration.method.isOnGrid)
    }
  }

  private func whole(_ configuration: Int) -> Search {
    guard let search = searches.first(where: { $0.configuration == configuration && $0.fold == nil }) else {
      preconditionFailure("configuration \(configuration) was not searched on all shots")
    }
    return search
  }

  /// The mean over the folds of what the search without that fold found, on that fold.
  private mutating func heldOut(_ configuration: Int) throws(AdaptationError) -> MemberScore? {
    var scores: [MemberScore] = []
    for index in searches.indices where searches[index].configuration == configuration && searches[index].fold != nil {
      scores.append(try heldOut(of: index))
    }
    return scores.isEmpty ? nil : .mean(scores)
  }

  /// What the search without a fold found, on that fold.
  mutating func heldOut(of index: Int) throws(AdaptationError) -> MemberScore {
    guard let fold = searches[index].fold else { preconditionFailure("search \(index) has seen all shots") }
    if let known = searches[index].heldOut { return known }
    let candidate = found(by: searches[index])
    let label: JSONObject = [
      "entry": "held_out", "configuration": .integer(Int64(searches[index].configuration)),
      "fold": .integer(Int64(fold)),
    ]
    let score = try step(label) { (run) throws(ScorerError) in
      try run.evaluator.scores(of: [candidate], on: run.plan.heldOut(fold))[0]
    } state: { _, score in
      ["held_out": .array([score.json])]
    }
    searches[index].heldOut = score
    return score
  }

  private func because(
    _ isServed: Bool, _ hasSignal: Bool, heldOut: Bool, mine: MemberScore, theirs: MemberScore
  ) -> String {
    guard hasSignal else {
      return
        "no signal: on the shots the base, every expert and every mixture have \(shown(theirs)), so the base is served"
    }
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
}
