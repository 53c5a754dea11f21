import ResultText
import StrictJSON
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
      let params = try invocation.parameters(for: "dispatch.run")
      let result = try invocation.call("dispatch.run", params, timeout: .seconds(300))
      invocation.answer(result) { invocation.showDispatch(result) }
    },
    make(
      "dispatch evaluate", [.one("FILE")],
      decision + [.value("--limit", "N", "limit", "the first N rows")],
      methods: ["dispatch.evaluate", "job.wait"], "How well are labelled prompts sorted?",
      notes: "FILE is JSONL whose rows have a prompt (or question) and a label. Without --strategy the base and, where "
        + "there is one, the dispatcher expert are shown side by side."
    ) { invocation throws(ControlError) in
      var params = try invocation.parameters(for: "dispatch.evaluate")
      params["path"] = .string(try invocation.absolutePath(invocation.argument(0)))
      let started = try invocation.call("dispatch.evaluate", params)
      guard let job = try invocation.jobToWaitFor(started) else {
        return invocation.answer(started) { invocation.console.print("job \(started["job"].cell)") }
      }
      let result = job["result"] ?? job
      invocation.answer(result) { invocation.showDispatchEvaluation(result) }
    },
  ]
}

extension Invocation {
  fileprivate func showDispatch(_ result: JSONValue) {
    let decision = result["decision"]
    var table = Table(("LABEL", .left), ("PROBABILITY", .right), ("EXPERT", .left), ("CHOSEN", .left))
    for entry in decision?["probabilities"]?.arrayValue ?? [] {
      table.add([
        entry["label"].cell, fixed(entry["probability"]?.doubleValue ?? .nan, 4), expertText(entry["expert"]),
        entry["label"] == decision?["label"] ? "*" : "",
      ])
    }
    print(table, empty: "")
    if let note = decision?["note"]?.stringValue { console.note(prose(note)) }
    let seconds = result["seconds"]?["dispatch"]?.doubleValue ?? .nan
    console.note(
      console.styledNote(
        "\(escaped(result["strategy"].cell)), read by \(decision?["read"] == "generate" ? "generation" : "scoring"), on "
          + "\(escaped(result["model"].cell)): \(result["tokens"]?["prompt"].cell ?? "-") tokens in \(secondsText(seconds))",
        .dim))
  }

  /// A matrix for each strategy: a line for each true label, a column for each given one.
  fileprivate func showDispatchEvaluation(_ result: JSONValue) {
    for (index, (strategy, found)) in (result["strategies"]?.objectValue?.members ?? []).enumerated() {
      if index > 0 { console.print("") }
      let ends = (found["ci95"]?.arrayValue ?? []).compactMap(\.doubleValue).map { fixed($0, 3) }
      console.print(
        console.styled(escaped(strategy), .bold)
          + ": \(fixed(found["accuracy"]?.doubleValue ?? .nan, 3)) right (95 % \(ends.joined(separator: " to ")), n "
          + "\(found["n"].cell)), \(fixed(found["other_share"]?.doubleValue ?? .nan, 3)) given to the base")
      let labels = found["labels"]?.arrayValue?.map(\.cell) ?? []
      var table = Table(headings: ["TRUE LABEL"] + labels + ["n", "right"])
      for (label, row) in zip(labels, found["matrix"]?.arrayValue ?? []) {
        let counts = (row.arrayValue ?? []).compactMap(\.intValue)
        let total = counts.reduce(0, +)
        let right = zip(labels, counts).first { $0.0 == label }?.1 ?? 0
        table.add(
          [label] + counts.map(String.init)
            + ["\(total)", total == 0 ? "-" : fixed(Double(right) / Double(total), 3)])
      }
      print(table, empty: "")
    }
  }

  /// `science@2`, or that it is the base.
  func expertText(_ expert: JSONValue?) -> String { expert?.stringValue ?? "(base)" }
}
