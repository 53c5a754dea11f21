import ResultText
package import StrictJSON

/// The page that leads to the reports of all tasks.
package struct ReportIndex {
  private let time: String
  private var rows = ""
  private var missing: [String] = []

  package init(time: String) { self.time = time }

  package mutating func add(_ data: ReportData, file: String) {
    let scores = data.mixture["scores"]
    let served = data.mixture["served"]?.stringValue ?? "mixture"
    let score = scores?[served] ?? scores?["experts"]?[served]
    let cells = [
      served, scores?["base"]?["eval"]?["value"].cell ?? "-", score?["eval"]?["value"].cell ?? "-",
      evalInterval(score?["eval"]), paired(score?["eval"]?["versus_base"]),
      scores?["metric"].cell ?? "-", data.model, data.mixture["stale"] == true ? "stale" : "up to date",
    ]
    rows += element(
      "tr", [:],
      element("td", [:], element("a", ["href": file], markup(data.taskName)))
        + cells.map { element("td", [:], markup($0)) }.joined())
  }

  package mutating func addMissing(_ task: JSONValue) {
    missing.append("\(task["name"].cell): \(task["state"].cell.replacing("_", with: " ")), no mixture yet")
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
