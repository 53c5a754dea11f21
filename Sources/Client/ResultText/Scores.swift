package import Records
package import Results

/// An interval of scores: "0.561 to 0.652".
package func interval95(_ interval: Interval) -> String { "\(fixed(interval.lower, 3)) to \(fixed(interval.upper, 3))" }

/// A score on eval rows: "0.561 to 0.652, n 400".
package func evalInterval(_ eval: EvalSummary?) -> String {
  eval.map { "\(interval95($0.ci95)), n \($0.count)" } ?? "-"
}

/// An interval of differences: "+0.0800 to +0.1800".
package func interval(_ value: Interval) -> String { "\(signed(value.lower)) to \(signed(value.upper))" }

/// Rows won and lost, and McNemar's exact p.
package func paired(_ test: EvalSummary.Paired?) -> String {
  test.map { "+\($0.wins) -\($0.losses), p \($0.p < 0.001 ? "< 0.001" : fixed($0.p, 3))" } ?? "-"
}

/// What was saved, by what: "cache 1.5 s, pruning 40 ms, convergence 0 ms".
package func savedText(_ saved: CostSummary.Saved) -> String {
  [("cache", saved.cache), ("pruning", saved.pruning), ("convergence", saved.convergence)]
    .map { "\($0) \(secondsText($1))" }.joined(separator: ", ")
}

/// An interval to draw; nil of one that has none.
package func bounds(_ ci95: Interval) -> ClosedRange<Double>? {
  ci95.lower <= ci95.upper ? ci95.lower...ci95.upper : nil
}

/// How far a search of a sweep may go: "20 gen" or "500 prompts".
package func budgetText(_ budget: SweepBudget) -> String {
  switch budget {
  case .iterations(let number): "\(number) gen"
  case .prompts(let number): "\(number) prompts"
  }
}

/// What is served for a task, in a table: `mixture`, `base`, `uniform` or an expert's name.
package func servedCell(_ served: String, noSignal: Bool?) -> String {
  noSignal == true ? "\(served) (no signal)" : served
}
