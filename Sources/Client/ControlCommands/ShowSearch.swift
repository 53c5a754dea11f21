import ResultText
import StrictJSON

extension Invocation {
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
