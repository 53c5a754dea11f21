package import Multipliers
package import StrictJSON

/// How one set of weights does on a task.
package struct ScoreSummary: Sendable, Equatable {
  /// In the task's metric, 0 to 1, on the rows it was chosen on.
  package var fit: Double
  /// −∞ where no row has a likelihood.
  package var fitLogLikelihood: Double
  /// Mean over the folds of the score on rows it was not fitted on; nil where there are too few rows to hold any out.
  package var heldOut: Double?
  package var heldOutLogLikelihood: Double?
  /// On the eval file, which the search never reads.
  package var eval: EvalSummary?

  package init(
    fit: Double, fitLogLikelihood: Double, heldOut: Double? = nil, heldOutLogLikelihood: Double? = nil,
    eval: EvalSummary? = nil
  ) {
    self.fit = fit
    self.fitLogLikelihood = fitLogLikelihood
    self.heldOut = heldOut
    self.heldOutLogLikelihood = heldOutLogLikelihood
    self.eval = eval
  }

  package var json: JSONValue {
    object([
      ("fit", finite(fit)), ("fit_loglik", finite(fitLogLikelihood)), ("held_out", heldOut.map(finite)),
      ("held_out_loglik", heldOutLogLikelihood.map(finite)), ("eval", eval?.json),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "scores")
    self.init(
      fit: try fields.optionalDouble("fit") ?? -.infinity,
      fitLogLikelihood: try fields.optionalDouble("fit_loglik") ?? -.infinity,
      heldOut: try fields.optionalDouble("held_out"),
      heldOutLogLikelihood: try fields.optionalDouble("held_out_loglik"),
      eval: try fields.optional("eval").map { (value) throws(WorkerProtocolError) in try EvalSummary(decoding: value) })
  }
}

/// A score on the eval file with its Wilson interval and, where it is compared with the base, McNemar's exact p.
package struct EvalSummary: Sendable, Equatable {
  package var value: Double
  package var count: Int
  package var lower: Double
  package var upper: Double
  package var versusBase: Double?
  package var versusBestExpert: Double?

  package init(
    value: Double, count: Int, lower: Double, upper: Double, versusBase: Double? = nil, versusBestExpert: Double? = nil
  ) {
    self.value = value
    self.count = count
    self.lower = lower
    self.upper = upper
    self.versusBase = versusBase
    self.versusBestExpert = versusBestExpert
  }

  package var json: JSONValue {
    object([
      ("value", .number(value)), ("n", .integer(Int64(count))), ("ci95", .array([.number(lower), .number(upper)])),
      ("p_versus_base", versusBase.map { .number($0) }), ("p_versus_best_expert", versusBestExpert.map { .number($0) }),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "eval")
    let interval = try fields.doubles("ci95")
    guard interval.count == 2 else { throw .wrongType(path: "eval.ci95", expected: "two numbers") }
    self.init(
      value: try fields.double("value"), count: try fields.integer("n"), lower: interval[0], upper: interval[1],
      versusBase: try fields.optionalDouble("p_versus_base"),
      versusBestExpert: try fields.optionalDouble("p_versus_best_expert"))
  }
}

/// What an adaptation found; the daemon makes the mixture record of it.
package struct AdaptResult: Sendable, Equatable {
  package struct Expert: Sendable, Equatable {
    package var name: String
    package var version: Int
    package var digest: String
    package var scores: ScoreSummary
    package init(name: String, version: Int, digest: String, scores: ScoreSummary) {
      self.name = name
      self.version = version
      self.digest = digest
      self.scores = scores
    }
  }

  /// What is served: `[expert][unit]`, experts in the order of `experts`.
  package var alpha: [[Float]]
  package var experts: [Expert]
  package var base: ScoreSummary
  package var uniform: ScoreSummary
  /// Of the search's own choice, which is what is served unless `served` says otherwise.
  package var mixture: ScoreSummary
  package var granularity: Granularity
  /// Names of layers or matrices that the coefficients follow; none for `vector`.
  package var units: [String]
  package var mix: MixRule
  package var rescale: Rescale
  package var metric: String
  package var template: String
  /// `mixture`, `base`, `uniform` or an expert's name.
  package var served: String
  package var servedBecause: String
  /// The search's own choice, also where a baseline is served.
  package var foundAlpha: [[Float]]
  package var foundGranularity: Granularity
  package var search: SearchSummary
  /// The effective multipliers of what is served, a safetensors file that is itself a valid expert.
  package var vectorsPath: String
  package var kernel: String
  package var warnings: [String]

  package init(
    alpha: [[Float]], experts: [Expert], base: ScoreSummary, uniform: ScoreSummary, mixture: ScoreSummary,
    granularity: Granularity, units: [String], mix: MixRule, rescale: Rescale, metric: String, template: String,
    served: String, servedBecause: String, foundAlpha: [[Float]], foundGranularity: Granularity? = nil,
    search: SearchSummary,
    vectorsPath: String, kernel: String, warnings: [String]
  ) {
    self.alpha = alpha
    self.experts = experts
    self.base = base
    self.uniform = uniform
    self.mixture = mixture
    self.granularity = granularity
    self.units = units
    self.mix = mix
    self.rescale = rescale
    self.metric = metric
    self.template = template
    self.served = served
    self.servedBecause = servedBecause
    self.foundAlpha = foundAlpha
    self.foundGranularity = foundGranularity ?? granularity
    self.search = search
    self.vectorsPath = vectorsPath
    self.kernel = kernel
    self.warnings = warnings
  }

  /// `scores` as `mixture.get` gives them.
  package var scoresJSON: JSONValue {
    var byName: JSONObject = [:]
    for expert in experts { byName[expert.name] = expert.scores.json }
    return object([
      ("metric", .string(metric)), ("base", base.json), ("experts", .object(byName)), ("uniform", uniform.json),
      ("mixture", mixture.json),
    ])
  }

  package var json: JSONValue {
    object([
      ("alpha", alphaJSON(alpha)),
      (
        "experts",
        list(experts) {
          object([
            ("name", .string($0.name)), ("version", .integer(Int64($0.version))), ("digest", .string($0.digest)),
          ])
        }
      ), ("scores", scoresJSON), ("granularity", .string(granularity.rawValue)),
      ("units", list(units) { .string($0) }), ("mix", .string(mix.rawValue)), ("rescale", .string(rescale.rawValue)),
      ("template", .string(template)), ("served", .string(served)), ("served_because", .string(servedBecause)),
      ("found_alpha", alphaJSON(foundAlpha)), ("found_granularity", .string(foundGranularity.rawValue)),
      ("search", search.json), ("vectors_path", .string(vectorsPath)),
      ("kernel", .string(kernel)), ("warnings", list(warnings) { .string($0) }),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "result")
    let scores = try fields.fields("scores")
    let byName = try scores.fields("experts")
    self.init(
      alpha: try fields.alpha("alpha"),
      experts: try fields.each("experts") { (value, path) throws(WorkerProtocolError) in
        let one = try Fields(value, path)
        let name = try one.string("name")
        return Expert(
          name: name, version: try one.integer("version"), digest: try one.string("digest"),
          scores: try ScoreSummary(decoding: try byName.value(name)))
      }, base: try ScoreSummary(decoding: try scores.value("base")),
      uniform: try ScoreSummary(decoding: try scores.value("uniform")),
      mixture: try ScoreSummary(decoding: try scores.value("mixture")),
      granularity: try fields.granularity("granularity"), units: try fields.strings("units"),
      mix: try fields.mixRule("mix"), rescale: try fields.rescale("rescale"), metric: try scores.string("metric"),
      template: try fields.string("template"), served: try fields.string("served"),
      servedBecause: try fields.string("served_because"), foundAlpha: try fields.alpha("found_alpha"),
      foundGranularity: try fields.granularity("found_granularity"),
      search: try SearchSummary(decoding: try fields.value("search")), vectorsPath: try fields.string("vectors_path"),
      kernel: try fields.string("kernel"), warnings: try fields.strings("warnings"))
  }
}

/// What the search did and what it saved. A prompt is one few-shot row under one candidate.
package struct SearchSummary: Sendable, Equatable {
  package var method: String
  package var objective: String
  package var normalised: Bool
  package var seed: UInt64
  package var population: Int
  package var elites: Int
  package var shots: Int
  /// Of the search on all shots.
  package var generations: Int
  package var stopReason: String
  /// Over all searches of all configurations.
  package var prompts: Int
  package var promptsSavedByCache: Int
  package var promptsSavedByPruning: Int
  /// Seconds by phase: `loading`, `baselines`, `search`, `evaluating`, `writing`, and `total`.
  package var seconds: [(phase: String, seconds: Double)]

  package init(
    method: String, objective: String, normalised: Bool, seed: UInt64, population: Int, elites: Int, shots: Int,
    generations: Int, stopReason: String, prompts: Int, promptsSavedByCache: Int, promptsSavedByPruning: Int,
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
    self.prompts = prompts
    self.promptsSavedByCache = promptsSavedByCache
    self.promptsSavedByPruning = promptsSavedByPruning
    self.seconds = seconds
  }

  package static func == (a: SearchSummary, b: SearchSummary) -> Bool { a.json == b.json }

  package var json: JSONValue {
    object([
      ("method", .string(method)), ("objective", .string(objective)), ("normalised", .bool(normalised)),
      ("seed", seedJSON(seed)), ("population", .integer(Int64(population))), ("elites", .integer(Int64(elites))),
      ("shots", .integer(Int64(shots))), ("generations", .integer(Int64(generations))),
      ("stop_reason", .string(stopReason)), ("prompts", .integer(Int64(prompts))),
      ("prompts_saved_by_cache", .integer(Int64(promptsSavedByCache))),
      ("prompts_saved_by_pruning", .integer(Int64(promptsSavedByPruning))),
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
      stopReason: try fields.string("stop_reason"), prompts: try fields.integer("prompts"),
      promptsSavedByCache: try fields.integer("prompts_saved_by_cache"),
      promptsSavedByPruning: try fields.integer("prompts_saved_by_pruning"), seconds: seconds)
  }
}
