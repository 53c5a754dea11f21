package import Results

/// Which edge the cells of a column keep to.
package enum ColumnAlignment { case left, right }

/// What each configuration of a search found, cost and was spared: the same on a terminal and in a report.
package enum SearchTable {
  package static let headings: [(String, ColumnAlignment)] = [
    ("METHOD", .left), ("UNITS", .left), ("FIT", .right), ("LOGLIK", .right), ("HELD OUT", .right), ("LOGLIK", .right),
    ("GEN", .right), ("ENDED", .left), ("PROMPTS", .right), ("SECONDS", .right), ("CACHE", .right), ("PRUNED", .right),
    ("CONVERGED", .right),
  ]

  package static func cells(_ line: ConfigurationSummary) -> [String] {
    let (scores, costs) = (line.scores, line.costs)
    return [
      line.method + (line.isChosen == true ? " *" : ""), line.granularity.rawValue, cell(scores.fit),
      cell(scores.fitLogLikelihood), cell(scores.heldOut), cell(scores.heldOutLogLikelihood), "\(line.generations)",
      line.stopReason, "\(costs.prompts)", fixed(line.seconds, 1), "\(costs.savedByCache)",
      "\(costs.savedByPruning)", "\(costs.savedByConvergence)",
    ]
  }
}
