import ResultText
import StrictJSON

/// A task's report as one HTML file: pure, so that every part of it has a test.
package struct ReportPage {
  let data: ReportData
  private let time: String
  private let version: String

  /// `time` is when it is made, as the daemon writes moments; `version` is the one of t2ctl.
  package init(data: ReportData, time: String, version: String) {
    self.data = data
    self.time = time
    self.version = version
  }

  var mixture: JSONValue { data.mixture }
  /// What the search's job says, more than `mixture.get` does.
  var result: JSONValue? { data.search?["result"] }
  var metric: String { mixture["scores"]?["metric"]?.stringValue ?? "score" }
  var served: String { mixture["served"]?.stringValue ?? "mixture" }

  /// The whole file, which loads nothing and runs no script.
  package var html: String {
    page(
      title: "\(data.taskName) on \(data.model)",
      head + scores + alpha + convergence + configurations + checks + dispatch + log + costs + items + digests
        + paragraph(
          "Made by t2ctl \(version) at \(readable(time: time)). One file: nothing else is loaded.", "quiet"))
  }

  private var head: String {
    let facts: [(String, String)] = [
      ("model", data.model),
      ("served", "\(served): \(mixture["served_because"].cell)"),
      ("rows", "\(data.task["rows"].cell) few-shot, \(data.task["eval_rows"].cell) eval"),
      ("scored by", "\(metric), template \(mixture["template"].cell.replacing("\n", with: "\\n"))"),
      ("granularity", "\(mixture["granularity"].cell), mix \(mixture["mix"].cell), rescale \(mixture["rescale"].cell)"),
      ("found", readable(time: mixture["created"].cell)), ("generation", mixture["generation"].cell),
      ("report made", readable(time: time)),
    ]
    let list = facts.map { element("dt", [:], markup($0)) + element("dd", [:], markup($1)) }
    let isStale = mixture["stale"] == true
    let freshness =
      isStale
      ? element(
        "p", ["class": "note"],
        markup("Stale: \(mixture["stale_reason"].cell). It is the last good one, and a newer one is on its way."))
      : paragraph("Up to date: nothing that it depends on has changed.", "quiet")
    let warnings = (mixture["warnings"]?.arrayValue ?? []).map { element("p", ["class": "note"], markup($0.cell)) }
    return element("h1", [:], markup(data.taskName)) + freshness + warnings.joined() + element("dl", [:], list.joined())
  }

  /// Last: they are for comparing and not for reading.
  private var digests: String {
    var digests = [("mixture", mixture["digest"].cell)]
    digests += (mixture["experts"]?.arrayValue ?? []).map {
      ("\($0["name"].cell)@\($0["version"].cell)", $0["digest"].cell)
    }
    digests += [("base model", mixture["base_digest"].cell), ("task", mixture["task_digest"].cell)]
    let list = digests.map { element("dt", [:], markup($0)) + element("dd", [:], element("code", [:], markup($1))) }
    return section("Digests", "What the mixture is, and what it depends on.", element("dl", [:], list.joined()))
  }

  /// A sentence in the place of what is not there.
  func missing(_ why: String) -> String { paragraph(why, "missing") }
}
