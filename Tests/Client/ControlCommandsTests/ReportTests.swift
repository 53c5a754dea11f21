import ControlCommands
import Glibc
import RPCProtocol
import StrictJSON
import SystemSupport
import Testing

/// Reports of a daemon that answers from a can.
@Suite struct ReportTests {
  static let hostile = "<script>alert(1)</script>"

  static func score(_ value: Double, eval: Bool, paired: Bool = false) -> JSONValue {
    var score: JSONObject = ["fit": .number(value + 0.1), "held_out": .number(value), "fit_loglik": -1.5]
    guard eval else { return .object(score) }
    var rows: JSONObject = [
      "value": .number(value), "n": 400, "ci95": [.number(value - 0.05), .number(value + 0.05)],
    ]
    if paired { rows["versus_base"] = ["wins": 60, "losses": 20, "p": 0.00001] }
    score["eval"] = .object(rows)
    return .object(score)
  }

  static func mixture(granularity: String = "vector", eval: Bool = true, served: String = "mixture") -> JSONValue {
    var mixture: JSONObject = [
      "task": "arc", "model": "tiny", "granularity": .string(granularity), "mix": "delta", "rescale": "none",
      "experts": [
        ["name": "science", "version": 2, "digest": "sha256:01"],
        ["name": "social", "version": 1, "digest": "sha256:02"],
      ],
      "scores": [
        "metric": "acc", "base": score(0.5, eval: eval),
        "experts": ["science": score(0.6, eval: eval, paired: true), "social": score(0.4, eval: false)],
        "uniform": score(0.5, eval: false), "mixture": score(0.65, eval: eval, paired: true),
      ],
      "served": .string(served), "served_because": "it is better held out", "digest": "sha256:aa",
      "template": "Question: {question}", "warnings": ["60 coefficients were fitted to 10 shots"], "stale": true,
      "stale_reason": "'science' is now at version 3 (was 2)", "generation": 9,
      "created": "2026-01-31T12:00:00.123Z",
      "search": [
        "method": "all", "objective": "accuracy", "generations": 2, "stop_reason": "converged", "seed": 1,
        "population": 32, "shots": 10, "job": 5, "prompts": 900, "prompts_saved_by_cache": 100,
        "prompts_saved_by_pruning": 50, "prompts_saved_by_convergence": 0, "seconds": ["search": 12.5],
      ],
    ]
    switch granularity {
    case "layer":
      mixture["units"] = ["model.layers.0", "model.layers.1", "model.layers.2"]
      mixture["alpha"] = ["science": [0, 0.5, 1], "social": [-0.25, 0, 0.25]]
    case "matrix":
      let names = ["self_attn.q_proj", "mlp.up_proj"]
      mixture["units"] = .array((0..<2).flatMap { l in names.map { .string("model.layers.\(l).\($0).weight") } })
      mixture["alpha"] = ["science": [0, 0.5, 1, 0.25], "social": [0, 0, 0, 0]]
    default: mixture["alpha"] = ["science": 0.8125, "social": -0.03125]
    }
    return .object(mixture)
  }

  /// The search's job, with its course and its items.
  static var job: JSONValue {
    func line(_ method: String, chosen: Bool) -> JSONValue {
      [
        "method": .string(method), "granularity": "vector", "alpha": [[0.8], [-0.03]], "scores": ["fit": 0.75],
        "generations": 2, "stop_reason": "converged", "seconds": 3.5, "prompts": 450, "prompts_saved_by_cache": 50,
        "prompts_saved_by_pruning": 25, "prompts_saved_by_convergence": 0, "chosen": .bool(chosen),
        "history": [
          [
            "generation": 0, "best": 0.5, "best_log_likelihood": -2, "mean": 0.4, "spread": 0.5, "prompts": 200,
          ],
          [
            "generation": 1, "best": 0.75, "best_log_likelihood": -1.5, "mean": 0.6, "spread": 0.2, "prompts": 450,
          ],
        ],
      ]
    }
    func answer(_ text: String, _ isRight: Bool) -> JSONValue { ["text": .string(text), "right": .bool(isRight)] }
    return [
      "job": 5, "kind": "adapt", "state": "done",
      "result": [
        "search": ["configurations": [line("cem", chosen: true), line("random", chosen: false)]],
        "eval_items": [
          "best_expert": "science", "differing": 3,
          "items": [
            [
              "id": "q7", "line": 7, "question": .string("What do bees make? \(hostile)"), "gold": "Honey & wax",
              "base": answer("Milk", false), "best_expert": answer("Honey & wax", true),
              "mixture": answer("Honey & wax", true),
            ],
            [
              "id": "q9", "line": 9, "question": "Why?", "gold": "So", "base": answer("So", true),
              "best_expert": answer("So", true), "mixture": answer(.init(hostile), false),
            ],
          ],
        ],
      ],
    ]
  }

  static let dispatch: JSONValue = [
    "job": 8, "kind": "dispatch", "state": "done", "ended": "2026-01-31T13:00:00.000Z",
    "result": [
      "n": 20,
      "strategies": [
        "prompt": [
          "n": 20, "correct": 13, "accuracy": 0.65, "ci95": [0.43, 0.82], "other_share": 0.3,
          "labels": ["science", "other"], "matrix": [[8, 2], [5, 5]], "read": "score", "template": "dispatch.txt",
        ],
        "classifier": [
          "n": 20, "correct": 20, "accuracy": 1, "ci95": [0.84, 1], "other_share": 0.5,
          "labels": ["science", "other"], "matrix": [[10, 0], [0, 10]], "read": "score", "template": "dispatch.txt",
        ],
      ],
    ],
  ]

  /// Answers for the task `arc`, and for one that waits.
  static func answers(
    _ mixture: JSONValue = mixture(), bare: Bool = false
  ) -> ScriptedDaemon.Answer {
    { request, reply in
      switch request.method.name {
      case "mixture.get":
        guard request.params["task"] == "arc" else {
          return reply.fail(RPCError(.noMixtureYet, "the task 'new' has no mixture yet"))
        }
        reply.succeed(mixture)
      case "mixture.list": reply.succeed(["mixtures": [["task": "arc", "model": "tiny"]]])
      case "task.show": reply.succeed(["name": "arc", "rows": 10, "eval_rows": bare ? 0 : 400])
      case "task.list": reply.succeed(["tasks": [["name": "arc"], ["name": "new", "state": "waiting_for_experts"]]])
      case "job.show":
        if bare { return reply.fail(RPCError(.unknownJob, "there is no job 5")) }
        reply.succeed(request.params["job"] == 8 ? Self.dispatch : Self.job)
      case "job.list":
        reply.succeed([
          "jobs": bare ? [] : [["job": 9, "kind": "adapt"], ["job": 8, "kind": "dispatch", "model": "tiny"]]
        ])
      case "mixture.log":
        reply.succeed([
          "revisions": bare
            ? []
            : [
              [
                "generation": 9, "time": "T3", "model": "tiny", "alpha": ["science": 0.8], "reason": .string(hostile),
                "experts": [["name": "science", "version": 2]], "job": 5,
              ]
            ], "changes": [],
        ])
      case "check.list":
        reply.succeed([
          "checks": bare
            ? []
            : [
              [
                "check": 3, "kind": "shuffle", "expert": "science", "version": 2, "model": "tiny", "task": "arc",
                "verdict": "ordered", "p": 0.0001, "effect": 0.13, "ci95": [0.08, 0.18], "n": 400,
                "scores": ["base": 0.5, "expert": 0.64, "shuffles": [0.5, 0.51]],
              ],
              [
                "check": 5, "kind": "transfer", "expert": "science", "version": 2, "model": "sibling", "task": "arc",
                "verdict": "ordered", "passes": true, "p": 0.002, "effect": 0.1, "ci95": [0.02, 0.18], "n": 200,
                "scores": ["base": 0.5, "expert": 0.6, "shuffles": [0.52, 0.48, 0.5]],
              ],
              ["check": 4, "kind": "shuffle", "expert": "stranger", "version": 1, "verdict": "inconclusive"],
            ], "pending": [],
        ])
      default: reply.fail(RPCError(.internal, "not in the script"))
      }
    }
  }

  private func report(_ answers: @escaping ScriptedDaemon.Answer) throws -> String {
    var text = ""
    try withDaemon(answers) { _, options, _ in
      let outcome = run(["report", "arc", "-o", "-"] + options)
      #expect(outcome.status == 0 && outcome.error == "", "\(outcome.error)")
      text = outcome.out
    }
    return text
  }

  @Test(arguments: ["vector", "layer", "matrix"], [true, false])
  func aReportIsWellFormedAndLoadsNothing(granularity: String, bare: Bool) throws {
    let html = try report(Self.answers(Self.mixture(granularity: granularity, eval: !bare), bare: bare))
    let read = MarkupReader(html)
    #expect(read.problem == nil, "\(read.problem ?? "")")
    for reference in ["http", "src=", "url(", "<script", "<link", "@import", "href="] {
      #expect(!html.contains(reference), "\(reference)")
    }
    #expect(html.hasPrefix("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"))
    #expect(read.count("h1") == 1 && read.count("h2") == 10)
  }

  @Test func everyPartIsThereWithItsNumbers() throws {
    let html = try report(Self.answers())
    let read = MarkupReader(html)
    for text in [
      "Stale: &#39;science&#39; is now at version 3 (was 2)", "60 coefficients were fitted to 10 shots",
      "2026-01-31 12:00:00 UTC", "mixture: it is better held out", "0.600 to 0.700, n 400", "+60 -20, p &lt; 0.001",
      "acc on 400 eval rows with 95 % intervals", "Won: 1", "Lost: 1", "3 rows differ; the first 2 are shown",
      "Honey &amp; wax", "row q7, line 7", "science@2", "0.0001", "+0.1300", "A: prompt", "B: classifier",
      "13 of 20 prompts right, 65.0 % (95 %: 43.0 to 82.0); 30.0 % were given to other", "served, generation 9",
      "seen before: 100", "evaluations made", "spread of α", "ordered, passes", "transfer to sibling",
      "0.4800 to 0.5200",
      "science@2 on sibling: 0.100 (0.020 to 0.180)",
    ] {
      #expect(read.text.contains(text), "\(text)")
    }
    #expect(!html.contains("stranger"), "a check of another expert")
    // Every chart is there for wide windows and for narrow ones.
    #expect(read.count("svg", "width=\"720\"") == read.count("svg", "width=\"340\"") && read.count("svg") >= 16)
    #expect(read.count("tr", "class=\"served\"") == 2, "what is served, and the chosen configuration")
  }

  @Test func whatIsMissingIsSaid() throws {
    let html = try report(Self.answers(Self.mixture(eval: false), bare: true))
    for text in [
      "No eval file: put eval.jsonl", "No eval file, so no items", "The course of this search is not recorded",
      "lists no configuration", "No check of these experts was made", "Dispatch was not evaluated",
      "Nothing was served yet",
    ] {
      #expect(html.contains(text), "\(text)")
    }
  }

  @Test func matricesOfALayerStandBelowEachOther() throws {
    let read = MarkupReader(try report(Self.answers(Self.mixture(granularity: "matrix"))))
    #expect(read.text.contains("q, 1: 1.0000") && read.text.contains("up, 0: 0.5000"))
    let layers = MarkupReader(try report(Self.answers(Self.mixture(granularity: "layer"))))
    #expect(layers.text.contains("social, 0: -0.2500") && layers.count("rect", "class=\"cell below\"") > 0)
  }

  @Test func whatWasFoundIsShownBesideABaselineThatIsServed() throws {
    let read = MarkupReader(try report(Self.answers(Self.mixture(served: "base"))))
    #expect(read.text.contains("What the search found and is not served"))
  }

  @Test func ofManyItemsTheFirstAreOpenAndTheOthersUnfold() throws {
    var job = Self.job.objectValue ?? [:]
    let item = try #require(job["result"]?["eval_items"]?["items"]?.arrayValue?.first)
    let search = try #require(job["result"]?["search"])
    job["result"] = [
      "search": search,
      "eval_items": [
        "best_expert": "science", "differing": 11, "items": .array([JSONValue](repeating: item, count: 11)),
      ],
    ]
    let (whole, answered) = (Self.answers(), JSONValue.object(job))
    let html = try report { request, reply in
      if request.method.name == "job.show", request.params["job"] == 5 { return reply.succeed(answered) }
      whole(request, reply)
    }
    let read = MarkupReader(html)
    #expect(read.problem == nil && read.count("article") == 11 && read.count("details") == 1)
    #expect(read.text.contains("Won: 11") && read.text.contains("3 more"))
    #expect(html.split(separator: "<details>")[0].split(separator: "<article").count == 9, "eight before the fold")
  }

  @Test func namesAndAnswersOfOthersAreText() throws {
    let html = try report(Self.answers())
    #expect(html.contains("What do bees make? &lt;script&gt;alert(1)&lt;/script&gt;"))
    #expect(!html.contains(Self.hostile))
  }

  // MARK: - the same on a terminal

  private func adapted(terminal: Bool, columns: Int? = nil, drawsBlocks: Bool = true) throws -> Outcome {
    let whole = Self.answers()
    var outcome: Outcome?
    try withDaemon { request, reply in
      switch request.method.name {
      case "task.adapt": reply.succeed(["job": 5, "task": "arc", "model": "tiny"])
      case "job.wait": reply.succeed(Self.job)
      default: whole(request, reply)
      }
    } _: { _, options, _ in
      outcome = run(
        ["task", "adapt", "arc"] + options, terminal: terminal, columns: columns, drawsBlocks: drawsBlocks)
    }
    return try #require(outcome)
  }

  @Test(arguments: [(60, 3), (80, 2), (120, 1)])
  func aWideTableIsFoldedAndNothingOfItIsCut(columns: Int, pieces: Int) throws {
    let shown = try adapted(terminal: true, columns: columns)
    #expect(shown.status == 0)
    let lines = shown.lines.filter { !$0.hasPrefix("task ") }
    for line in lines { #expect(line.count <= columns, "\(line)") }
    #expect(!shown.out.contains("…"))
    let methods = lines.filter { $0.hasPrefix("METHOD ") }
    #expect(methods.count == pieces + 1, "the table's pieces, and the curves")
    for heading in SearchHeadings.all { #expect(methods.contains { $0.contains(heading) }, "\(heading)") }
  }

  private enum SearchHeadings {
    static let all = ["UNITS", "FIT", "HELD OUT", "GEN", "ENDED", "PROMPTS", "SECONDS", "CACHE", "PRUNED", "CONVERGED"]
  }

  @Test func aCurveIsDrawnOnATerminalThatHasBlocksAndNowhereElse() throws {
    #expect(try adapted(terminal: true, columns: 80).out.contains("-2.000 ▁█ -1.500"))
    for outcome in [
      try adapted(terminal: true, columns: 80, drawsBlocks: false), try adapted(terminal: false),
    ] {
      #expect(!outcome.out.contains("▁") && !outcome.out.contains("BY GENERATION") && !outcome.error.contains("▁"))
    }
    let piped = try adapted(terminal: false)
    #expect(piped.lines.contains { $0.hasPrefix("cem *\tvector\t0.7500\t") && $0.hasSuffix("\t450\t3.5\t50\t25\t0") })
  }

  // MARK: - files

  private func names(in directory: String) throws -> [String] {
    try FileSystem.entries(directory).compactMap(\.text).sorted()
  }

  @Test func theFileIsNamedAfterTheTaskAndWrittenWhole() throws {
    try withDaemon(Self.answers()) { _, options, directory in
      let path = directory + "/r.html"
      let outcome = run(["report", "arc", "--output", path] + options)
      #expect(outcome.status == 0 && outcome.out.hasPrefix("wrote \(path) ("))
      let bytes = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      #expect(String(decoding: bytes, as: UTF8.self).hasSuffix("</html>\n"))
      #expect(try names(in: directory) == ["r.html", "s"])
      let json = try parseJSON(run(["report", "arc", "-o", path, "--json"] + options).out)
      #expect(json == ["path": .string(path), "bytes": JSONValue(bytes.count)])
    }
  }

  @Test func aTaskThatWasNeverAdaptedIsAnErrorAndNothingIsWritten() throws {
    try withDaemon(Self.answers()) { _, options, directory in
      let path = directory + "/r.html"
      try FileSystem.writeAtomically(path, Array("the last one".utf8))
      let outcome = run(["report", "new", "-o", path] + options)
      #expect(outcome.status == 1 && outcome.error == "t2ctl: the task 'new' has no mixture yet\n")
      #expect(try FileSystem.readAll(path, maximumBytes: 100) == Array("the last one".utf8))
      #expect(run(["report", "arc", "-o", directory + "/no/such/r.html"] + options).status == 1)
      #expect(try names(in: directory) == ["r.html", "s"])
    }
  }

  @Test func anErrorOnTheWayLeavesNoDirectory() throws {
    let whole = Self.answers()
    try withDaemon { request, reply in
      if request.method.name == "mixture.log" { return reply.fail(RPCError(.internal, "no log")) }
      whole(request, reply)
    } _: { _, options, directory in
      #expect(run(["report", "--all", "-o", directory + "/all"] + options).status == 1)
      #expect(run(["report", "arc", "-o", directory + "/r.html"] + options).status == 1)
      let left = try names(in: directory)
      #expect(left == ["s"])
    }
  }

  @Test func allTasksMakeADirectoryWithAnIndex() throws {
    try withDaemon(Self.answers()) { _, options, directory in
      let target = directory + "/all"
      #expect(run(["report", "--all", "-o", target] + options).status == 0)
      #expect(try names(in: target) == ["arc@tiny.html", "index.html"])
      let index = String(
        decoding: try FileSystem.readAll(target + "/index.html", maximumBytes: 1 << 20), as: UTF8.self)
      #expect(MarkupReader(index).problem == nil)
      #expect(index.contains("<a href=\"arc@tiny.html\">arc</a>") && index.contains("+60 -20, p &lt; 0.001"))
      #expect(index.contains("new: waiting for experts, no mixture yet"))
      // Into a directory that is there, what else is in it stays.
      try FileSystem.writeAtomically(target + "/mine.txt", [1])
      #expect(run(["report", "--all", "-o", target] + options).status == 0)
      #expect(
        try names(in: target) == ["arc@tiny.html", "index.html", "mine.txt"])
      #expect(try names(in: directory) == ["all", "s"])
    }
  }

  @Test func whatIsWantedMustBeSaid() throws {
    for arguments in [["report"], ["report", "--all"], ["report", "arc", "--all", "-o", "d"]] {
      #expect(run(arguments).status == 3, "\(arguments)")
    }
  }
}
