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
  /// Nil where the task has no eval file.
  package var evalItems: EvalItems?
  /// The effective multipliers of what is served, a safetensors file that is itself a valid expert.
  package var vectorsPath: String
  package var kernel: String
  package var warnings: [String]

  package init(
    alpha: [[Float]], experts: [Expert], base: ScoreSummary, uniform: ScoreSummary, mixture: ScoreSummary,
    granularity: Granularity, units: [String], mix: MixRule, rescale: Rescale, metric: String, template: String,
    served: String, servedBecause: String, foundAlpha: [[Float]], foundGranularity: Granularity? = nil,
    search: SearchSummary, evalItems: EvalItems? = nil,
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
    self.evalItems = evalItems
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
      ("search", search.json), ("eval_items", evalItems?.json), ("vectors_path", .string(vectorsPath)),
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
      search: try SearchSummary(decoding: try fields.value("search")),
      evalItems: try fields.optional("eval_items").map { (value) throws(WorkerProtocolError) in
        try EvalItems(decoding: value)
      }, vectorsPath: try fields.string("vectors_path"),
      kernel: try fields.string("kernel"), warnings: try fields.strings("warnings"))
  }
}
