import ResultText
import Results

extension Invocation {
  func showSearch(_ search: SearchSummary) {
    guard !search.configurations.isEmpty else { return }
    console.print("")
    var table = Table(SearchTable.headings, keys: 2)
    for line in search.configurations { table.add(SearchTable.cells(line)) }
    print(table, empty: "no configurations")
    console.note("* chosen on held-out shots; the last three columns are prompts that were saved")
    defer { showConvergence(search.configurations) }
    guard let saved = search.costs.estimatedSecondsSaved else { return }
    console.note("time saved, estimated from the mean cost of a prompt: \(savedText(saved))")
  }

  /// How each search came to its best, in a line; nothing where no line can be drawn.
  private func showConvergence(_ configurations: [ConfigurationSummary]) {
    var table = Table(("METHOD", .left), ("UNITS", .left), ("BEST LOG-LIKELIHOOD BY GENERATION", .left))
    for line in configurations {
      let values = (line.history ?? []).map(\.bestLogLikelihood).filter(\.isFinite)
      let drawn = sparkline(values)
      guard !drawn.isEmpty, let first = values.first, let last = values.last else { continue }
      table.add([line.method, line.granularity.rawValue, "\(fixed(first, 3)) \(drawn) \(fixed(last, 3))"])
    }
    guard !table.rows.isEmpty else { return }
    console.print("")
    print(table, empty: "")
  }
}
