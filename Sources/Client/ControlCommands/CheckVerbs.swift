import RPCClient
import RPCProtocol
import ResultText
import Results
import Settings
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
    ) { invocation throws(ControlError) in try invocation.runCheck(.shuffle) },
    make(
      "check transfer", [.one("EXPERT", "expert")],
      [.value("--to", "MODEL", "model", "the model that it is tried on")] + checkOptions,
      methods: ["check.run", "job.wait"], "Does an expert help another model of the same shapes?",
      notes: "Compares it there with the base and with permutations of its own multipliers. Ends with status 5 where "
        + "it is no better than they are."
    ) { invocation throws(ControlError) in try invocation.runCheck(.transfer) },
    make(
      "check list", [.optional("EXPERT", "expert")], [newest],
      methods: ["check.list"], "The checks that were made, and those on their way."
    ) { invocation throws(ControlError) in
      let list = try invocation.list(
        CheckList.self, try invocation.parameters(for: CheckList.self), standard: Verb.newestRows)
      invocation.answer(list) { list in
        var table = Table(
          [
            ("CHECK", .right), ("KIND", .left), ("EXPERT", .left), ("MODEL", .left), ("TASK", .left),
            ("VERDICT", .left), ("P", .right), ("EFFECT", .right), ("CI95", .left), ("N", .right),
          ], keys: 1)
        for job in list.pending {
          table.add([
            "-", job.kind.rawValue, "\(job.expert)@\(job.version)", job.model ?? "-", job.task ?? "-",
            "\(job.state.rawValue) (job \(job.job))", "-", "-", "-", "-",
          ])
        }
        for check in list.checks {
          table.add([
            "\(check.check)", check.kind.rawValue, "\(check.expert)@\(check.version)", check.model, check.task,
            check.verdict.rawValue, shortP(check.p), signed(check.effect), interval(check.ci95), "\(check.n)",
          ])
        }
        invocation.print(table, empty: "no checks yet; make one with: t2ctl check shuffle EXPERT")
      }
    },
    make("check show", [.one("CHECK", "check")], methods: ["check.show"], "One check with all its numbers.") {
      invocation throws(ControlError) in
      let check = try invocation.call(CheckShow.self, try invocation.parameters(for: CheckShow.self))
      invocation.answer(check) { check in
        let row = check.row
        invocation.showCheck(
          "\(row.kind.rawValue) check of \(row.expert)@\(row.version) on \(row.model), task \(row.task)", row.kind,
          row.verdict, passes: row.passes, count: row.n, split: row.split, check.byMetric)
      }
    },
  ]
}

extension Invocation {
  fileprivate func runCheck(_ kind: CheckKind) throws(ControlError) {
    var params = try parameters(for: CheckRun.self)
    params["kind"] = .string(kind.rawValue)
    let started = try call(CheckRun.self, params)
    guard let job = try jobToWaitFor(started.job) else { return answer(started) { console.print("job \($0.job)") } }
    let result = try read(job["result"] ?? .null, as: CheckResult.self, of: "job.wait")
    // As it came, with what was asked.
    var whole = job["result"]?.objectValue ?? [:]
    for key in ["expert", "version", "model", "task", "kind"] { whole[key] = started.json[key] }
    let about = "\(started.expert)@\(started.version)"
    answer(.object(whole)) {
      showCheck(
        "\(kind.rawValue) check of \(about) on \(started.model), task \(started.task)", kind, result.decisive.verdict,
        passes: result.passes, count: result.count, split: result.split, result.outcomes)
    }
    if result.decisive.verdict == .noBetterThanShuffled {
      throw .bad("\(escaped(about)) is no better than shuffled copies of itself")
    }
  }

  /// A check as its verdict, then a table of what was scored, then the two comparisons.
  fileprivate func showCheck(
    _ title: String, _ kind: CheckKind, _ verdict: CheckVerdict, passes: Bool, count: Int, split: RowSplit,
    _ outcomes: [CheckResult.Outcome]
  ) {
    let color: Console.Style =
      switch verdict {
      case .ordered: .green
      case .inconclusive: .yellow
      case .noBetterThanShuffled: .red
      }
    console.print(
      escaped(title) + ", \(count) \(split.rawValue) rows: "
        + console.styled(verdict.rawValue.replacing("_", with: " "), color))
    if split == .fewshot {
      console.print("the task has no eval rows, and few-shot rows prove nothing: no verdict but inconclusive")
    }
    console.print("")
    var table = Table(
      ("METRIC", .left), ("BASE", .right), ("EXPERT", .right), ("SHUFFLES", .left), ("VERDICT", .left))
    for outcome in outcomes {
      let scores = outcome.scores
      table.add([
        outcome.metric, fixed(scores.base, 4), fixed(scores.expert, 4),
        scores.shuffles.map { fixed($0, 4) }.joined(separator: " "), outcome.verdict.rawValue,
      ])
    }
    print(table, empty: "no scores")
    console.print("")
    var comparisons = Table(
      [
        ("EXPERT AGAINST", .left), ("METRIC", .left), ("EFFECT", .right), ("CI95", .left), ("P", .right),
        ("WON", .left), ("LOST", .left),
      ], keys: 2)
    for outcome in outcomes {
      for (name, comparison) in [("its shuffles", outcome.versusShuffles), ("the base", outcome.versusBase)] {
        comparisons.add([
          name, outcome.metric, signed(comparison.effect), interval(comparison.ci95), shortP(comparison.p),
          comparison.won.map { "\($0)" }.joined(separator: " "),
          comparison.lost.map { "\($0)" }.joined(separator: " "),
        ])
      }
    }
    print(comparisons, empty: "")
    if kind == .transfer {
      console.print("")
      console.print(
        passes
          ? "it passes: ordered, and no harm to the base"
          : "it does not pass: it must be ordered and do the base no harm")
    }
  }
}

/// A check in one line.
func shortCheck(_ check: CheckRow) -> String {
  let action = check.action == .warn ? "" : ", \(check.action.rawValue)"
  return "\(check.kind.rawValue) on \(check.model), task \(check.task): \(check.verdict.rawValue) "
    + "(p \(shortP(check.p)), effect \(signed(check.effect)), n \(check.n)\(action))"
}
