package import Multipliers
package import StrictJSON

/// What searching cost, in evaluations (one few-shot row under one candidate; a gradient counts three), and what each
/// measure saved. A search without them makes exactly the sum of the four numbers.
package struct CostSummary: Sendable, Equatable {
  package var prompts: Int
  package var savedByCache: Int
  package var savedByPruning: Int
  package var savedByConvergence: Int
  /// Measured mean over what was made; nil where nothing was.
  package var secondsPerPrompt: Double?

  package init(
    prompts: Int, savedByCache: Int = 0, savedByPruning: Int = 0, savedByConvergence: Int = 0,
    secondsPerPrompt: Double? = nil
  ) {
    self.prompts = prompts
    self.savedByCache = savedByCache
    self.savedByPruning = savedByPruning
    self.savedByConvergence = savedByConvergence
    self.secondsPerPrompt = secondsPerPrompt
  }

  /// Members for the object that the costs belong to. The seconds saved are estimates and are called so: evaluations that
  /// were never made have no time of their own.
  var members: [(String, JSONValue?)] {
    [
      ("prompts", .integer(Int64(prompts))), ("prompts_saved_by_cache", .integer(Int64(savedByCache))),
      ("prompts_saved_by_pruning", .integer(Int64(savedByPruning))),
      ("prompts_saved_by_convergence", .integer(Int64(savedByConvergence))),
      ("seconds_per_prompt", secondsPerPrompt.map(finite)),
      (
        "estimated_seconds_saved",
        secondsPerPrompt.map { seconds in
          object([
            ("cache", finite(seconds * Double(savedByCache))), ("pruning", finite(seconds * Double(savedByPruning))),
            ("convergence", finite(seconds * Double(savedByConvergence))),
          ])
        }
      ),
    ]
  }

  init(_ fields: Fields) throws(WorkerProtocolError) {
    self.init(
      prompts: try fields.integer("prompts"), savedByCache: try fields.integer("prompts_saved_by_cache"),
      savedByPruning: try fields.integer("prompts_saved_by_pruning"),
      savedByConvergence: try fields.optionalInteger("prompts_saved_by_convergence") ?? 0,
      secondsPerPrompt: try fields.optionalDouble("seconds_per_prompt"))
  }
}

/// How far a search was after one of its generations.
package struct GenerationSummary: Sendable, Equatable {
  package var generation: Int
  /// The best so far: its score in the task's metric, and its log-likelihood.
  package var best: Double
  package var bestLogLikelihood: Double
  /// Of the leading members, by what the search maximises; nil for a method that compares none.
  package var mean: Double?
  /// The mean over the coefficients of the spread that is drawn with; nil for a method that draws with none.
  package var spread: Double?
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

  var json: JSONValue {
    [
      "generation": .integer(Int64(generation)), "best": finite(best), "best_log_likelihood": finite(bestLogLikelihood),
      "mean": mean.map(finite) ?? .null, "spread": spread.map(finite) ?? .null, "prompts": .integer(Int64(prompts)),
    ]
  }

  init(decoding value: JSONValue, _ path: String) throws(WorkerProtocolError) {
    let fields = try Fields(value, path)
    self.init(
      generation: try fields.integer("generation"), best: try fields.optionalDouble("best") ?? -.infinity,
      bestLogLikelihood: try fields.optionalDouble("best_log_likelihood") ?? -.infinity,
      mean: try fields.optionalDouble("mean"), spread: try fields.optionalDouble("spread"),
      prompts: try fields.integer("prompts"))
  }
}

/// How one configuration of an adaptation did: a line of the table that `t2ctl task adapt --search all` prints.
package struct ConfigurationSummary: Sendable, Equatable {
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
  package var costs: CostSummary
  /// Whether the folds chose this one.
  package var isChosen: Bool
  /// Generation by generation, of its search on all shots.
  package var history: [GenerationSummary]

  package init(
    method: String, granularity: Granularity, mix: MixRule, coefficients: Int, alpha: [[Float]], scores: ScoreSummary,
    generations: Int, stopReason: String, seconds: Double, costs: CostSummary, isChosen: Bool,
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

  package var json: JSONValue {
    object(
      [
        ("method", .string(method)), ("granularity", .string(granularity.rawValue)), ("mix", .string(mix.rawValue)),
        ("coefficients", .integer(Int64(coefficients))), ("alpha", alphaJSON(alpha)), ("scores", scores.json),
        ("generations", .integer(Int64(generations))), ("stop_reason", .string(stopReason)),
        ("seconds", .number(seconds)), ("chosen", .bool(isChosen)),
      ] + costs.members + [("history", list(history, \.json))])
  }

  package init(decoding value: JSONValue, _ path: String) throws(WorkerProtocolError) {
    let fields = try Fields(value, path)
    self.init(
      method: try fields.string("method"), granularity: try fields.granularity("granularity"),
      mix: try fields.mixRule("mix"), coefficients: try fields.integer("coefficients"),
      alpha: try fields.alpha("alpha"), scores: try ScoreSummary(decoding: try fields.value("scores")),
      generations: try fields.integer("generations"), stopReason: try fields.string("stop_reason"),
      seconds: try fields.double("seconds"), costs: try CostSummary(fields), isChosen: try fields.bool("chosen"),
      history: try fields.each("history") { (value, path) throws(WorkerProtocolError) in
        try GenerationSummary(decoding: value, path)
      })
  }
}

/// What the search did and what it saved.
package struct SearchSummary: Sendable, Equatable {
  /// As it was asked for: `all` for several.
  package var method: String
  package var objective: String
  package var normalised: Bool
  package var seed: UInt64
  package var population: Int
  package var elites: Int
  package var shots: Int
  /// Of the chosen configuration's search on all shots.
  package var generations: Int
  package var stopReason: String
  /// Over all searches of all configurations, and the baselines.
  package var costs: CostSummary
  package var configurations: [ConfigurationSummary]
  /// Seconds by phase: `loading`, `search`, `evaluating`, `writing`, and `total`.
  package var seconds: [(phase: String, seconds: Double)]

  package init(
    method: String, objective: String, normalised: Bool, seed: UInt64, population: Int, elites: Int, shots: Int,
    generations: Int, stopReason: String, costs: CostSummary, configurations: [ConfigurationSummary],
    seconds: [(phase: String, seconds: Double)]
  ) {
    self.method = method
    self.objective = objective
    self.normalised = normalised
    self.seed = seed
    self.population = population
    self.elites = elites
    self.shots = shots
    self.generations = generations
    self.stopReason = stopReason
    self.costs = costs
    self.configurations = configurations
    self.seconds = seconds
  }

  package static func == (a: SearchSummary, b: SearchSummary) -> Bool { a.json == b.json }

  package var json: JSONValue {
    object(
      [
        ("method", .string(method)), ("objective", .string(objective)), ("normalised", .bool(normalised)),
        ("seed", seedJSON(seed)), ("population", .integer(Int64(population))), ("elites", .integer(Int64(elites))),
        ("shots", .integer(Int64(shots))), ("generations", .integer(Int64(generations))),
        ("stop_reason", .string(stopReason)),
      ] + costs.members + [
        ("configurations", list(configurations, \.json)),
        ("seconds", object(seconds.map { ($0.phase, .number($0.seconds)) })),
      ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "search")
    let times = try fields.fields("seconds")
    var seconds: [(phase: String, seconds: Double)] = []
    for member in times.object.members { seconds.append((member.key, try times.double(member.key))) }
    self.init(
      method: try fields.string("method"), objective: try fields.string("objective"),
      normalised: try fields.bool("normalised"), seed: try fields.seed("seed"),
      population: try fields.integer("population"), elites: try fields.integer("elites"),
      shots: try fields.integer("shots"), generations: try fields.integer("generations"),
      stopReason: try fields.string("stop_reason"), costs: try CostSummary(fields),
      configurations: try fields.each("configurations") { (value, path) throws(WorkerProtocolError) in
        try ConfigurationSummary(decoding: value, path)
      }, seconds: seconds)
  }
}
