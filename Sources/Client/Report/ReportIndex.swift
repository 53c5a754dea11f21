import ResultText
import Results
package import RPCProtocol

/// The page that leads to the reports of all tasks.
package struct ReportIndex {
  private let time: String
  private var rows = ""
  private var missing: [String] = []

  package init(time: String) { self.time = time }

  package mutating func add(_ data: ReportData, file: String) {
    let mixture = data.mixture.mixture
    let eval = mixture.scores.score(of: mixture.served)?.eval
    let cells = [
      servedCell(mixture.served, noSignal: mixture.noSignal), cell(mixture.scores.base.eval?.value), cell(eval?.value),
      evalInterval(eval),
      paired(eval?.versusBase), mixture.scores.metric, data.model, data.mixture.stale ? "stale" : "up to date",
    ]
    rows += element(
      "tr", [:],
      element("td", [:], element("a", ["href": file], markup(data.taskName)))
        + cells.map { element("td", [:], markup($0)) }.joined())
  }

  package mutating func addMissing(_ task: TaskRow) {
    missing.append("\(task.name): \(task.state.rawValue.replacing("_", with: " ")), no mixture yet")
  }

  package var html: String {
    // What counts first: a narrow window shows no more without being pushed.
    let headings = ["Task", "Served", "Base", "Its score", "95 %", "Against base", "Metric", "Model", "State"]
    let table = element(
      "div", ["class": "scroll"],
      element(
        "table", [:],
        element("thead", [:], element("tr", [:], headings.map { element("th", [:], markup($0)) }.joined()))
          + element("tbody", [:], rows)))
    return page(
      title: "Reports",
      element("h1", [:], "Reports")
        + paragraph("Scores on eval rows, which no search reads. Made at \(readable(time: time)).", "what")
        + (rows.isEmpty ? paragraph("No task has a mixture yet.", "missing") : table)
        + missing.map { paragraph($0, "missing") }.joined())
  }
}

extension Mixture.Scores {
  /// Of what is served: `mixture`, `base`, `uniform` or an expert's name.
  fileprivate func score(of served: String) -> ScoreSummary? {
    switch served {
    case "base": base
    case "uniform": uniform
    case "mixture": mixture
    default: experts[served]
    }
  }
}
