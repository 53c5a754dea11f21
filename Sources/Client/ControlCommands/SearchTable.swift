import StrictJSON
import SystemSupport

/// What each configuration of a search found, cost and was spared: the same on a terminal and in a report.
enum SearchTable {
  static let headings: [(String, Table.Alignment)] = [
    ("METHOD", .left), ("UNITS", .left), ("FIT", .right), ("LOGLIK", .right), ("HELD OUT", .right), ("LOGLIK", .right),
    ("GEN", .right), ("ENDED", .left), ("PROMPTS", .right), ("SECONDS", .right), ("CACHE", .right), ("PRUNED", .right),
    ("CONVERGED", .right),
  ]

  static func cells(_ line: JSONValue) -> [String] {
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

extension Invocation {
  /// "0.56 to 0.65 of 400".
  static func evalInterval(_ eval: JSONValue?) -> String {
    let interval = interval95(eval?["ci95"])
    return interval == "-" ? "-" : "\(interval), n \((eval?["n"]).cell)"
  }

  /// Rows won and lost, and McNemar's exact p.
  static func paired(_ test: JSONValue?) -> String {
    guard let test, let p = test["p"]?.doubleValue else { return "-" }
    return "+\(test["wins"].cell) -\(test["losses"].cell), p \(p < 0.001 ? "< 0.001" : fixed(p, 3))"
  }

  func showSearch(_ search: JSONValue?, metric: JSONValue?) {
    guard let search, let configurations = search["configurations"]?.arrayValue, !configurations.isEmpty else { return }
    console.print("")
    var table = Table(SearchTable.headings, keys: 2)
    for line in configurations { table.add(SearchTable.cells(line)) }
    print(table, empty: "no configurations")
    console.note("* chosen on held-out shots; the last three columns are prompts that were saved")
    defer { showConvergence(configurations) }
    guard let saved = search["estimated_seconds_saved"] else { return }
    let parts = ["cache", "pruning", "convergence"].compactMap { name in
      saved[name]?.doubleValue.map { "\(name) \(secondsText($0))" }
    }
    console.note("time saved, estimated from the mean cost of a prompt: " + parts.joined(separator: ", "))
  }

  /// How each search came to its best, in a line; nothing where no line can be drawn.
  private func showConvergence(_ configurations: [JSONValue]) {
    var table = Table(("METHOD", .left), ("UNITS", .left), ("BEST LOG-LIKELIHOOD BY GENERATION", .left))
    for line in configurations {
      let values = (line["history"]?.arrayValue ?? []).compactMap { $0["best_log_likelihood"]?.doubleValue }
      let drawn = sparkline(values)
      guard !drawn.isEmpty, let first = values.first, let last = values.last else { continue }
      table.add([line["method"].cell, line["granularity"].cell, "\(fixed(first, 3)) \(drawn) \(fixed(last, 3))"])
    }
    guard !table.rows.isEmpty else { return }
    console.print("")
    print(table, empty: "")
  }
}
