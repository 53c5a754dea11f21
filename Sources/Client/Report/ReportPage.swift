import ResultText
import Results

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

  var mixture: Mixture { data.mixture.mixture }
  var metric: String { mixture.scores.metric }
  var served: String { mixture.served }

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
      ("served", "\(served): \(mixture.servedBecause)"),
      ("rows", "\(data.task.rows) few-shot, \(data.task.evalRows) eval"),
      ("scored by", "\(metric), template \(mixture.template.replacing("\n", with: "\\n"))"),
      (
        "granularity",
        "\(mixture.granularity.rawValue), mix \(mixture.mix.rawValue), rescale \(mixture.rescale.rawValue)"
      ),
      ("found", readable(time: data.mixture.created)), ("generation", "\(data.mixture.generation)"),
      ("report made", readable(time: time)),
    ]
    let list = facts.map { element("dt", [:], markup($0)) + element("dd", [:], markup($1)) }
    let freshness =
      data.mixture.stale
      ? element(
        "p", ["class": "note"],
        markup(
          "Stale: \(data.mixture.staleReason ?? "-"). It is the last good one, and a newer one is on its way."))
      : paragraph("Up to date: nothing that it depends on has changed.", "quiet")
    let warnings = (mixture.warnings ?? []).map { element("p", ["class": "note"], markup($0)) }
    return element("h1", [:], markup(data.taskName)) + freshness + warnings.joined() + element("dl", [:], list.joined())
  }

  /// Last: they are for comparing and not for reading.
  private var digests: String {
    var digests = [("mixture", mixture.digest ?? "-")]
    digests += mixture.experts.map { ("\($0.name)@\($0.version)", $0.digest) }
    digests += [("base model", mixture.baseDigest), ("task", mixture.taskDigest)]
    let list = digests.map { element("dt", [:], markup($0)) + element("dd", [:], element("code", [:], markup($1))) }
    return section("Digests", "What the mixture is, and what it depends on.", element("dl", [:], list.joined()))
  }

  /// A sentence in the place of what is not there.
  func missing(_ why: String) -> String { paragraph(why, "missing") }
}
