import StrictJSON
import SystemSupport

extension Invocation {
  /// "0.56 to 0.65 of 400".
  static func evalInterval(_ eval: JSONValue?) -> String {
    guard let bounds = eval?["ci95"]?.arrayValue?.compactMap(\.doubleValue), bounds.count == 2 else { return "-" }
    return "\(fixed(bounds[0], 3)) to \(fixed(bounds[1], 3)), n \((eval?["n"]).cell)"
  }

  /// Rows won and lost, and McNemar's exact p.
  static func paired(_ test: JSONValue?) -> String {
    guard let test, let p = test["p"]?.doubleValue else { return "-" }
    return "+\(test["wins"].cell) -\(test["losses"].cell), p \(p < 0.001 ? "< 0.001" : fixed(p, 3))"
  }

  /// What each configuration of a search found, cost and was spared.
  func showSearch(_ search: JSONValue?, metric: JSONValue?) {
    guard let search, let configurations = search["configurations"]?.arrayValue, !configurations.isEmpty else { return }
    console.print("")
    var table = Table(
      ("METHOD", .left), ("UNITS", .left), ("FIT", .right), ("LOGLIK", .right), ("HELD OUT", .right),
      ("LOGLIK", .right), ("GEN", .right), ("ENDED", .left), ("PROMPTS", .right), ("SECONDS", .right),
      ("CACHE", .right), ("PRUNED", .right), ("CONVERGED", .right))
    for line in configurations {
      let scores = line["scores"]
      table.add([
        line["method"].cell + (line["chosen"] == true ? " *" : ""), line["granularity"].cell,
        scores?["fit"].cell ?? "-",
        scores?["fit_loglik"].cell ?? "-", scores?["held_out"].cell ?? "-", scores?["held_out_loglik"].cell ?? "-",
        line["generations"].cell, line["stop_reason"].cell, line["prompts"].cell,
        fixed(line["seconds"]?.doubleValue ?? 0, 1), line["prompts_saved_by_cache"].cell,
        line["prompts_saved_by_pruning"].cell, line["prompts_saved_by_convergence"].cell,
      ])
    }
    print(table, empty: "no configurations")
    console.note("* chosen on held-out shots; the last three columns are prompts that were saved")
    guard let saved = search["estimated_seconds_saved"] else { return }
    let parts = ["cache", "pruning", "convergence"].compactMap { name in
      saved[name]?.doubleValue.map { "\(name) \(secondsText($0))" }
    }
    console.note("time saved, estimated from the mean cost of a prompt: " + parts.joined(separator: ", "))
  }
}
