import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  private static let checkOptions: [Option] = [
    .value("--task", "T", "task", "on this task's eval rows; default: the expert's own task"),
    .value("--seeds", "N", "seeds", "how many shuffles; default 5, or as configured"),
    .value("--rows", "N", "rows", "the first N rows; default 200, or as configured"),
    .value("--seed", "S", "seed", "of the first shuffle; the next ones count on"),
  ]

  static let checkVerbs: [Verb] = [
    make(
      "check shuffle", [.one("EXPERT", "expert")], checkOptions, methods: ["check.run", "job.wait"],
      "Is an expert better than shuffled copies of itself?",
      notes: "Compares it row by row with permutations of its own multipliers. Ends with status 5 where it is no "
        + "better than they are."
    ) { invocation throws(ControlError) in try invocation.runCheck("shuffle") },
    make(
      "check transfer", [.one("EXPERT", "expert")],
      [.value("--to", "MODEL", "model", "the model that it is tried on")] + checkOptions,
      methods: ["check.run", "job.wait"], "Does an expert help another model of the same shapes?",
      notes: "Compares it there with the base and with permutations of its own multipliers. Ends with status 5 where "
        + "it is no better than they are."
    ) { invocation throws(ControlError) in try invocation.runCheck("transfer") },
    make(
      "check list", [.optional("EXPERT", "expert")], [.value("--limit", "N", "limit")],
      methods: ["check.list"], "The checks that were made, and those on their way."
    ) { invocation throws(ControlError) in
      let result = try invocation.call("check.list", try invocation.parameters(for: "check.list"))
      invocation.answer(result) {
        var table = Table(
          [
            ("CHECK", .right), ("KIND", .left), ("EXPERT", .left), ("MODEL", .left), ("TASK", .left),
            ("VERDICT", .left), ("P", .right), ("EFFECT", .right), ("CI95", .left), ("N", .right),
          ], keys: 1)
        for job in result["pending"]?.arrayValue ?? [] {
          table.add([
            "-", job["kind"].cell, "\(job["expert"].cell)@\(job["version"].cell)", job["model"].cell,
            job["task"].cell, "\(job["state"].cell) (job \(job["job"].cell))", "-", "-", "-", "-",
          ])
        }
        for check in result["checks"]?.arrayValue ?? [] {
          table.add([
            check["check"].cell, check["kind"].cell, "\(check["expert"].cell)@\(check["version"].cell)",
            check["model"].cell, check["task"].cell, check["verdict"].cell, shortP(check["p"]),
            signed(check["effect"]), interval(check["ci95"]), check["n"].cell,
          ])
        }
        invocation.print(table, empty: "no checks yet; make one with: t2ctl check shuffle EXPERT")
      }
    },
    make("check show", [.one("CHECK", "check")], methods: ["check.show"], "One check with all its numbers.") {
      invocation throws(ControlError) in
      let result = try invocation.call("check.show", try invocation.parameters(for: "check.show"))
      invocation.answer(result) { invocation.showCheck(result) }
    },
  ]
}

extension Invocation {
  fileprivate func runCheck(_ kind: String) throws(ControlError) {
    var params = try parameters(for: "check.run")
    params["kind"] = .string(kind)
    let started = try call("check.run", params)
    guard let job = try jobToWaitFor(started) else {
      return answer(started) { console.print("job \(started["job"].cell)") }
    }
    var check = (job["result"] ?? job).objectValue ?? [:]
    for key in ["expert", "version", "model", "task", "kind"] { check[key] = started[key] }
    let result = JSONValue.object(check)
    answer(result) { showCheck(result) }
    if result["verdict"] == "no_better_than_shuffled" {
      throw .bad(
        "\(escaped(started["expert"].cell))@\(started["version"].cell) is no better than shuffled copies of itself")
    }
  }

  /// A check as its verdict, then a table of what was scored, then the two comparisons.
  fileprivate func showCheck(_ check: JSONValue) {
    let verdict = check["verdict"]?.stringValue ?? "-"
    let color: Console.Style = verdict == "ordered" ? .green : verdict == "inconclusive" ? .yellow : .red
    console.print(
      "\(escaped(check["kind"].cell)) check of \(escaped(check["expert"].cell))@\(check["version"].cell) on "
        + "\(escaped(check["model"].cell)), task \(escaped(check["task"].cell)), \(check["n"].cell) "
        + "\(escaped(check["split"].cell)) rows: "
        + console.styled(escaped(verdict.replacing("_", with: " ")), color))
    if check["split"] == "fewshot" {
      console.print("the task has no eval rows, and few-shot rows prove nothing: no verdict but inconclusive")
    }
    console.print("")
    var table = Table(
      ("METRIC", .left), ("BASE", .right), ("EXPERT", .right), ("SHUFFLES", .left), ("VERDICT", .left))
    for outcome in check["by_metric"]?.arrayValue ?? [] {
      let scores = outcome["scores"]
      let shuffles = (scores?["shuffles"]?.arrayValue ?? []).compactMap(\.doubleValue)
      table.add([
        outcome["metric"].cell, fixed(scores?["base"]?.doubleValue ?? .nan, 4),
        fixed(scores?["expert"]?.doubleValue ?? .nan, 4), shuffles.map { fixed($0, 4) }.joined(separator: " "),
        outcome["verdict"].cell,
      ])
    }
    print(table, empty: "no scores")
    console.print("")
    var comparisons = Table(
      [
        ("EXPERT AGAINST", .left), ("METRIC", .left), ("EFFECT", .right), ("CI95", .left), ("P", .right),
        ("WON", .left), ("LOST", .left),
      ], keys: 2)
    for outcome in check["by_metric"]?.arrayValue ?? [] {
      for (name, key) in [("its shuffles", "versus_shuffles"), ("the base", "versus_base")] {
        let comparison = outcome[key]
        func counts(_ key: String) -> String {
          (comparison?[key]?.arrayValue ?? []).map(\.cell).joined(separator: " ")
        }
        comparisons.add([
          name, outcome["metric"].cell, signed(comparison?["effect"]), interval(comparison?["ci95"]),
          shortP(comparison?["p"]), counts("won"), counts("lost"),
        ])
      }
    }
    print(comparisons, empty: "")
    if check["kind"] == "transfer" {
      console.print("")
      console.print(
        check["passes"] == true
          ? "it passes: ordered, and no harm to the base"
          : "it does not pass: it must be ordered and do the base no harm")
    }
  }
}

/// A check in one line.
func shortCheck(_ check: JSONValue) -> String {
  let action = check["action"]?.stringValue.flatMap { $0 == "warn" ? nil : ", \($0)" } ?? ""
  return "\(check["kind"].cell) on \(check["model"].cell), task \(check["task"].cell): \(check["verdict"].cell) "
    + "(p \(shortP(check["p"])), effect \(signed(check["effect"])), n \(check["n"].cell)\(action))"
}
