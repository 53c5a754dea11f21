import RPCProtocol
import Records
import ResultText
import Results
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
      let started = try invocation.call(EvaluateRun.self, try invocation.parameters(for: EvaluateRun.self))
      if invocation.command.has("--compare") {
        try invocation.finish(started, job: started.job, CompareResult.self) { invocation.showComparison($0) }
      } else {
        try invocation.finish(started, job: started.job, EvaluateResult.self) { invocation.showEvaluation($0) }
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
  fileprivate func showEvaluation(_ result: EvaluateResult) {
    var members = RecordWriter.object(result)
    for hidden in ["items", "labels"] { members[hidden] = nil }
    showMembers(.object(members))
    if let labels = result.sorting.labels { console.print("labels: \(escaped(Self.shares(labels)))") }
    console.note("\(result.items.count) items; --json has them")
  }

  /// In the manner of table 2 of arXiv 2501.06252: a line for each strategy.
  fileprivate func showComparison(_ result: CompareResult) {
    let columns = result.columns
    console.print(
      "task \(escaped(result.task)): \(result.count) \(result.split.rawValue) rows, metric "
        + "\(escaped(result.metric)), template \(escaped(result.template))")
    // The metric that decides comes first, the other one beside it.
    let metrics: [(name: String, path: KeyPath<MetricScores, Double?>)] = [("acc", \.acc), ("acc_norm", \.accNorm)]
    let others = metrics.filter { metric in
      metric.name != result.metric && columns.contains { $0.scores[keyPath: metric.path] != nil }
    }
    var table = Table(
      headings: ["STRATEGY", "N", result.metric.uppercased()] + others.map { $0.name.uppercased() } + [
        "95 %", "AGAINST BASE", "AGAINST BEST EXPERT", "LABELS", "SECONDS",
      ])
    for column in columns {
      table.add(
        [Self.name(of: column), "\(column.count)", cell(column.score)]
          + others.map { cell(column.scores[keyPath: $0.path]) } + [
            interval95(column.ci95), paired(column.versusBase), paired(column.versusBestExpert),
            column.sorting.labels.map { Self.shares($0) } ?? "-", fixed(column.seconds, 1),
          ])
    }
    print(table, empty: "no columns")
    if let best = result.bestExpert {
      console.note("the best expert is \(escaped(best)): picked on these very rows, which flatters it")
    }
    if columns.contains(where: { $0.sorting.labels != nil }) {
      console.note(
        "rows that are sorted have the answers of the base and the experts above; their seconds are those of deciding")
    }
    for note in result.notes { console.note(escaped(note)) }
    for skipped in result.skipped { console.note("no \(escaped(skipped.name)): \(escaped(skipped.reason))") }
  }

  /// The paper's letters beside the names that other commands take.
  private static func name(of column: CompareResult.Column) -> String {
    switch column.strategy {
    case .prompt: "A prompt"
    case .classifier: "B classifier"
    case .mixture: "C mixture"
    case .base, .expert: column.name
    }
  }

  /// "science 0.62, other 0.38".
  private static func shares(_ labels: [RowSorting.Label]) -> String {
    labels.map { "\($0.label) \(fixed($0.share, 2))" }.joined(separator: ", ")
  }
}
