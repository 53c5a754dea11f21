package import Multipliers
package import Records

/// How one set of weights does on a task.
package struct ScoreSummary: WorkerMessage {
  /// In the task's metric, 0 to 1, on the rows it was chosen on.
  @Logarithm package var fit: Double
  /// −∞ where no row has a likelihood.
  @Logarithm package var fitLogLikelihood: Double
  /// Mean over the folds of the score on rows it was not fitted on; nil where there are too few rows to hold any out.
  package var heldOut: Double?
  package var heldOutLogLikelihood: Double?
  /// On the eval file, which the search never reads.
  package var eval: EvalSummary?

  private enum CodingKeys: String, CodingKey {
    case fit
    case fitLogLikelihood = "fit_loglik"
    case heldOut
    case heldOutLogLikelihood = "held_out_loglik"
    case eval
  }

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
}

/// What an adaptation found; the daemon makes the mixture record of it.
package struct AdaptResult: WorkerResult {
  package struct Expert: WorkerMessage {
    package var name: String
    package var version: Int
    package var digest: String

    package init(name: String, version: Int, digest: String) {
      self.name = name
      self.version = version
      self.digest = digest
    }
  }

  /// As `mixture.get` gives them.
  package struct Scores: WorkerMessage {
    package var metric: String
    package var base: ScoreSummary
    package var experts: ByName<ScoreSummary>
    package var uniform: ScoreSummary
    /// Of the search's own choice, which is what is served unless `served` says otherwise.
    package var mixture: ScoreSummary

    package init(
      metric: String, base: ScoreSummary, experts: ByName<ScoreSummary>, uniform: ScoreSummary, mixture: ScoreSummary
    ) {
      self.metric = metric
      self.base = base
      self.experts = experts
      self.uniform = uniform
      self.mixture = mixture
    }
  }

  /// What is served: `[expert][unit]`, experts in the order of `experts`.
  package var alpha: [[Float]]
  package var experts: [Expert]
  package var scores: Scores
  package var granularity: Granularity
  /// Names of layers or matrices that the coefficients follow; none for `vector`.
  package var units: [String]
  package var mix: MixRule
  package var rescale: Rescale
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

  package var metric: String { scores.metric }
  package var base: ScoreSummary { scores.base }
  package var uniform: ScoreSummary { scores.uniform }
  package var mixture: ScoreSummary { scores.mixture }

  package init(
    alpha: [[Float]], experts: [Expert], scores: Scores, granularity: Granularity, units: [String], mix: MixRule,
    rescale: Rescale, template: String, served: String, servedBecause: String, foundAlpha: [[Float]],
    foundGranularity: Granularity? = nil,
    search: SearchSummary, evalItems: EvalItems? = nil,
    vectorsPath: String, kernel: String, warnings: [String]
  ) {
    self.alpha = alpha
    self.experts = experts
    self.scores = scores
    self.granularity = granularity
    self.units = units
    self.mix = mix
    self.rescale = rescale
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
}
