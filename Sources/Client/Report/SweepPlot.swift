import ResultText
package import StrictJSON

/// What more shots or a larger budget bring, as a picture.
package struct SweepPlot {
  private let result: JSONValue

  /// Of the result of a job of `sweep.run`.
  package init(_ result: JSONValue) { self.result = result }

  /// A file of its own: it has its colours in it, and loads nothing.
  package var svg: String { chart.standalone() }

  /// Over the shots where these were swept, else over the prompts that the searches made; a line for each seed and
  /// whatever else was swept.
  private var chart: LineChart {
    let cells = result["cells"]?.arrayValue ?? []
    let shots = distinct(cells.map { $0["shots"]?.doubleValue ?? 0 }).sorted()
    let isOverShots = shots.count > 1
    let names = distinct(cells.map { seriesName($0, isOverShots: isOverShots, cells) })
    let span = (shots.last ?? 0) - (shots.first ?? 0)
    var series: [LineChart.Series] = []
    for (index, name) in names.enumerated() {
      // Beside each other, so that an interval does not hide the next.
      let shift = isOverShots ? (Double(index) - Double(names.count - 1) / 2) * span * 0.012 : 0
      let points = cells.filter { seriesName($0, isOverShots: isOverShots, cells) == name }.map { cell in
        let x = (isOverShots ? cell["shots"] : cell["prompts"])?.doubleValue ?? 0
        return LineChart.Point(
          x: x + shift, y: cell["eval"]?["value"]?.doubleValue ?? .nan, interval: bounds(cell["eval"]?["ci95"]))
      }
      series.append(LineChart.Series(name, points.sorted { $0.x < $1.x }))
    }
    let base = result["base"]
    return LineChart(
      title: "\(result["task"].cell): \(result["metric"].cell) by \(isOverShots ? "shots" : "budget")",
      xLabel: isOverShots ? "shots" : "prompts scored by the search",
      yLabel: "\(result["task"].cell): \(result["metric"].cell) on \(result["n"].cell) eval rows, with 95 % intervals",
      series: series,
      // A line across has no interval of its own, so its name has it.
      references: base?["value"]?.doubleValue.map { [("base, 95 % \(interval95(base?["ci95"]))", $0)] } ?? [],
      xTicks: isOverShots ? shots : nil)
  }

  /// What tells a cell's line from the others.
  private func seriesName(_ cell: JSONValue, isOverShots: Bool, _ cells: [JSONValue]) -> String {
    var parts: [String] = []
    let budgets = distinct(cells.map { budgetText($0["budget"]) })
    if isOverShots, budgets.count > 1 { parts.append(budgetText(cell["budget"])) }
    if !isOverShots { parts.append("\(cell["shots"].cell) shots") }
    parts.append("seed \(cell["seed"].cell)")
    return parts.joined(separator: ", ")
  }
}

/// In the order of their first appearance.
private func distinct<Element: Equatable>(_ elements: [Element]) -> [Element] {
  elements.reduce(into: []) { found, element in
    if !found.contains(element) { found.append(element) }
  }
}
