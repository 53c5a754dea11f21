import Adaptation
import Evaluation
import LinearAlgebra
import Multipliers
import StrictJSON
import Transformer
import WorkerProtocol

extension AdaptJob {
  /// Scores as they are reported, with those of the eval file where they were made.
  struct Scores {
    var base: ScoreSummary
    var experts: [ScoreSummary]
    var uniform: ScoreSummary
    var mixture: ScoreSummary

    init(_ outcome: AdaptationOutcome) {
      base = ScoreSummary(outcome.base)
      experts = outcome.experts.map { ScoreSummary($0) }
      uniform = ScoreSummary(outcome.uniform)
      mixture = ScoreSummary(outcome.mixture)
    }
  }

  /// Scores the base, the best single expert and what is served on the eval file, which nothing before has read.
  func evaluate(
    _ task: TaskDefinition, _ inputs: SearchInputs, _ outcome: AdaptationOutcome, into scores: inout Scores
  ) throws(WorkerFault) {
    let count = inputs.experts.count
    let best = bestExpert(outcome)
    var wanted: [(name: String, alpha: MixtureCoefficients)] = [
      ("base", .base(of: count)), ("expert \(best)", .single(best, of: count)),
    ]
    if outcome.served == .mixture || !wanted.contains(where: { $0.alpha == outcome.alpha }) {
      wanted.append(("served", outcome.alpha))
    }
    var outcomes: [String: [Bool]] = [:]
    for (index, (name, alpha)) in wanted.enumerated() {
      let share = Double(index) / Double(wanted.count)
      outcomes[name] = try right(task, inputs, name: name, alpha, share: share, of: wanted.count)
    }
    let base = outcomes["base"] ?? []
    let expert = outcomes["expert \(best)"] ?? []
    scores.base.eval = summary(base)
    scores.experts[best].eval = summary(expert, base: base)
    if let served = outcomes["served"] {
      let summary = summary(served, base: base, expert: expert)
      switch outcome.served {
      case .mixture: scores.mixture.eval = summary
      case .uniform: scores.uniform.eval = summary
      case .expert(let k): scores.experts[k].eval = summary
      case .base: break
      }
    }
  }

  private func bestExpert(_ outcome: AdaptationOutcome) -> Int {
    func worth(_ k: Int) -> MemberScore { outcome.experts[k].heldOut ?? outcome.experts[k].fit }
    var best = 0
    for k in outcome.experts.indices where worth(best).isBelow(worth(k), by: .accuracy) { best = k }
    return best
  }

  /// Right or wrong, row by row; from the journal where an interrupted run had come so far.
  private func right(
    _ task: TaskDefinition, _ inputs: SearchInputs, name: String, _ alpha: MixtureCoefficients, share: Double,
    of count: Int
  ) throws(WorkerFault) -> [Bool] {
    let kept = job.journal.first { $0["entry"] == "eval" && $0["of"] == .string(name) }?["right"]?.stringValue
    if let kept, kept.utf8.count == task.eval.count { return kept.utf8.map { $0 == UInt8(ascii: "1") } }
    let items: [EvaluationResult.Item]
    do {
      let view = WeightView.factored(try inputs.mixer.multipliers(alpha))
      items = try RowEvaluator(task, model: inputs.model.model)
        .evaluate(task.eval, under: view, shouldStop: { job.isCancelled }) { done in
          let part = share + Double(done) / Double(task.eval.count) / Double(count)
          job.report(
            JobProgress(
              fraction: 0.75 + 0.23 * part, phase: "evaluating",
              detail: "eval row \(done) of \(task.eval.count) under \(name == "served" ? "the mixture" : name)"))
        }
    } catch {
      throw WorkerFault(evaluating: error)
    }
    let right = items.map { $0.isCorrect(task.metric) }
    job.record(["entry": "eval", "of": .string(name), "right": .string(right.map { $0 ? "1" : "0" }.joined())])
    return right
  }

  private func summary(_ right: [Bool], base: [Bool]? = nil, expert: [Bool]? = nil) -> EvalSummary {
    let count = right.count { $0 }
    let interval = WilsonInterval(successes: count, of: right.count)
    return EvalSummary(
      value: Double(count) / Double(max(1, right.count)), count: right.count, lower: interval.low,
      upper: interval.high, versusBase: base.map { EvalSummary.Paired(right, against: $0) },
      versusBestExpert: expert.map { EvalSummary.Paired(right, against: $0) })
  }

  func result(
    _ outcome: AdaptationOutcome, _ scores: Scores, _ inputs: SearchInputs, _ rescale: Rescale, _ clocks: Clocks
  ) -> AdaptResult {
    let names = inputs.experts.map(\.reference.name)
    let served =
      switch outcome.served {
      case .mixture: "mixture"
      case .base: "base"
      case .uniform: "uniform"
      case .expert(let k): names[k]
      }
    var warnings = outcome.warnings
    let coefficients = outcome.searches[outcome.configuration].configuration.space.freedom
    if coefficients > inputs.rows.count {
      warnings.append(
        "\(coefficients) coefficients were fitted to \(inputs.rows.count) shots; trust the held-out score, not the fit")
    }
    let units = inputs.model.model.layout.units(outcome.alpha.granularity)
    return AdaptResult(
      alpha: outcome.alpha.alpha,
      experts: zip(inputs.experts, scores.experts).map { expert, scores in
        let reference = expert.reference
        return .init(name: reference.name, version: reference.version, digest: reference.digest, scores: scores)
      }, base: scores.base, uniform: scores.uniform, mixture: scores.mixture, granularity: outcome.alpha.granularity,
      units: units, mix: outcome.alpha.mix, rescale: rescale, metric: inputs.task.metric.rawValue,
      template: inputs.task.templateName, served: served, servedBecause: outcome.because,
      foundAlpha: outcome.found.alpha, foundGranularity: outcome.found.granularity,
      search: searchSummary(outcome, shots: inputs.rows.count, clocks),
      vectorsPath: spec.vectorsPath, kernel: BLAS.kernel.running, warnings: warnings)
  }

  private func searchSummary(_ outcome: AdaptationOutcome, shots: Int, _ clocks: Clocks) -> SearchSummary {
    SearchSummary(
      method: spec.search.method, objective: spec.search.objective, normalised: spec.search.normalised,
      seed: spec.search.seed, population: spec.search.population, elites: spec.search.elites, shots: shots,
      generations: outcome.generations, stopReason: outcome.stopReason.rawValue, costs: CostSummary(outcome.costs),
      configurations: outcome.searches.enumerated().map { index, search in
        ConfigurationSummary(search, isChosen: index == outcome.configuration)
      }, seconds: clocks.seconds + [("total", clocks.total)])
  }
}

extension EvalSummary.Paired {
  init(_ mine: [Bool], against others: [Bool]) {
    let test = McNemarTest(first: mine, second: others)
    self.init(wins: test.firstOnly, losses: test.secondOnly, p: test.pValue)
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
  init(_ search: AdaptationOutcome.SearchOutcome, isChosen: Bool) {
    let space = search.configuration.space
    self.init(
      method: search.configuration.method.name, granularity: space.granularity, mix: space.mix,
      coefficients: space.freedom, alpha: search.alpha.alpha, scores: ScoreSummary(search.standing),
      generations: search.generations, stopReason: search.stopReason.rawValue, seconds: search.costs.seconds,
      costs: CostSummary(search.costs), isChosen: isChosen)
  }
}

extension ScoreSummary {
  init(_ standing: AdaptationOutcome.Standing) {
    self.init(
      fit: standing.fit.score, fitLogLikelihood: standing.fit.logLikelihood, heldOut: standing.heldOut?.score,
      heldOutLogLikelihood: standing.heldOut?.logLikelihood)
  }
}
