import RPCProtocol
import ResultText
import Results
import SystemSupport

extension Verb {
  private static let decision: [Option] = [
    .value("--strategy", "S", "strategy", "prompt: the base decides; classifier: a dispatcher expert does"),
    .value("--read", "HOW", "read", "score (the likeliest label) or generate (the last \\boxed{} of an answer)"),
    .value("--dispatcher", "E", "dispatcher", "the dispatcher expert, where there are several"),
    model,
  ]

  static let dispatchVerbs: [Verb] = [
    make(
      "dispatch", [.one("PROMPT", "prompt")], decision, methods: ["dispatch.run"],
      "Which expert does a prompt belong to?",
      notes: "Answers nothing else; 't2ctl ask --strategy prompt' decides and answers. PROMPT may be -, for standard "
        + "input, and stands after -- where it is the word 'evaluate'."
    ) { invocation throws(ControlError) in
      let params = try invocation.parameters(for: DispatchRun.self)
      invocation.answer(try invocation.call(DispatchRun.self, params, timeout: .seconds(300))) {
        invocation.showDispatch($0)
      }
    },
    make(
      "dispatch evaluate", [.one("FILE")],
      decision + [.value("--limit", "N", "limit", "the first N rows")],
      methods: ["dispatch.evaluate", "job.wait"], "How well are labelled prompts sorted?",
      notes: "FILE is JSONL whose rows have a prompt (or question) and a label. Without --strategy the base and, where "
        + "there is one, the dispatcher expert are shown side by side."
    ) { invocation throws(ControlError) in
      let started = try invocation.call(
        DispatchEvaluate.self, try invocation.parameters(for: DispatchEvaluate.self), reading: invocation.argument(0))
      try invocation.finish(started, job: started.job, DispatchEvaluateResult.self) {
        invocation.showDispatchEvaluation($0)
      }
    },
  ]
}

extension Invocation {
  fileprivate func showDispatch(_ result: DispatchRun.Result) {
    let decision = result.decision
    var table = Table(("LABEL", .left), ("PROBABILITY", .right), ("EXPERT", .left), ("CHOSEN", .left))
    for entry in decision.probabilities {
      table.add([
        entry.label, fixed(entry.probability, 4), entry.expert ?? "(base)", entry.label == decision.label ? "*" : "",
      ])
    }
    print(table, empty: "")
    if let note = decision.note { console.note(prose(note)) }
    console.note(
      console.styledNote(
        "\(result.strategy.rawValue), read by \(decision.read == .generate ? "generation" : "scoring"), on "
          + "\(escaped(result.model)): \(result.tokens.prompt) tokens in \(secondsText(result.seconds.dispatch))",
        .dim))
  }

  /// A matrix for each strategy: a line for each true label, a column for each given one.
  fileprivate func showDispatchEvaluation(_ result: DispatchEvaluateResult) {
    for (index, strategy) in result.strategies.entries.enumerated() {
      let found = strategy.value
      if index > 0 { console.print("") }
      console.print(
        console.styled(escaped(strategy.name), .bold)
          + ": \(fixed(found.accuracy, 3)) right (95 % \(interval95(found.ci95)), n \(found.count)), "
          + "\(fixed(found.otherShare, 3)) given to the base")
      var table = Table(headings: ["TRUE LABEL"] + found.labels + ["n", "right"])
      for (label, counts) in zip(found.labels, found.matrix) {
        let total = counts.reduce(0, +)
        let right = zip(found.labels, counts).first { $0.0 == label }?.1 ?? 0
        table.add(
          [label] + counts.map(String.init)
            + ["\(total)", total == 0 ? "-" : fixed(Double(right) / Double(total), 3)])
      }
      print(table, empty: "")
    }
  }
}
