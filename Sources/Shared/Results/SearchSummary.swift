package import Multipliers
package import Records

/// What searching cost, in evaluations (one few-shot row under one candidate; a gradient counts three), and what each
/// measure saved. A search without them makes exactly the sum of the four numbers.
package struct CostSummary: Codable, Sendable, Equatable {
  package var prompts: Int
  package var savedByCache: Int
  package var savedByPruning: Int
  @EmptyWhenAbsent package var savedByConvergence: Int
  /// Measured mean over what was made; nil where nothing was.
  package var secondsPerPrompt: Double?
  /// Estimates, and called so: evaluations that were never made have no time of their own.
  package var estimatedSecondsSaved: Saved?

  /// Seconds, by what saved them.
  package struct Saved: Codable, Sendable, Equatable {
    package var cache: Double
    package var pruning: Double
    package var convergence: Double
  }

  package init(
    prompts: Int, savedByCache: Int = 0, savedByPruning: Int = 0, savedByConvergence: Int = 0,
    secondsPerPrompt: Double? = nil
  ) {
    self.prompts = prompts
    self.savedByCache = savedByCache
    self.savedByPruning = savedByPruning
    self.savedByConvergence = savedByConvergence
    self.secondsPerPrompt = secondsPerPrompt
    estimatedSecondsSaved = secondsPerPrompt.map {
      Saved(
        cache: $0 * Double(savedByCache), pruning: $0 * Double(savedByPruning),
        convergence: $0 * Double(savedByConvergence))
    }
  }

  private enum CodingKeys: String, CodingKey {
    case prompts
    case savedByCache = "prompts_saved_by_cache"
    case savedByPruning = "prompts_saved_by_pruning"
    case savedByConvergence = "prompts_saved_by_convergence"
    case secondsPerPrompt, estimatedSecondsSaved
  }
}

/// How far a search was after one of its generations.
package struct GenerationSummary: Codable, Sendable, Equatable {
  package var generation: Int
  /// The best so far: its score in the task's metric, and its log-likelihood.
  @Logarithm package var best: Double
  @Logarithm package var bestLogLikelihood: Double
  /// Of the leading members, by what the search maximises; nil for a method that compares none.
  @NullWhenAbsent package var mean: Double?
  /// The mean over the coefficients of the spread that is drawn with; nil for a method that draws with none.
  @NullWhenAbsent package var spread: Double?
  /// That the search had made by then.
  package var prompts: Int

  package init(
    generation: Int, best: Double, bestLogLikelihood: Double, mean: Double?, spread: Double?, prompts: Int
  ) {
    self.generation = generation
    self.best = best
    self.bestLogLikelihood = bestLogLikelihood
    self.mean = mean
    self.spread = spread
    self.prompts = prompts
  }
}

/// How one configuration of an adaptation did: a line of the table that `t2ctl task adapt --search all` prints.
package struct ConfigurationSummary: Codable, Sendable, Equatable {
  package var method: String
  package var granularity: Granularity
  package var mix: MixRule
  /// How many numbers it fitted to the shots.
  package var coefficients: Int
  /// What its search on all shots chose.
  package var alpha: [[Float]]
  package var scores: ScoreSummary
  package var generations: Int
  package var stopReason: String
  package var seconds: Double
  /// Whether the folds chose this one; nil of a sweep, which shows no others.
  package var isChosen: Bool?
  @Flattened package var costs: CostSummary
  /// Generation by generation, of its search on all shots; only a job shows it.
  package var history: [GenerationSummary]?

  private enum CodingKeys: String, CodingKey {
    case method, granularity, mix, coefficients, alpha, scores, generations, stopReason, seconds
    case isChosen = "chosen"
    case costs, history
  }

  package init(
    method: String, granularity: Granularity, mix: MixRule, coefficients: Int, alpha: [[Float]], scores: ScoreSummary,
    generations: Int, stopReason: String, seconds: Double, costs: CostSummary, isChosen: Bool?,
    history: [GenerationSummary]
  ) {
    self.method = method
    self.granularity = granularity
    self.mix = mix
    self.coefficients = coefficients
    self.alpha = alpha
    self.scores = scores
    self.generations = generations
    self.stopReason = stopReason
    self.seconds = seconds
    self.costs = costs
    self.isChosen = isChosen
    self.history = history
  }
}

/// What the search did and what it saved.
package struct SearchSummary: Codable, Sendable, Equatable {
  /// As it was asked for: `all` for several.
  package var method: String
  package var objective: String
  @EmptyWhenAbsent package var normalized: Bool
  package var seed: UInt64
  package var population: Int
  package var elites: Int
  package var shots: Int
  /// Of the chosen configuration's search on all shots.
  package var generations: Int
  package var stopReason: String
  /// Over all searches of all configurations, and the baselines.
  @Flattened package var costs: CostSummary
  package var configurations: [ConfigurationSummary]
  /// Seconds by phase: `loading`, `search`, `evaluating`, `writing`, and `total`.
  package var seconds: ByName<Double>
  /// OpenBLAS's.
  package var kernel: String
  /// Its number, of which the worker knows nothing.
  package var job: Int64?

  package init(
    method: String, objective: String, normalized: Bool, seed: UInt64, population: Int, elites: Int, shots: Int,
    generations: Int, stopReason: String, costs: CostSummary, configurations: [ConfigurationSummary],
    seconds: [(phase: String, seconds: Double)], kernel: String
  ) {
    self.method = method
    self.objective = objective
    self.normalized = normalized
    self.seed = seed
    self.population = population
    self.elites = elites
    self.shots = shots
    self.generations = generations
    self.stopReason = stopReason
    self.costs = costs
    self.configurations = configurations
    self.seconds = ByName(seconds.map { ($0.phase, $0.seconds) })
    self.kernel = kernel
  }
}
