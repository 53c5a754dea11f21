package import Results
package import StrictJSON

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

  package static func cells(_ line: JSONValue) -> [String] {
    let scores = line["scores"]
    return [
      line["method"].cell + (line["chosen"] == true ? " *" : ""), line["granularity"].cell, scores?["fit"].cell ?? "-",
      scores?["fit_loglik"].cell ?? "-", scores?["held_out"].cell ?? "-", scores?["held_out_loglik"].cell ?? "-",
      line["generations"].cell, line["stop_reason"].cell, line["prompts"].cell,
      fixed(line["seconds"]?.doubleValue ?? 0, 1), line["prompts_saved_by_cache"].cell,
      line["prompts_saved_by_pruning"].cell, line["prompts_saved_by_convergence"].cell,
    ]
  }
}
