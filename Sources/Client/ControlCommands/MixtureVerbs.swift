import Experts
import Glibc
import RPCClient
import RPCProtocol
import ResultText
import Results
import StrictJSON
import SystemSupport

extension Verb {
  static let mixtureVerbs: [Verb] = [
    make(
      "mixture get", [.one("TASK", "task")],
      [model, .value("--vectors", "FILE", nil, "write the mixed vectors too: a safetensors that is itself an expert")],
      methods: ["mixture.get"], "The best mixture of a task.",
      notes:
        "Where the shots tell no expert and no mixture from the base, as when all their answers are wrong, the base is "
        + "served, and no signal is said."
    ) { invocation throws(ControlError) in
      var params = try invocation.parameters(for: MixtureGet.self)
      let path = invocation.command.value("--vectors")
      if path != nil { params["pass_fd"] = true }
      let mixture = try invocation.mixture(params)
      if let path {
        try invocation.writePassedFile(to: path, bytes: mixture.vectors.bytes)
        invocation.console.note("wrote \(bytesText(Int64(mixture.vectors.bytes))) to \(escaped(path))")
      }
      invocation.answer(mixture) { invocation.showMixture($0) }
    },
    make("mixture list", [], [limit], methods: ["mixture.list"], "The mixtures that are served.") {
      invocation throws(ControlError) in
      invocation.answer(try invocation.list(MixtureList.self, try invocation.parameters(for: MixtureList.self))) {
        list in
        var table = Table(
          ("TASK", .left), ("MODEL", .left), ("SERVED", .left), ("ALPHA", .left), ("STALE", .left),
          ("GENERATION", .right))
        for mixture in list.mixtures {
          table.add([
            mixture.task, mixture.model, servedCell(mixture.served, noSignal: mixture.noSignal),
            shortAlpha(mixture.alpha),
            mixture.damaged != nil ? "damaged" : mixture.stale ? "yes" : "no",
            "\(mixture.generation)",
          ])
        }
        invocation.print(table, empty: "no mixtures yet")
      }
    },
    make(
      "mixture log", [.one("TASK", "task")], [model, newest],
      methods: ["mixture.log"], "What was served for a task, when, and why it changed."
    ) { invocation throws(ControlError) in
      let log = try invocation.list(
        MixtureLog.self, try invocation.parameters(for: MixtureLog.self), standard: Verb.newestRows)
      invocation.answer(log) { log in
        var table = Table(
          [
            ("GENERATION", .right), ("TIME", .left), ("MODEL", .left), ("NOW", .left), ("ALPHA", .left),
            ("EXPERTS", .left), ("REASON", .left), ("JOB", .right),
          ], keys: 1)
        for entry in mixtureLogEntries(log) {
          table.add([
            "\(entry.generation)", entry.time, entry.model, entry.event, entry.alpha, entry.experts, entry.reason,
            entry.job,
          ])
        }
        invocation.print(table, empty: "nothing was served yet")
      }
    },
    make(
      "mixture ablate", [.one("TASK", "task")], Option.all(of: MixtureAblate.self, but: ["task"]),
      methods: ["mixture.ablate", "job.wait"], "Which experts does a task's mixture need?",
      notes: "Scores the eval rows under the mixture that is served, under the base, and under the mixture with each "
        + "expert's coefficients at zero, with McNemar's exact test, row by row, against the mixture. Nothing is "
        + "searched anew, and what is served stays."
    ) { invocation throws(ControlError) in
      let started = try invocation.call(MixtureAblate.self, try invocation.parameters(for: MixtureAblate.self))
      if let reason = started.staleReason {
        invocation.console.note("the mixture is stale: \(escaped(reason))")
      }
      try invocation.finish(started, job: started.job, AblateResult.self) { invocation.showAblation($0) }
    },
    make(
      "mixture export", [.one("NAME", "name"), .one("DIR")],
      [
        model,
        .flag(
          "--vllm", nil, "the container of s - 1, exact, for a vLLM with t2d's extension; others answer as the base"),
        .value("--lora", "RANK", "rank", "a LoRA of this rank, for any server; what it misses is said"),
      ], methods: ["mixture.export"], "Write a mixture or an expert as an adapter.",
      notes:
        "NAME is TASK[@GENERATION], else EXPERT[@VERSION]; expert:NAME[@VERSION]; or a mixture, as math=0.7+code@2=0.3 with "
        + "#sum or #delta behind it where it matters. DIR is new, and is there whole when this ends, or not at all: "
        + "adapter_config.json and adapter_model.safetensors, as PEFT lays them out. A LoRA of rank K is exact where at most K "
        + "multipliers of each matrix are not 1, as in experts of 'train --components K'."
    ) { invocation throws(ControlError) in try invocation.exportMixture() },
  ]
}

extension Invocation {
  /// Writes the two files beside DIR, and gives them its name.
  fileprivate func exportMixture() throws(ControlError) {
    guard command.has("--vllm") != command.has("--lora") else {
      throw .usage(
        "t2ctl mixture export needs either --vllm or --lora RANK",
        hint: "--vllm is exact and needs t2d's extension; --lora is for any server")
    }
    var params = try parameters(for: MixtureExport.self)
    params["pass_fd"] = true
    let made = try call(MixtureExport.self, params, timeout: .seconds(3600))
    let path = try absolutePath(argument(1))
    let (parent, name) = FileSystem.split(path)
    let temporary = "\(parent)/.\(name).\(String(UInt64.random(in: 0 ... .max), radix: 36)).tmp"
    do throws(SystemCallError) { try FileSystem.createDirectories(temporary) } catch { throw .file(error) }
    defer { _ = try? FileSystem.removeTree(temporary) }
    try writePassedFile(to: "\(temporary)/\(AdapterFiles.weights)", bytes: made.bytes)
    do throws(SystemCallError) {
      try FileSystem.writeAtomically(
        "\(temporary)/\(AdapterFiles.configuration)", JSONValue.object(made.configuration).serialized(pretty: true),
        mode: 0o644)
      try FileSystem.rename(temporary, to: path)
    } catch  where [EEXIST, ENOTEMPTY, ENOTDIR].contains(error.number) {
      throw .failed("'\(escaped(path))' exists, and nothing is overwritten; name another directory, or remove it first")
    } catch {
      throw .file(error)
    }
    answer(made) { made in
      for warning in made.warnings ?? [] { console.note("warning: \(escaped(warning))") }
      console.print(
        "\(escaped(made.name)) on \(escaped(made.model)): wrote \(bytesText(Int64(made.bytes))) to \(escaped(path))")
      console.print("digest: \(made.digest)")
      if let fit = made.fit { console.print(Self.fitText(fit)) }
    }
  }

  private static func fitText(_ fit: LowRankFit) -> String {
    guard !fit.exact else {
      return "exact: no matrix has more than \(fit.components) multipliers other than 1, and the rank is \(fit.rank)"
    }
    return
      "not exact: up to \(fit.components) multipliers of a matrix are not 1; rank \(fit.rank) keeps "
      + "\(fixed(fit.energyMean * 100, 2)) % of the squared change of a matrix on average, "
      + "\(fixed(fit.energyLeast * 100, 2)) % at least, and the relative error of all together is \(fixed(fit.relativeError, 4))"
  }

  /// What is served for a task.
  func mixture(_ params: JSONObject) throws(ControlError) -> Answer<MixtureGet.Served> {
    let answer = try call(MixtureGet.self, params)
    guard case .served(let served) = answer.value else {
      throw .failed("t2d says that nothing is new, which was not asked")
    }
    return Answer(served, json: answer.json)
  }

  /// A mixture as two tables: the coefficients, and the scores beside the baselines.
  func showMixture(_ served: MixtureGet.Served) {
    let mixture = served.mixture
    let stale = served.stale ? console.styled(" (stale: a newer one is on its way)", .yellow) : ""
    console.print(
      "task \(escaped(served.task)) on \(escaped(served.model)), generation \(served.generation), "
        + "\(mixture.granularity.rawValue), mix \(mixture.mix.rawValue)\(stale)")
    let why = "served: " + escaped("\(Self.servedText(mixture.served)): \(mixture.servedBecause)")
    // A sentence, which on a terminal is broken between its words.
    let room = console.out.isTerminal ? console.out.columns ?? .max : .max
    for line in why.count > room ? wrap(why, columns: room, indentation: 2) : [why] { console.print(line) }
    console.print("")
    var coefficients = Table(("EXPERT", .left), ("VERSION", .right), ("ALPHA", .left))
    for (name, value) in mixture.alpha.entries.map({ ($0.name, $0.value) }) {
      let version = mixture.experts.first { $0.name == name }.map { "\($0.version)" } ?? "-"
      let numbers = value.values.map { Double($0) }
      let shown =
        switch value {
        case .one(let number): fixed(Double(number), 4)
        case .each:
          "\(fixed(numbers.min() ?? 0, 3)) to \(fixed(numbers.max() ?? 0, 3)) in \(numbers.count) units  \(sparkline(numbers))"
        }
      coefficients.add([name, version, shown])
    }
    print(coefficients, empty: "no coefficients: the base is served")
    console.print("")
    var table = Table(
      [
        ("SCORE (\(mixture.scores.metric))", .left), ("FIT", .right), ("HELD OUT", .right), ("EVAL", .right),
        ("95 %", .left), ("AGAINST BASE", .left), ("AGAINST BEST EXPERT", .left),
      ], keys: 1)
    func add(_ name: String, _ score: ScoreSummary) {
      table.add([
        name, cell(score.fit), cell(score.heldOut), cell(score.eval?.value), evalInterval(score.eval),
        paired(score.eval?.versusBase), paired(score.eval?.versusBestExpert),
      ])
    }
    add("base", mixture.scores.base)
    for expert in mixture.scores.experts.entries { add(expert.name, expert.value) }
    add("uniform", mixture.scores.uniform)
    add("mixture", mixture.scores.mixture)
    print(table, empty: "no scores")
    for warning in mixture.warnings ?? [] { console.note("warning: \(escaped(warning))") }
    console.print("")
    console.print("vectors: \(escaped(served.vectors.path)) (\(bytesText(Int64(served.vectors.bytes))))")
  }

  /// What is left of a mixture without each of its experts.
  fileprivate func showAblation(_ result: AblateResult) {
    console.print(
      "task \(escaped(result.task)): \(result.count) \(result.split.rawValue) rows, metric \(escaped(result.metric)), "
        + "template \(escaped(result.template))")
    var table = Table(
      [
        ("WEIGHTS", .left), (result.metric.uppercased(), .right), ("95 %", .left), ("AGAINST THE MIXTURE", .left),
      ], keys: 1)
    func add(_ name: String, _ column: AblateResult.Column) {
      table.add([name, cell(column.score), interval95(column.ci95), paired(column.versusMixture)])
    }
    add("mixture", result.mixture)
    add("base", result.base)
    for column in result.without { add("without \(column.name)", column) }
    print(table, empty: "no columns")
    for note in result.notes { console.note(escaped(note)) }
  }

  /// What is served, in words.
  private static func servedText(_ served: String) -> String {
    switch served {
    case "mixture": "the mixture"
    case "base": "the base instead of the mixture"
    case "uniform": "all experts in equal parts instead of the mixture"
    default: "the expert \(served) alone instead of the mixture"
    }
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
