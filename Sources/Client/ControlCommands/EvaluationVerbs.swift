import ResultText
import RPCProtocol
import StrictJSON
import SystemSupport

extension Verb {
  static let evaluationVerbs: [Verb] = [
    make(
      "evaluate", [.one("TASK", "task")],
      [
        .flag("--base", "base", "the model as it is (the default)"),
        .value("--expert", "E", "expert", "one expert: NAME or NAME@VERSION"),
        .flag("--mixture", "mixture", "the task's own mixture"),
        .value("--alpha", "E=A,...", "alpha", "your own mixture: science=0.7,social=0.3"),
        .value("--mix", "RULE", "mix", "how --alpha mixes: sum or delta"),
        .value(
          "--strategy", "S", "strategy",
          "none, expert, mixture, prompt (the base decides row by row) or classifier (a dispatcher does)"),
        .flag("--compare", "compare", "base, experts, prompt, classifier and mixture side by side on the same rows"),
        .value("--read", "HOW", "read", "score (the likeliest label) or generate (the last \\boxed{} of an answer)"),
        .value("--dispatcher", "E", "dispatcher", "the dispatcher expert, where there are several"),
        model,
        .value("--rows", "ROWS", "rows", "eval, fewshot or train"),
        .value("--limit", "N", "limit", "the first N rows"),
      ],
      methods: ["evaluate.run", "job.wait"], "Score a model on the evaluation rows of a task.",
      notes: "With --compare one table, each score with its Wilson interval and with McNemar's exact test, row by row, "
        + "against the base and against the expert that does best on these rows. The prompt that is sorted is the row's "
        + "question alone, or the whole of a template of the task's own. Rows of code are run with their tests, in a "
        + "sandbox, where the configuration has code.enabled."
    ) { invocation throws(ControlError) in
      let result = try invocation.call("evaluate.run", try invocation.parameters(for: "evaluate.run"))
      guard let job = try invocation.jobToWaitFor(result) else {
        return invocation.answer(result) { invocation.console.print("job \(result["job"].cell)") }
      }
      let scores = job["result"] ?? job
      invocation.answer(scores) {
        if invocation.command.has("--compare") {
          invocation.showComparison(scores)
        } else {
          invocation.showEvaluation(scores)
        }
      }
    },
    make(
      "sweep", [.one("TASK", "task")],
      Option.all(of: SweepRun.self, but: ["task"]) + [
        output("write a plot too, an SVG picture")
      ],
      methods: ["sweep.run", "job.wait"], "What do more shots or a larger budget bring?",
      notes:
        "Searches the task's mixture for every number of shots, budget and seed, and publishes none. The shots of a "
        + "seed are the first ones of the order that it gives the few-shot rows, so its fewer are among its more. The eval "
        + "rows are read when every search has ended."
    ) { invocation throws(ControlError) in try invocation.sweep() },
  ]
}

extension Invocation {
  /// The scores of one evaluation; its items are for programs.
  fileprivate func showEvaluation(_ scores: JSONValue) {
    var shown = scores.objectValue ?? [:]
    let items = shown["items"]?.arrayValue?.count
    shown["items"] = nil
    let labels = shown["labels"]
    shown["labels"] = nil
    showMembers(.object(shown))
    if let labels { console.print("labels: \(escaped(Self.labelShares(labels)))") }
    if let items { console.note("\(items) items; --json has them") }
  }

  /// In the manner of table 2 of arXiv 2501.06252: a line for each strategy.
  fileprivate func showComparison(_ result: JSONValue) {
    let columns = result["columns"]?.arrayValue ?? []
    let metric = result["metric"]?.stringValue ?? ""
    console.print(
      "task \(escaped(result["task"].cell)): \(result["n"].cell) \(escaped(result["split"].cell)) rows, metric "
        + "\(escaped(metric)), template \(escaped(result["template"].cell))")
    // The metric that decides comes first, the other one beside it.
    let others = ["acc", "acc_norm"].filter { name in name != metric && columns.contains { $0[name] != nil } }
    var table = Table(
      headings: ["STRATEGY", "N", metric.uppercased()] + others.map { $0.uppercased() } + [
        "95 %", "AGAINST BASE", "AGAINST BEST EXPERT", "LABELS", "SECONDS",
      ])
    for column in columns {
      table.add(
        [Self.columnName(column), column["n"].cell, column["score"].cell] + others.map { column[$0].cell } + [
          interval95(column["ci95"]), paired(column["versus_base"]),
          paired(column["versus_best_expert"]), column["labels"].map { Self.labelShares($0) } ?? "-",
          fixed(column["seconds"]?.doubleValue ?? 0, 1),
        ])
    }
    print(table, empty: "no columns")
    if let best = result["best_expert"]?.stringValue {
      console.note("the best expert is \(escaped(best)): picked on these very rows, which flatters it")
    }
    if columns.contains(where: { $0["labels"] != nil }) {
      console.note(
        "rows that are sorted have the answers of the base and the experts above; their seconds are those of deciding")
    }
    for note in result["notes"]?.arrayValue ?? [] { console.note(escaped(note.cell)) }
    for skipped in result["skipped"]?.arrayValue ?? [] {
      console.note("no \(escaped(skipped["column"].cell)): \(escaped(skipped["reason"].cell))")
    }
  }

  /// The paper's letters beside the names that other commands take.
  private static func columnName(_ column: JSONValue) -> String {
    switch column["strategy"]?.stringValue {
    case "prompt": "A prompt"
    case "classifier": "B classifier"
    case "mixture": "C mixture"
    default: column["column"].cell
    }
  }

  /// "science 0.62, other 0.38".
  static func labelShares(_ labels: JSONValue) -> String {
    (labels.arrayValue ?? []).map { "\($0["label"].cell) \(fixed($0["share"]?.doubleValue ?? 0, 2))" }
      .joined(separator: ", ")
  }
}
