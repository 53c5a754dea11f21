import ResultText
import StrictJSON

extension ReportPage {
  /// The base, each expert, the uniform mixture and the search's own, with their names.
  private var standings: [(name: String, score: JSONValue)] {
    let scores = mixture["scores"]
    var standings: [(String, JSONValue?)] = [("base", scores?["base"])]
    standings += (scores?["experts"]?.objectValue?.members ?? []).map { ($0.key, $0.value) }
    standings += [("uniform", scores?["uniform"]), ("mixture", scores?["mixture"])]
    return standings.compactMap { name, score in score.map { (name, $0) } }
  }

  var scores: String {
    let shots = mixture["search"]?["shots"].cell ?? "?"
    var table = HTMLTable(
      ("Weights", .left), ("Fit", .right), ("Held out", .right), ("Eval", .right), ("95 %", .left),
      ("Against base", .left), ("Against best expert", .left))
    for (name, score) in standings {
      let eval = score["eval"]
      table.add(
        [
          name, score["fit"].cell, score["held_out"].cell, eval?["value"].cell ?? "-", evalInterval(eval),
          paired(eval?["versus_base"]), paired(eval?["versus_best_expert"]),
        ], isEmphasised: name == served)
    }
    return section(
      "Scores",
      "\(metric) from 0 to 1. Fit: on the \(shots) few-shot rows of the search, and so too good. Held out: the mean over "
        + "folds that were not fitted. Eval: on rows that the search never read, with Wilson's interval, the rows won and "
        + "lost, and McNemar's exact p.", evalChart + table.html)
  }

  private var evalChart: String {
    let rows = standings.compactMap { name, score -> IntervalChart.Row? in
      guard let eval = score["eval"], let value = eval["value"]?.doubleValue else { return nil }
      return IntervalChart.Row(name, value, bounds(eval["ci95"]), isEmphasised: name == served)
    }
    guard let n = mixture["scores"]?["base"]?["eval"]?["n"] else {
      return missing(
        "No eval file: put eval.jsonl beside the task's fewshot.jsonl, and the next search ends with a score that can be "
          + "trusted, its interval and its tests.")
    }
    let base = mixture["scores"]?["base"]?["eval"]?["value"]?.doubleValue
    return figure(
      IntervalChart(
        title: "Eval \(metric) with 95 % intervals", xLabel: "eval \(metric)", rows: rows,
        reference: base.map { ("base", $0) }),
      "\(metric) on \(n.cell) eval rows with 95 % intervals. What is served stands out; experts that are not shown were "
        + "not scored on the eval rows, only the best single one is.")
  }

  var items: String {
    let title = "Items won and lost"
    let what =
      "Eval rows where the search's mixture"
      + (served == "mixture" ? "" : ", which is not what is served,")
      + " is right and the base or the best expert is not, or the other way round."
    guard let kept = result?["eval_items"], let all = kept["items"]?.arrayValue else {
      let why =
        mixture["scores"]?["base"]?["eval"] == nil
        ? "No eval file, so no items." : "The search that found this mixture kept no items; the next one will."
      return section(title, what, missing(why))
    }
    let expert = kept["best_expert"]?.stringValue ?? "best expert"
    let lost = all.filter { $0["mixture"]?["right"] != true }
    let won = all.filter { $0["mixture"]?["right"] == true }
    let differing = kept["differing"]?.intValue ?? all.count
    var content = ""
    if differing > all.count {
      content += paragraph("\(differing) rows differ; the first \(all.count) are shown.", "quiet")
    }
    if all.isEmpty { content += missing("The three agree on every row about what is right.") }
    for (name, items) in [("Won", won), ("Lost", lost)] where !items.isEmpty {
      let written = items.map { item($0, expert) }
      content += heading("\(name): \(items.count)") + written.prefix(Self.openItems).joined()
      guard written.count > Self.openItems else { continue }
      content += element(
        "details", [:],
        element("summary", [:], "\(written.count - Self.openItems) more") + written.dropFirst(Self.openItems).joined())
    }
    return section(title, what, content)
  }

  /// The others unfold: a hundred of them hide all else on a page, and take thirty sheets of paper.
  private static let openItems = 8

  private func item(_ item: JSONValue, _ expert: String) -> String {
    func line(_ name: String, _ answer: JSONValue?) -> String {
      let isRight = answer?["right"] == true
      return element(
        "tr", [:],
        element("td", [:], markup(name))
          + element("td", ["class": isRight ? "good" : "bad"], isRight ? "right" : "wrong")
          + element("td", [:], markup(answer?["text"].cell ?? "-")))
    }
    let answers =
      line("base", item["base"]) + line(expert, item["best_expert"]) + line("mixture", item["mixture"])
    return element(
      "article", ["class": "item"],
      paragraph(item["question"].cell, "question")
        + element("p", [:], element("b", [:], "Right: ") + markup(item["gold"].cell))
        + element("table", [:], element("tbody", [:], answers))
        + paragraph("row \(item["id"].cell), line \(item["line"].cell)", "quiet"))
  }
}
