import ResultText
import Results

extension ReportPage {
  /// The base, each expert, the uniform mixture and the search's own, with their names.
  private var standings: [(name: String, score: ScoreSummary)] {
    let scores = mixture.scores
    return [("base", scores.base)] + scores.experts.entries.map { ($0.name, $0.value) }
      + [("uniform", scores.uniform), ("mixture", scores.mixture)]
  }

  var scores: String {
    let shots = mixture.search.shots
    var table = HTMLTable(
      ("Weights", .left), ("Fit", .right), ("Held out", .right), ("Eval", .right), ("95 %", .left),
      ("Against base", .left), ("Against best expert", .left))
    for (name, score) in standings {
      table.add(
        [
          name, cell(score.fit), cell(score.heldOut), cell(score.eval?.value), evalInterval(score.eval),
          paired(score.eval?.versusBase), paired(score.eval?.versusBestExpert),
        ], isEmphasised: name == served)
    }
    return section(
      "Scores",
      "\(metric) from 0 to 1. Fit: on the \(shots) few-shot rows of the search, and so too good. Held out: the mean over "
        + "folds that were not fitted. Eval: on rows that the search never read, with Wilson's interval, the rows won and "
        + "lost, and McNemar's exact p.", evalChart + table.html)
  }

  private var evalChart: String {
    guard let base = mixture.scores.base.eval else {
      return missing(
        "No eval file: put eval.jsonl beside the task's fewshot.jsonl, and the next search ends with a score that can be "
          + "trusted, its interval and its tests.")
    }
    let rows = standings.compactMap { name, score in
      score.eval.map { IntervalChart.Row(name, $0.value, bounds($0.ci95), isEmphasised: name == served) }
    }
    return figure(
      IntervalChart(
        title: "Eval \(metric) with 95 % intervals", xLabel: "eval \(metric)", rows: rows,
        reference: ("base", base.value)),
      "\(metric) on \(base.count) eval rows with 95 % intervals. What is served stands out; experts that are not shown "
        + "were not scored on the eval rows, only the best single one is.")
  }

  var items: String {
    let title = "Items won and lost"
    let what =
      "Eval rows where the search's mixture"
      + (served == "mixture" ? "" : ", which is not what is served,")
      + " is right and the base or the best expert is not, or the other way round."
    guard let kept = data.search?.evalItems else {
      let why =
        mixture.scores.base.eval == nil
        ? "No eval file, so no items." : "The search that found this mixture kept no items; the next one will."
      return section(title, what, missing(why))
    }
    let all = kept.items
    let won = all.filter(\.mixture.isRight)
    let lost = all.filter { !$0.mixture.isRight }
    var content = ""
    if kept.differing > all.count {
      content += paragraph("\(kept.differing) rows differ; the first \(all.count) are shown.", "quiet")
    }
    if all.isEmpty { content += missing("The three agree on every row about what is right.") }
    for (name, items) in [("Won", won), ("Lost", lost)] where !items.isEmpty {
      let written = items.map { item($0, kept.bestExpert) }
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

  private func item(_ item: EvalItems.Item, _ expert: String) -> String {
    func line(_ name: String, _ answer: EvalItems.Answer) -> String {
      element(
        "tr", [:],
        element("td", [:], markup(name))
          + element("td", ["class": answer.isRight ? "good" : "bad"], answer.isRight ? "right" : "wrong")
          + element("td", [:], markup(answer.text)))
    }
    let answers = line("base", item.base) + line(expert, item.bestExpert) + line("mixture", item.mixture)
    return element(
      "article", ["class": "item"],
      paragraph(item.question, "question")
        + element("p", [:], element("b", [:], "Right: ") + markup(item.gold))
        + element("table", [:], element("tbody", [:], answers))
        + paragraph("row \(item.id), line \(item.line)", "quiet"))
  }
}
