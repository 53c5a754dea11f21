package import Records

/// How one set of weights does on a task.
package struct ScoreSummary: Codable, Sendable, Equatable {
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
