import ResultText
package import Results

/// What more shots or a larger budget bring, as a picture.
package struct SweepPlot {
  private let result: SweepResult

  /// Of the result of a job of `sweep.run`.
  package init(_ result: SweepResult) { self.result = result }

  /// A file of its own: it has its colours in it, and loads nothing.
  package var svg: String { chart.standalone() }

  /// Over the shots where these were swept, else over the prompts that the searches made; a line for each seed and
  /// whatever else was swept.
  private var chart: LineChart {
    let cells = result.cells
    let shots = distinct(cells.map { Double($0.shots) }).sorted()
    let isOverShots = shots.count > 1
    let names = distinct(cells.map { seriesName($0, isOverShots: isOverShots) })
    let span = (shots.last ?? 0) - (shots.first ?? 0)
    var series: [LineChart.Series] = []
    for (index, name) in names.enumerated() {
      // Beside each other, so that an interval does not hide the next.
      let shift = isOverShots ? (Double(index) - Double(names.count - 1) / 2) * span * 0.012 : 0
      let points = cells.filter { seriesName($0, isOverShots: isOverShots) == name }.map { cell in
        LineChart.Point(
          x: Double(isOverShots ? cell.shots : cell.configuration.costs.prompts) + shift, y: cell.eval.value,
          interval: bounds(cell.eval.ci95))
      }
      series.append(LineChart.Series(name, points.sorted { $0.x < $1.x }))
    }
    let what = "\(result.task): \(result.metric)"
    return LineChart(
      title: "\(what) by \(isOverShots ? "shots" : "budget")",
      xLabel: isOverShots ? "shots" : "prompts scored by the search",
      yLabel: "\(what) on \(result.count) eval rows, with 95 % intervals", series: series,
      // A line across has no interval of its own, so its name has it.
      references: [("base, 95 % \(interval95(result.base.ci95))", result.base.value)],
      xTicks: isOverShots ? shots : nil)
  }

  /// What tells a cell's line from the others.
  private func seriesName(_ cell: SweepResult.Cell, isOverShots: Bool) -> String {
    var parts: [String] = []
    if isOverShots, distinct(result.cells.map(\.budget)).count > 1 { parts.append(budgetText(cell.budget)) }
    if !isOverShots { parts.append("\(cell.shots) shots") }
    parts.append("seed \(cell.seed)")
    return parts.joined(separator: ", ")
  }
}

/// In the order of their first appearance.
private func distinct<Element: Equatable>(_ elements: [Element]) -> [Element] {
  elements.reduce(into: []) { found, element in
    if !found.contains(element) { found.append(element) }
  }
}
