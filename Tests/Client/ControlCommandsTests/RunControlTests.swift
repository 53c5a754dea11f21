import ControlCommands
import Glibc
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import Testing

@Suite struct RunControlTests {
  static let mixture: JSONValue = [
    "task": "arc_easy", "model": "smollm2", "alpha": ["science": 0.8125, "social": 0.03125], "granularity": "vector",
    "mix": "delta", "experts": [["name": "science", "version": 3, "digest": "d"]],
    "scores": [
      "metric": "acc", "base": ["fit": 0.5, "held_out": 0.4], "experts": ["science": ["fit": 0.7]],
      "mixture": ["fit": 0.9, "held_out": 0.8, "eval": ["value": 0.61]],
    ],
    "stale": false, "generation": 4, "vectors": ["path": "/v", "digest": "d", "bytes": 7],
  ]

  @Test func theStatusSaysWhatHappened() throws {
    try withDaemon { request, reply in
      switch request.params["task"]?.stringValue {
      case "good": reply.succeed(Self.mixture)
      case "never": Unanswered.shared.keep(reply.reply)
      default: reply.fail(RPCError(.unknownTask, "there is no task 'x'", hint: "t2ctl task list"))
      }
    } _: { _, options, directory in
      #expect(run(["mixture", "get", "good"] + options).status == 0)
      let refused = run(["mixture", "get", "x"] + options)
      #expect(refused.status == 1)
      #expect(refused.error == "t2ctl: there is no task 'x'\n  t2ctl task list\n")
      #expect(refused.out == "")
      #expect(run(["mixture", "get", "x", "--socket", directory + "/none"]).status == 2)
      #expect(run(["mixture", "gte", "x"] + options).status == 3)
      #expect(run(["mixture", "get", "never", "--timeout", "0.05"] + options).status == 4)
      Unanswered.shared.drop()
    }
  }

  @Test func whatIsServedInsteadOfAMixtureIsSaidWithItsReason() throws {
    try withDaemon { request, reply in
      reply.succeed(["served": request.params["task"] ?? .null, "served_because": "it was better on held-out shots"])
    } _: { _, options, _ in
      func served(_ what: String) -> String? {
        run(["mixture", "get", what] + options).lines.first { $0.hasPrefix("served: ") }
      }
      let why = "instead of the mixture: it was better on held-out shots"
      #expect(served("base") == "served: the base " + why)
      #expect(served("science") == "served: the expert science alone " + why)
      #expect(served("uniform") == "served: all experts in equal parts " + why)
      #expect(served("mixture") == "served: the mixture: it was better on held-out shots")
      // On a terminal it is broken between words.
      let shown = run(["mixture", "get", "base"] + options, terminal: true, columns: 50)
      #expect(shown.out.contains("\nserved: the base instead of the mixture: it was\n  better on held-out shots\n"))
    }
  }

  @Test func aLongErrorIsBrokenBetweenWordsOnATerminalAlone() {
    let arguments = ["status", "--socket", "/nowhere/s"]
    let plain = run(arguments).error
    let shown = run(arguments, terminal: true, columns: 60).error
    #expect(plain.split(separator: "\n").count == 1)
    let lines = shown.split(separator: "\n")
    #expect(lines.count > 1 && lines.allSatisfy { $0.count <= 60 })
    #expect(lines.dropFirst().allSatisfy { $0.hasPrefix("  ") })
    #expect(shown.split(whereSeparator: \.isWhitespace) == plain.split(whereSeparator: \.isWhitespace))
  }

  @Test func withJSONTheResultIsExact() throws {
    try withDaemon { request, reply in
      if request.params["task"] == "x" { return reply.fail(RPCError(.unknownTask, "no")) }
      reply.succeed(Self.mixture)
    } _: { _, options, _ in
      let whole = try Recording.shared.get().result(of: "mixture.get", changing: Self.mixture)
      #expect(run(["--json", "mixture", "get", "good"] + options).out == whole.jsonText + "\n")
      let refused = run(["--json", "mixture", "get", "x"] + options)
      #expect(refused.out == #"{"code":1002,"message":"no","data":{"kind":"unknown_task"}}"# + "\n")
      #expect(refused.status == 1)
    }
  }

  @Test func whatANewerDaemonSaysBesidesIsShownAsItCame() throws {
    var whole = try Recording.shared.get().result(of: "mixture.get", changing: Self.mixture).objectValue ?? [:]
    whole["mood"] = "good"
    let answer = JSONValue.object(whole)
    try withDaemon { _, reply in
      reply.reply.succeed(answer)
    } _: { _, options, _ in
      #expect(run(["--json", "mixture", "get", "good"] + options).out == answer.jsonText + "\n")
      #expect(run(["mixture", "get", "good"] + options).status == 0)
    }
  }

  @Test func anAnswerThatCannotBeReadNamesItsMethodAndMember() throws {
    var whole = try Recording.shared.get().result(of: "mixture.get", changing: Self.mixture).objectValue ?? [:]
    whole["generation"] = "many"
    let answer = JSONValue.object(whole)
    try withDaemon { _, reply in
      reply.reply.succeed(answer)
    } _: { _, options, _ in
      let outcome = run(["mixture", "get", "good"] + options)
      #expect(outcome.status == 2 && outcome.out.isEmpty)
      #expect(
        outcome.error.hasPrefix(
          "t2ctl: t2d's answer to mixture.get cannot be read: 'generation' must be an integer, and is the string 'many'. t2ctl "
            + "and t2d are of different versions, perhaps"), "\(outcome.error)")
    }
  }

  @Test func tablesAreAlignedOnATerminalAndTabSeparatedElsewhere() throws {
    let experts: JSONValue = [
      "experts": [
        [
          "name": "science", "version": 3, "active": 2, "state": "candidate", "label": nil, "model": "smollm2",
          "added": "2026-01-01T00:00:00.000Z",
        ],
        ["name": "evil\u{1b}[2J\u{202e}", "version": 1, "state": "active"],
      ], "rejected": [["path": "/spool/bad.safetensors", "message": "no header"]],
    ]
    try withDaemon { _, reply in
      reply.succeed(experts)
    } _: { _, options, _ in
      let piped = run(["expert", "list"] + options)
      #expect(piped.lines[0] == "name\tversion\tactive\tstate\tlabel\tmodel\tadded")
      #expect(piped.lines[1] == "science\t3\t2\tcandidate\t-\tsmollm2\t2026-01-01T00:00:00.000Z")
      #expect(piped.error == "refused: /spool/bad.safetensors: no header\n")
      let shown = run(["expert", "list"] + options, terminal: true, columns: 60)
      #expect(shown.lines.count == 3)
      for line in shown.lines { #expect(line.count <= 60, "\(line)") }
      #expect(!shown.out.contains("\u{1b}"))
      #expect(!shown.out.contains("\u{202e}"))
      #expect(run(["expert", "list"] + options, terminal: true, color: .always).out.hasPrefix("\u{1b}[1mNAME"))
      let minutes = run(["expert", "list"] + options, terminal: true, columns: 120)
      #expect(minutes.out.contains("smollm2  2026-01-01 00:00Z"))
    }
  }

  /// The rows of a bank of 25 experts, each with a warning, ten at a time.
  private static func page(_ request: RPCRequest) throws -> JSONValue {
    let start = (request.params["after"]?.stringValue).flatMap { Int($0) } ?? 0
    let end = min(25, start + (request.params["limit"]?.intValue ?? 10))
    let rows: [JSONValue] = try (start..<end).map { number in
      let row = try #require(try Recording.shared.get().result(of: "expert.list")["experts"]?.arrayValue?.first)
      guard case .object(var members) = row else { return row }
      members["name"] = .string("e\(number)")
      members["warnings"] = ["it is odd"]
      return .object(members)
    }
    var answer: JSONObject = ["experts": .array(rows), "rejected": []]
    if end < 25 { answer["next"] = .string("\(end)") }
    return .object(answer)
  }

  @Test func aListIsOneListWhateverItsPagesAndItsWarningsAreSummedUp() throws {
    try withDaemon { request, reply in
      reply.succeed((try? Self.page(request)) ?? .null)
    } _: { daemon, options, _ in
      let all = run(["expert", "list"] + options)
      #expect(all.lines.dropFirst().map { $0.split(separator: "\t")[0] } == (0..<25).map { "e\($0)" })
      #expect(daemon.calls(of: "expert.list").map { $0["after"]?.stringValue } == [nil, "10", "20"])
      let notes = all.error.split(separator: "\n")
      #expect(notes.count == 6 && notes.first == "e0: warning: it is odd")
      #expect(notes.last == "25 experts have warnings; see: t2ctl expert show NAME")
      let json = try parseJSON(Array(run(["expert", "list", "--json"] + options).out.utf8))
      #expect(json["experts"]?.arrayValue?.count == 25 && json["next"] == nil)
      // So many and no more.
      let some = run(["expert", "list", "--limit", "12"] + options)
      #expect(some.lines.count == 13)
    }
  }

  @Test func optionsBecomeTypedParameters() throws {
    try withDaemon { request, reply in
      if request.method.name == "task.adapt" { reply.succeed(["job": 7]) } else { reply.succeed() }
    } _: { daemon, options, _ in
      let arguments = [
        "task", "adapt", "t", "--iterations", "12", "--budget-seconds", "1.5", "--normalized", "--experts", "a,b",
        "--granularity", "layer", "--seed=9", "--no-wait",
      ]
      #expect(run(arguments + options).out == "job 7\n")
      #expect(
        daemon.calls(of: "task.adapt") == [
          [
            "task": "t", "iterations": 12, "budget_seconds": 1.5, "normalized": true, "experts": ["a", "b"],
            "granularity": "layer", "seed": 9,
          ]
        ])
      #expect(run(["task", "adapt", "t", "--granularity", "vectro"] + options).status == 3)
      #expect(run(["score", "p", "c", "--alpha", "a=0.5,b=-1"] + options).status == 0)
      #expect(daemon.calls(of: "score") == [["prompt": "p", "continuation": "c", "alpha": ["a": 0.5, "b": -1.0]]])
      for bad in ["a", "a=x", "a=1,a=2", ""] {
        #expect(run(["score", "p", "c", "--alpha", bad] + options).status == 3, "\(bad)")
      }
      #expect(
        run(["ask", "p", "--no-chat", "--stop", "A", "--stop", "B", "--temperature", "0.5"] + options).status == 0)
      #expect(
        daemon.calls(of: "generate") == [["prompt": "p", "chat": false, "stop": ["A", "B"], "temperature": 0.5]])
    }
  }

  @Test func aSearchOfSeveralMethodsIsATableWithWhatEachCostAndSaved() throws {
    let line: JSONValue = [
      "method": "cma-es", "granularity": "layer", "chosen": true, "generations": 9, "stop_reason": "stalled",
      "scores": ["fit": 0.9, "fit_loglik": -1.25, "held_out": 0.8, "held_out_loglik": -1.5], "seconds": 12.5,
      "prompts": 700, "prompts_saved_by_cache": 101, "prompts_saved_by_pruning": 202,
      "prompts_saved_by_convergence": 303,
    ]
    let eval: JSONValue = [
      "value": 0.61, "n": 400, "ci95": [0.56, 0.66], "versus_base": ["wins": 60, "losses": 20, "p": 1e-5],
      "versus_best_expert": ["wins": 9, "losses": 7, "p": 0.804],
    ]
    let search: JSONValue = [
      "configurations": [line], "estimated_seconds_saved": ["cache": 2.0, "pruning": 61.0, "convergence": 9.0],
    ]
    var mixture = try #require(Self.mixture.objectValue)
    mixture["scores"] = ["metric": "acc", "mixture": ["fit": 0.9, "held_out": 0.8, "eval": eval]]
    mixture["warnings"] = ["60 coefficients were fitted to 10 shots"]
    let shown = JSONValue.object(mixture)
    try withDaemon { request, reply in
      switch request.method.name {
      case "task.adapt": reply.succeed(["job": 3, "task": "t", "model": "m"])
      case "job.wait": reply.succeed(["job": 3, "state": "done", "result": ["search": search]])
      default: reply.succeed(shown)
      }
    } _: { daemon, options, _ in
      let outcome = run(["task", "adapt", "t", "--search", "all"] + options)
      #expect(daemon.calls(of: "task.adapt") == [["task": "t", "search": "all"]])
      let scores = [
        "mixture", "0.9000", "0.8000", "0.6100", "0.560 to 0.660, n 400", "+60 -20, p < 0.001", "+9 -7, p 0.804",
      ]
      #expect(outcome.lines.contains(scores.joined(separator: "\t")))
      let cells = [
        "cma-es *", "layer", "0.9000", "-1.250", "0.8000", "-1.500", "9", "stalled", "700", "12.5", "101", "202", "303",
      ]
      #expect(outcome.lines.last == cells.joined(separator: "\t"))
      #expect(outcome.error.contains("warning: 60 coefficients") && outcome.error.contains("pruning 1:01"))
      #expect(run(["task", "adapt", "t", "--search", "annealing"] + options).status == 3)
    }
  }

  @Test func rawCallsConvertTheirValues() throws {
    try withDaemon { request, reply in
      // What was asked, to be read from the output.
      reply.reply.succeed(.object(request.params))
    } _: { daemon, options, _ in
      let outcome = run(["rpc", "mixture.get", "task=007", "if_generation=7", "pass_fd=false", "--json"] + options)
      #expect(outcome.out == #"{"task":"007","if_generation":7,"pass_fd":false}"# + "\n")
      _ = run(["rpc", "score", #"prompt=[1,2]"#, "continuation=x=y", #"alpha={"a":1}"#] + options)
      #expect(daemon.calls(of: "score") == [["prompt": [1, 2], "continuation": "x=y", "alpha": ["a": 1]]])
      #expect(run(["rpc", "score", "prompt"] + options).status == 3)
      #expect(run(["rpc", "score", "prompt={"] + options).status == 3)
      #expect(run(["rpc", "no.method"] + options).status == 1)
    }
  }

  @Test func vectorsAreWrittenFromThePassedDescriptor() throws {
    try withTemporaryDirectory { store in
      try FileSystem.writeAtomically(store + "/blob", Array("vectors".utf8))
      try withDaemon { request, reply in
        let file = try? FileDescriptor.open(store + "/blob")
        reply.succeed(Self.mixture, descriptor: request.params["pass_fd"] == true ? file : nil)
      } _: { _, options, directory in
        let target = directory + "/m.safetensors"
        #expect(run(["mixture", "get", "t", "--vectors", target] + options).status == 0)
        #expect(try FileSystem.readAll(target, maximumBytes: 100) == Array("vectors".utf8))
        let unwritable = run(["mixture", "get", "t", "--vectors", directory + "/none/m"] + options)
        #expect(unwritable.status == 1)
        #expect(unwritable.error.contains("none"))
        // A file of another length than the answer says is not taken over.
        try FileSystem.writeAtomically(store + "/blob", Array("short".utf8))
        #expect(run(["mixture", "get", "t", "--vectors", target] + options).status == 1)
        #expect(try FileSystem.readAll(target, maximumBytes: 100) == Array("vectors".utf8))
      }
    }
  }

  @Test func anExportIsADirectoryThatIsThereWholeOrNotAtAll() throws {
    try withTemporaryDirectory { store in
      try FileSystem.writeAtomically(store + "/blob", Array("weights".utf8))
      try withDaemon { request, reply in
        let file = try? FileDescriptor.open(store + "/blob")
        var changes: JSONObject = ["bytes": 7, "configuration": ["r": 1]]
        if let rank = request.params["rank"] {
          changes["fit"] = [
            "rank": rank, "components": 24, "exact": .bool(rank == 24), "relative_error": 0.25, "energy_mean": 0.96,
            "energy_least": 0.5,
          ]
        }
        reply.succeed(.object(changes), descriptor: request.params["pass_fd"] == true ? file : nil)
      } _: { daemon, options, directory in
        let target = directory + "/new/adapter"
        let made = run(["mixture", "export", "arc", "--vllm", target] + options)
        #expect(made.status == 0, "\(made.error)")
        let weights = try FileSystem.readAll(target + "/adapter_model.safetensors", maximumBytes: 100)
        #expect(weights == Array("weights".utf8))
        let text = try FileSystem.readAll(target + "/adapter_config.json", maximumBytes: 4096)
        #expect(try parseJSON(text)["r"] == 1)
        #expect(daemon.calls(of: "mixture.export").first == ["name": "arc", "pass_fd": true])
        // Nothing is overwritten, and nothing is left beside it.
        let again = run(["mixture", "export", "arc", target, "--lora", "4"] + options)
        #expect(again.status == 1 && again.error.contains("exists, and nothing is overwritten"))
        #expect(try FileSystem.entries(directory + "/new").compactMap(\.text) == ["adapter"])
        let lossy = run(["mixture", "export", "arc", directory + "/lossy", "--lora", "4"] + options)
        #expect(lossy.out.contains("not exact: up to 24 multipliers of a matrix are not 1; rank 4 keeps 96.00 %"))
        #expect(lossy.out.contains("50.00 % at least, and the relative error of all together is 0.2500"))
        let exact = run(["mixture", "export", "arc", directory + "/exact", "--lora", "24"] + options)
        #expect(exact.out.contains("exact: no matrix has more than 24 multipliers other than 1, and the rank is 24"))
        for wrong in [[], ["--vllm", "--lora", "4"]] {
          #expect(run(["mixture", "export", "arc", directory + "/x"] + wrong + options).status == 3)
        }
      }
    }
  }

  @Test func everyFileOfATaskIsVerifiedByTheSettingsBesideIt() throws {
    try withDaemon { request, reply in
      let path = request.params["path"]?.stringValue ?? ""
      reply.succeed(
        path.hasSuffix("eval.csv")
          ? ["ok": false, "warnings": [], "errors": ["eval.csv, line 3: it has 3 values", "line 9"]]
          : ["ok": true, "rows": 2, "warnings": ["not read: 'id'"], "errors": [], "prompt": "Q\nA:", "template": "{q}"])
    } _: { daemon, options, directory in
      for name in ["fewshot.jsonl", "eval.csv", "task.json5", "README.md"] {
        try FileSystem.writeAtomically("\(directory)/\(name)", Array("{}".utf8))
      }
      let bad = run(["task", "verify", directory] + options)
      #expect(bad.status == 5)
      #expect(bad.out.contains("fewshot.jsonl: good: 2 rows") && bad.out.contains("  Q\n  A:\n"))
      #expect(bad.error.contains("line 3: it has 3 values") && bad.error.contains("line 9"))
      #expect(bad.error.contains("warning: not read: 'id'") && bad.error.contains("eval.csv: refused"))
      #expect(daemon.calls(of: "task.verify").allSatisfy { $0["settings"] == "{}" })
      #expect(daemon.calls(of: "task.verify").count == 2)
      #expect(run(["task", "verify", directory + "/README.md"] + options).status == 0)
      #expect(daemon.calls(of: "task.verify").last?["settings"] == nil)
    }
  }

  @Test func aVerifiedFileThatIsBadIsStatus5() throws {
    try withDaemon { request, reply in
      reply.succeed(
        request.params["path"]?.stringValue?.hasSuffix("good") == true
          ? ["ok": true, "name": "a", "model": "m"]
          : ["ok": false, "error": ["kind": "bad_expert", "message": "tensor 'x' has NaN at 3"]])
    } _: { daemon, options, directory in
      for name in ["good", "bad"] { try FileSystem.writeAtomically("\(directory)/\(name)", [1]) }
      #expect(run(["expert", "verify", directory + "/good"] + options).status == 0)
      let bad = run(["expert", "verify", directory + "/bad"] + options)
      #expect(bad.status == 5)
      #expect(bad.error.contains("NaN at 3"))
      // It is t2ctl that opens the file.
      let none = run(["expert", "verify", directory + "/none"] + options)
      #expect(none.status == 1 && none.error.contains("No such file"))
      #expect(daemon.calls(of: "expert.verify").count == 2)
    }
  }
}

/// Replies that stay open until the test has seen the time run out.
private final class Unanswered: Sendable {
  static let shared = Unanswered()
  private let replies = Mutex<[RPCReply]>([])
  func keep(_ reply: RPCReply) { replies.withLock { $0.append(reply) } }
  func drop() { replies.withLock { $0 = [] } }
}
