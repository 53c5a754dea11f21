import ResultText
import Settings

extension ReportPage {
  // MARK: - Checks

  var checks: String {
    let title = "Checks of the experts"
    let what =
      "Is an expert better than permutations of its own multipliers (shuffle), and does it help another model (transfer)? "
      + "Effect: the difference in score to the mean of its shuffles. A transfer passes where its verdict is ‘ordered’ and it "
      + "does the base no harm."
    guard !data.checks.isEmpty else {
      return section(
        title, what, missing("No check of these experts was made; make one with: t2ctl check shuffle EXPERT"))
    }
    var table = HTMLTable(
      ("Check", .left), ("Expert", .left), ("Task", .left), ("Verdict", .left), ("p", .right),
      ("Effect", .right), ("95 %", .left), ("n", .right), ("Base", .right), ("Expert's", .right),
      ("Its shuffles", .left))
    var rows: [IntervalChart.Row] = []
    let tasks = Set(data.checks.map(\.task))
    for check in data.checks {
      let name = "\(check.expert)@\(check.version)"
      let shuffles = check.scores.shuffles
      let isTransfer = check.kind == .transfer
      let passing = isTransfer ? check.passes ? ", passes" : ", does not pass" : ""
      table.add([
        check.kind.rawValue + (isTransfer ? " to \(check.model)" : ""), name, check.task,
        check.verdict.rawValue.replacing("_", with: " ") + passing, shortP(check.p), signed(check.effect),
        interval(check.ci95), "\(check.n)", cell(check.scores.base), cell(check.scores.expert),
        shuffles.isEmpty ? "-" : "\(fixed(shuffles.min() ?? .nan, 4)) to \(fixed(shuffles.max() ?? .nan, 4))",
      ])
      rows.append(
        IntervalChart.Row(
          name + (isTransfer ? " on \(check.model)" : "") + (tasks.count > 1 ? ", \(check.task)" : ""), check.effect,
          bounds(check.ci95), isEmphasised: check.verdict == .ordered))
    }
    let chart = figure(
      IntervalChart(
        title: "Effect against shuffled copies", xLabel: "difference to the mean of the shuffles", rows: rows,
        reference: ("no effect", 0)),
      "Effect against the shuffles with 95 % intervals, of a transfer on the model that it names; the verdict ‘ordered’ "
        + "stands out.")
    return section(title, what, chart + table.html)
  }

  // MARK: - Dispatch

  var dispatch: String {
    let title = "Dispatch"
    guard let found = data.dispatch else {
      return section(
        title, "Which expert a prompt is given to.",
        missing("Dispatch was not evaluated on this model; do it with: t2ctl dispatch evaluate FILE"))
    }
    var content = ""
    for strategy in found.result.strategies.entries {
      let (name, outcome) = (strategy.name, strategy.value)
      guard outcome.matrix.count == outcome.labels.count,
        outcome.matrix.allSatisfy({ $0.count == outcome.labels.count })
      else { continue }
      content += heading("\(name == FirstPass.prompt.rawValue ? "A" : "B"): \(name)")
      content += figure(
        ConfusionChart(title: "Dispatch by \(name)", labels: outcome.labels, counts: outcome.matrix),
        "\(outcome.correct) of \(outcome.count) prompts right, \(percent(outcome.accuracy)) % (95 %: "
          + "\(percent(outcome.ci95.lower)) to \(percent(outcome.ci95.upper))); \(percent(outcome.otherShare)) % were "
          + "given to other, the base; read by \(outcome.read.rawValue), template \(outcome.template).")
    }
    return section(
      title,
      "The newest evaluation on this model (job \(found.job.job), \(readable(time: found.job.ended ?? "-"))), of this and "
        + "every other task: rows are the true labels, columns what was given; a cell has its count and its share of the "
        + "row.", content)
  }

  private func percent(_ share: Double) -> String { fixed(share * 100, 1) }

  // MARK: - What was served when

  var log: String {
    let entries = mixtureLogEntries(data.log).map { entry in
      element(
        "li", ["class": entry.event],
        element("time", [:], markup(readable(time: entry.time))) + " "
          + element("b", [:], markup(entry.event == "served" ? "served, generation \(entry.generation)" : entry.event))
          + (entry.alpha.isEmpty ? "" : paragraph("\(entry.alpha) (\(entry.experts))"))
          + (entry.reason.isEmpty ? "" : paragraph(entry.reason, "quiet")))
    }
    return section(
      "What was served when",
      "Each mixture of this task on this model, and between them when it became stale; newest first.",
      entries.isEmpty ? missing("Nothing was served yet.") : element("ol", ["class": "log"], entries.joined()))
  }
}
