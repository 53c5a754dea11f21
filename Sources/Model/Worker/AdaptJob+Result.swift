import Adaptation
import Evaluation
import Records
import Multipliers
import Results
import Search
import Transformer
import WorkerProtocol

extension AdaptJob {
  /// Scores as they are reported, with those of the eval file where they were made.
  struct Scores {
    var base: ScoreSummary
    var experts: [ScoreSummary]
    var uniform: ScoreSummary
    var mixture: ScoreSummary
    var items: EvalItems?

    init(_ outcome: AdaptationOutcome) {
      base = ScoreSummary(outcome.base)
      experts = outcome.experts.map { ScoreSummary($0) }
      uniform = ScoreSummary(outcome.uniform)
      mixture = ScoreSummary(outcome.mixture)
    }
  }

  /// Scores the base, the best single expert, what the search chose and what is served.
  func evaluate(
    _ rows: inout EvalRows, _ inputs: SearchInputs, _ outcome: AdaptationOutcome, _ objective: Objective,
    into scores: inout Scores
  ) throws(WorkerFault) {
    let count = inputs.experts.count
    let best = inputs.bestExpert(outcome, by: objective)
    let total = rows.count
    var wanted: [(name: String, alpha: MixtureCoefficients)] = [
      ("the base", .base(of: count)), (inputs.experts[best].reference.name, .single(best, of: count)),
      ("the mixture", outcome.found),
    ]
    if outcome.served == .uniform { wanted.append(("the uniform mixture", outcome.alpha)) }
    if case .expert(let k) = outcome.served, k != best {
      wanted.append((inputs.experts[k].reference.name, outcome.alpha))
    }
    var answers: [[EvalRows.Answer]] = []
    for (index, (name, alpha)) in wanted.enumerated() {
      answers.append(
        try rows.answers(alpha) { done in
          let part = share(done, of: total, inPart: index, of: wanted.count)
          job.report(searching + (1 - searching) * part, "evaluating", "eval row \(done) of \(total) under \(name)")
        })
    }
    scores.base.eval = EvalRows.summary(answers[0])
    scores.experts[best].eval = EvalRows.summary(answers[1], base: answers[0])
    scores.mixture.eval = EvalRows.summary(answers[2], base: answers[0], expert: answers[1])
    scores.items = rows.items(base: answers[0], expert: answers[1], named: wanted[1].name, mixture: answers[2])
    guard answers.count > 3 else { return }
    let served = EvalRows.summary(answers[3], base: answers[0], expert: answers[1])
    switch outcome.served {
    case .uniform: scores.uniform.eval = served
    case .expert(let k): scores.experts[k].eval = served
    case .mixture, .base: break
    }
  }

  func result(
    _ outcome: AdaptationOutcome, _ scores: Scores, _ inputs: SearchInputs, shots: Int, _ clocks: Clocks
  ) -> AdaptResult {
    AdaptResult(
      mixture: Mixture(
        alpha: outcome.alpha.alpha, granularity: outcome.alpha.granularity, mix: outcome.alpha.mix,
        rescale: inputs.rescale, units: inputs.model.model.layout.units(outcome.alpha.granularity),
        experts: inputs.experts.map {
          .init(name: $0.reference.name, version: $0.reference.version, digest: $0.reference.digest)
        },
        scores: .init(
          metric: inputs.task.metric.rawValue, base: scores.base,
          experts: ByName(zip(inputs.experts, scores.experts).map { ($0.reference.name, $1) }),
          uniform: scores.uniform, mixture: scores.mixture),
        served: inputs.name(of: outcome.served), servedBecause: outcome.because,
        hasSignal: outcome.hasSignal, taskDigest: spec.task.digest, baseDigest: spec.model.digest,
        template: inputs.task.templateName,
        search: searchSummary(outcome, shots: shots, clocks), evalItems: scores.items,
        warnings: inputs.warnings(outcome, shots: shots)),
      vectorsPath: spec.vectorsPath)
  }

  private func searchSummary(_ outcome: AdaptationOutcome, shots: Int, _ clocks: Clocks) -> SearchSummary {
    SearchSummary(
      method: spec.search.method.rawValue, objective: spec.search.objective.rawValue,
      normalized: spec.search.isNormalized,
      seed: spec.search.seed, population: spec.search.population, elites: spec.search.elites, shots: shots,
      generations: outcome.generations, stopReason: outcome.stopReason.rawValue, costs: CostSummary(outcome.costs),
      configurations: outcome.searches.enumerated().map { index, search in
        ConfigurationSummary(search, isChosen: index == outcome.configuration)
      }, seconds: clocks.seconds + [("total", clocks.total)], kernel: job.kernel)
  }
}

extension CostSummary {
  init(_ costs: SearchCosts) {
    self.init(
      prompts: costs.prompts, savedByCache: costs.savedByCache, savedByPruning: costs.savedByPruning,
      savedByConvergence: costs.savedByConvergence, secondsPerPrompt: costs.secondsPerPrompt)
  }
}

extension ConfigurationSummary {
  init(_ search: AdaptationOutcome.SearchOutcome, isChosen: Bool?) {
    let space = search.configuration.space
    self.init(
      method: search.configuration.method.name.rawValue, granularity: space.granularity, mix: space.mix,
      coefficients: space.freedom, alpha: search.alpha.alpha, scores: ScoreSummary(search.standing),
      generations: search.generations, stopReason: search.stopReason.rawValue, seconds: search.costs.seconds,
      costs: CostSummary(search.costs), isChosen: isChosen, history: search.history.map { GenerationSummary($0) })
  }
}

extension GenerationSummary {
  init(_ step: SearchStep) {
    self.init(
      generation: step.generation, best: step.best.score, bestLogLikelihood: step.best.logLikelihood,
      mean: step.mean, spread: step.spread, prompts: step.prompts)
  }
}

extension ScoreSummary {
  init(_ standing: AdaptationOutcome.Standing) {
    self.init(
      fit: standing.fit.score, fitLogLikelihood: standing.fit.logLikelihood, heldOut: standing.heldOut?.score,
      heldOutLogLikelihood: standing.heldOut?.logLikelihood)
  }
}
