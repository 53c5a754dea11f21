import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  static let mixtureVerbs: [Verb] = [
    make(
      "mixture get", [.one("TASK", "task")],
      [model, .value("--vectors", "FILE", nil, "write the mixed vectors too: a safetensors that is itself an expert")],
      methods: ["mixture.get"], "The best mixture of a task."
    ) { invocation throws(ControlError) in
      var params = try invocation.parameters(for: "mixture.get")
      let vectors = invocation.command.value("--vectors")
      if vectors != nil { params["pass_fd"] = true }
      let result = try invocation.call("mixture.get", params)
      if let vectors {
        try invocation.writePassedFile(to: vectors, bytes: result["vectors"]?["bytes"]?.integerValue)
        invocation.console.note(
          "wrote \(result["vectors"]?["bytes"]?.integerValue.map(bytesText) ?? "the vectors") to \(escaped(vectors))")
      }
      invocation.answer(result) { invocation.showMixture(result) }
    },
    make("mixture list", methods: ["mixture.list"], "The mixtures that are served.") {
      invocation throws(ControlError) in
      let result = try invocation.call("mixture.list")
      invocation.answer(result) {
        var table = Table(
          ("TASK", .left), ("MODEL", .left), ("SERVED", .left), ("ALPHA", .left), ("STALE", .left),
          ("GENERATION", .right))
        for mixture in result["mixtures"]?.arrayValue ?? [] {
          table.add([
            mixture["task"].cell, mixture["model"].cell, mixture["served"].cell,
            shortAlpha(mixture["alpha"]),
            mixture["stale"].cell, mixture["generation"].cell,
          ])
        }
        invocation.print(table, empty: "no mixtures yet")
      }
    },
    make(
      "mixture log", [.one("TASK", "task")], [model, .value("--limit", "N", "limit")],
      methods: ["mixture.log"], "What was served for a task, when, and why it changed."
    ) { invocation throws(ControlError) in
      let result = try invocation.call("mixture.log", try invocation.parameters(for: "mixture.log"))
      invocation.answer(result) {
        var table = Table(
          [
            ("GENERATION", .right), ("TIME", .left), ("MODEL", .left), ("NOW", .left), ("ALPHA", .left),
            ("EXPERTS", .left), ("REASON", .left), ("JOB", .right),
          ], keys: 1)
        for entry in mixtureLogEntries(result) {
          table.add([
            "\(entry.generation)", entry.time, entry.model, entry.event, entry.alpha, entry.experts, entry.reason,
            entry.job,
          ])
        }
        invocation.print(table, empty: "nothing was served yet")
      }
    },
  ]
}

extension Invocation {
  /// A mixture as two tables: the coefficients, and the scores beside the baselines.
  func showMixture(_ mixture: JSONValue) {
    let stale = mixture["stale"] == true ? console.styled(" (stale: a newer one is on its way)", .yellow) : ""
    console.print(
      "task \(escaped(mixture["task"].cell)) on \(escaped(mixture["model"].cell)), generation "
        + "\(mixture["generation"].cell), \(escaped(mixture["granularity"].cell)), mix \(escaped(mixture["mix"].cell))\(stale)"
    )
    let served = "served: " + escaped(Self.servedText(mixture))
    // A sentence, which on a terminal is broken between its words.
    let room = console.out.isTerminal ? console.out.columns ?? .max : .max
    for line in served.count > room ? wrap(served, columns: room, indentation: 2) : [served] { console.print(line) }
    console.print("")
    var coefficients = Table(("EXPERT", .left), ("VERSION", .right), ("ALPHA", .left))
    for (name, value) in mixture["alpha"]?.objectValue?.members ?? [] {
      let version = mixture["experts"]?.arrayValue?.first { $0["name"]?.stringValue == name }?["version"]
      let numbers = value.arrayValue?.compactMap(\.doubleValue)
      let shown =
        numbers.map { numbers in
          "\(fixed(numbers.min() ?? 0, 3)) to \(fixed(numbers.max() ?? 0, 3)) in \(numbers.count) units  \(sparkline(numbers))"
        } ?? fixed(value.doubleValue ?? 0, 4)
      coefficients.add([name, version.cell, shown])
    }
    print(coefficients, empty: "no coefficients: the base is served")
    guard let scores = mixture["scores"] else { return }
    console.print("")
    var table = Table(
      [
        (scores["metric"]?.stringValue.map { "SCORE (\($0))" } ?? "SCORE", .left), ("FIT", .right),
        ("HELD OUT", .right), ("EVAL", .right), ("95 %", .left), ("AGAINST BASE", .left),
        ("AGAINST BEST EXPERT", .left),
      ], keys: 1)
    func add(_ name: String, _ score: JSONValue?) {
      guard let score, score != .null else { return }
      func value(_ key: String) -> String {
        let part = score[key]
        return (part?["value"] ?? part?["score"] ?? part?["acc"] ?? part).cell
      }
      let eval = score["eval"]
      table.add([
        name, score.objectValue == nil ? score.cell : value("fit"), value("held_out"), value("eval"),
        evalInterval(eval), paired(eval?["versus_base"]), paired(eval?["versus_best_expert"]),
      ])
    }
    add("base", scores["base"])
    for (name, score) in scores["experts"]?.objectValue?.members ?? [] { add(name, score) }
    add("uniform", scores["uniform"])
    add("mixture", scores["mixture"])
    print(table, empty: "no scores")
    for warning in mixture["warnings"]?.arrayValue ?? [] { console.note("warning: \(escaped(warning.cell))") }
    if let vectors = mixture["vectors"], let path = vectors["path"]?.stringValue {
      console.print("")
      let size = vectors["bytes"]?.integerValue.map { " (\(bytesText($0)))" } ?? ""
      console.print("vectors: \(escaped(path))\(size)")
    }
  }

  /// What is served and why, in words: `served` of a mixture is "mixture", "base", "uniform" or an expert's name.
  private static func servedText(_ mixture: JSONValue) -> String {
    let what =
      switch mixture["served"]?.stringValue {
      case "mixture": "the mixture"
      case "base": "the base instead of the mixture"
      case "uniform": "all experts in equal parts instead of the mixture"
      case let name?: "the expert \(name) alone instead of the mixture"
      case nil: "-"
      }
    return mixture["served_because"]?.stringValue.map { "\(what): \($0)" } ?? what
  }

  /// Eight heights for a list of numbers, at most forty of them; nothing where no terminal can show it.
  func sparkline(_ values: [Double]) -> String {
    guard console.out.isTerminal, console.drawsBlocks, let low = values.min(), let high = values.max() else {
      return ""
    }
    let marks = Array("▁▂▃▄▅▆▇█")
    let count = min(40, values.count)
    return String(
      (0..<count).map { index in
        let value = values[count > 1 ? index * (values.count - 1) / (count - 1) : 0]
        return marks[high > low ? min(7, Int((value - low) / (high - low) * 8)) : 3]
      })
  }
}
