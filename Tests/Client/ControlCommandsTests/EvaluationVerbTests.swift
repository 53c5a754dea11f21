import ControlCommands
import RPCProtocol
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@Suite struct EvaluationVerbTests {
  private static func ended(_ result: JSONValue) -> JSONValue {
    ["job": 4, "state": "done", "fraction": 1, "result": result]
  }

  /// Runs a verb whose job ends with a result.
  private func finish(
    _ arguments: [String], _ method: String, _ result: JSONValue, terminal: Bool = false, columns: Int? = nil,
    _ check: (_ asked: JSONObject?, _ directory: String) throws -> Void = { _, _ in }
  ) throws -> Outcome {
    var outcome: Outcome?
    try withDaemon { request, reply in
      if request.method.name == method {
        reply.succeed(["job": 4])
      } else {
        reply.succeed(Self.ended(result))
      }
    } _: { daemon, options, directory in
      let arguments = arguments.map { $0.replacing("DIR", with: directory) }
      let run = run(arguments + options, terminal: terminal, columns: columns)
      outcome = run
      if run.status == 1 { Issue.record("\(run.error)") }
      try check(daemon.calls(of: method).first, directory)
    }
    return try #require(outcome)
  }

  // MARK: - comparisons

  private static func column(
    _ name: String, _ strategy: String, _ score: Double, _ base: JSONValue, _ expert: JSONValue,
    labels: JSONValue? = nil
  ) -> JSONValue {
    var column: JSONObject = [
      "column": .string(name), "strategy": .string(strategy), "n": 519, "score": .number(score),
      "acc": .number(score), "acc_norm": .number(score + 0.01), "ci95": [.number(score - 0.04), .number(score + 0.04)],
      "versus_base": base, "versus_best_expert": expert, "seconds": 12.34,
    ]
    column["labels"] = labels
    return .object(column)
  }

  private static let comparison: JSONValue = [
    "n": 519, "task": "arc_challenge", "metric": "acc", "split": "eval", "template": "Question: {question}",
    "best_expert": "science@1", "notes": ["mixture: generation 14"],
    "skipped": [["column": "classifier", "reason": "model 'm' has no active dispatcher"]],
    "columns": [
      column("base", "none", 0.3, nil, ["wins": 20, "losses": 45, "p": 0.0026]),
      column("science@1", "expert", 0.35, ["wins": 45, "losses": 20, "p": 0.0026], nil),
      column(
        "prompt", "prompt", 0.34, ["wins": 40, "losses": 19, "p": 0.0001], ["wins": 3, "losses": 8, "p": 0.227],
        labels: [
          ["label": "physics", "expert": "science@1", "n": 415, "share": 0.8],
          ["label": "other", "n": 104, "share": 0.2],
        ]),
      column("mixture", "mixture", 0.36, ["wins": 9, "losses": 1, "p": 0.021], ["wins": 5, "losses": 0, "p": 0.0625]),
    ], "items": [],
  ]

  @Test func aComparisonIsOneTableWithAnIntervalForEveryScore() throws {
    let shown = try finish(["evaluate", "arc_challenge", "--compare"], "evaluate.run", Self.comparison) { asked, _ in
      #expect(asked == ["task": "arc_challenge", "compare": true])
    }
    #expect(shown.status == 0)
    #expect(
      shown.lines == [
        "task arc_challenge: 519 eval rows, metric acc, template Question: {question}",
        "strategy\tn\tacc\tacc_norm\t95 %\tagainst base\tagainst best expert\tlabels\tseconds",
        "base\t519\t0.3000\t0.3100\t0.260 to 0.340\t-\t+20 -45, p 0.003\t-\t12.3",
        "science@1\t519\t0.3500\t0.3600\t0.310 to 0.390\t+45 -20, p 0.003\t-\t-\t12.3",
        "A prompt\t519\t0.3400\t0.3500\t0.300 to 0.380\t+40 -19, p < 0.001\t+3 -8, p 0.227\tphysics 0.80, other 0.20\t12.3",
        "C mixture\t519\t0.3600\t0.3700\t0.320 to 0.400\t+9 -1, p 0.021\t+5 -0, p 0.062\t-\t12.3",
      ])
    #expect(shown.error.contains("the best expert is science@1: picked on these very rows, which flatters it\n"))
    #expect(shown.error.contains("no classifier: model 'm' has no active dispatcher\n"))
    #expect(shown.error.contains("mixture: generation 14\n"))
  }

  @Test func asJSONAComparisonIsTheResultAsItCame() throws {
    let shown = try finish(["evaluate", "arc", "--compare", "--json"], "evaluate.run", Self.comparison)
    let job = try Recording.shared.get().result(of: "job.wait", changing: Self.ended(Self.comparison))
    #expect(try parseJSON(shown.out) == #require(job["result"]))
  }

  @Test func anEvaluationRowByRowShowsItsLabels() throws {
    let result: JSONValue = [
      "n": 2, "acc": 0.5, "ci95": [0.1, 0.9], "items": [["id": "a"], ["id": "b"]],
      "labels": [["label": "physics", "share": 0.5], ["label": "other", "share": 0.5]],
    ]
    let shown = try finish(["evaluate", "arc", "--strategy", "prompt", "--read", "score"], "evaluate.run", result) {
      asked, _ in #expect(asked == ["task": "arc", "strategy": "prompt", "read": "score"])
    }
    #expect(shown.lines.last == "labels: physics 0.50, other 0.50" && !shown.out.contains("share"))
    #expect(run(["evaluate", "arc", "--strategy", "best"]).status == 3)
  }

  @Test func anAblationIsALineForEachExpertThatIsLeftOut() throws {
    func column(_ name: String, _ score: Double, _ versus: JSONValue) -> JSONValue {
      [
        "name": .string(name), "correct": 1, "score": .number(score),
        "ci95": [.number(score - 0.04), .number(score + 0.04)], "versus_mixture": versus,
      ]
    }
    let result: JSONValue = [
      "n": 100, "task": "arc", "metric": "acc", "template": "{question}", "split": "eval",
      "mixture": column("mixture", 0.5, nil), "base": column("base", 0.4, ["wins": 2, "losses": 12, "p": 0.0129]),
      "without": [
        column("science@2", 0.42, ["wins": 1, "losses": 9, "p": 0.0215]),
        column("words@1", 0.5, ["wins": 0, "losses": 0, "p": 1]),
      ],
    ]
    let shown = try finish(["mixture", "ablate", "arc", "--limit", "100"], "mixture.ablate", result) { asked, _ in
      #expect(asked == ["task": "arc", "limit": 100])
    }
    #expect(shown.status == 0)
    #expect(
      shown.lines == [
        "task arc: 100 eval rows, metric acc, template {question}",
        "weights\tacc\t95 %\tagainst the mixture", "mixture\t0.5000\t0.460 to 0.540\t-",
        "base\t0.4000\t0.360 to 0.440\t+2 -12, p 0.013",
        "without science@2\t0.4200\t0.380 to 0.460\t+1 -9, p 0.022",
        "without words@1\t0.5000\t0.460 to 0.540\t+0 -0, p 1.000",
      ])
  }

  // MARK: - sweeps

  private static func cell(
    _ shots: Int, _ seed: Int, _ value: Double, prompts: Int = 800, budget: JSONValue = ["iterations": 20]
  ) -> JSONValue {
    [
      "shots": JSONValue(shots), "seed": JSONValue(seed), "budget": budget,
      "scores": ["fit": 0.9, "held_out": 0.5], "served": "mixture", "prompts": JSONValue(prompts), "seconds": 31.25,
      "eval": [
        "value": .number(value), "n": 500, "ci95": [.number(value - 0.04), .number(value + 0.04)],
        "versus_base": ["wins": 40, "losses": 20, "p": 0.0134], "versus_best_expert": ["wins": 5, "losses": 5, "p": 1],
      ], "warnings": [],
    ]
  }

  private static func sweep(_ cells: [JSONValue]) -> JSONValue {
    [
      "task": "arc", "metric": "acc", "n": 500, "method": "cem", "objective": "accuracy",
      "base": ["value": 0.3, "n": 500, "ci95": [0.26, 0.34]],
      "best_experts": ["science": ["value": 0.35, "n": 500, "ci95": [0.31, 0.39]]], "cells": .array(cells),
    ]
  }

  private static let overShots = sweep([cell(3, 1, 0.32), cell(3, 2, 0.33), cell(20, 1, 0.36), cell(20, 2, 0.4)])

  @Test func aSweepIsATableAndPlainWherePiped() throws {
    let shown = try finish(
      ["sweep", "arc", "--shots", "3,20", "--budgets", "20", "--seeds", "2", "--method", "cem"], "sweep.run",
      Self.overShots
    ) { asked, _ in
      #expect(asked == ["task": "arc", "shots": [3, 20], "budgets": ["20"], "seeds": 2, "method": "cem"])
    }
    #expect(shown.status == 0)
    #expect(shown.lines[1] == "base: 0.3000 (95 % 0.260 to 0.340)")
    #expect(
      shown.lines.suffix(4).first
        == "3\t20 gen\t1\t0.9000\t0.5000\t0.3200\t0.280 to 0.360\t+40 -20, p 0.013\t+5 -5, p 1.000\tmixture\t800\t31.2")
    #expect(!shown.out.contains("●"))
  }

  @Test func onATerminalEveryIntervalIsAStripOnOneScale() throws {
    let shown = try finish(
      ["sweep", "arc", "--shots", "3,20"], "sweep.run", Self.overShots, terminal: true, columns: 200)
    let strips = shown.lines.filter { $0.contains("●") }
    #expect(strips.count == 4)
    // From 0.26 to 0.44 in sixteen cells: the base at 0.3 is the fourth, 0.32 the sixth, 0.4 the thirteenth.
    #expect(strips[0].hasSuffix(" ──│─●───") && strips[3].hasSuffix("   │    ────●───"), "\(strips)")
    #expect(shown.error.contains("the last column spans 0.260 to 0.440"))
  }

  @Test func aPlotHasALineForEachSeedAndTheBaseAcross() throws {
    var picture = ""
    let shown = try finish(["sweep", "arc", "--shots", "3,20", "-o", "DIR/plot.svg"], "sweep.run", Self.overShots) {
      _, directory in
      picture = String(
        decoding: try FileSystem.readAll(directory + "/plot.svg", maximumBytes: 1 << 20), as: UTF8.self)
    }
    #expect(shown.status == 0 && shown.error.contains("wrote the plot to "))
    let drawn = MarkupReader(picture)
    #expect(drawn.problem == nil, "\(drawn.problem ?? "")")
    #expect(drawn.count("polyline", "class=\"line s1\"") == 1 && drawn.count("polyline", "class=\"line s2\"") == 1)
    #expect(drawn.count("line", "class=\"whisker") == 4 && drawn.count("line", "class=\"reference\"") == 2)
    for name in ["seed 1", "seed 2", "base, 95 % 0.260 to 0.340", "shots", "3", "20"] {
      #expect(drawn.labels.contains(name), "\(name) of \(drawn.labels)")
    }
  }

  @Test func budgetsArePlottedOverThePromptsThatWereMade() throws {
    let result = Self.sweep([
      Self.cell(10, 1, 0.32, prompts: 90, budget: ["iterations": 2]),
      Self.cell(10, 1, 0.35, prompts: 60, budget: ["prompts": 50]),
    ])
    var picture = ""
    let shown = try finish(["sweep", "arc", "--budgets", "2,50p", "-o", "DIR/plot.svg"], "sweep.run", result) {
      _, directory in
      picture = String(
        decoding: try FileSystem.readAll(directory + "/plot.svg", maximumBytes: 1 << 20), as: UTF8.self)
    }
    #expect(shown.lines.contains { $0.hasPrefix("10\t50 prompts\t1\t") })
    let drawn = MarkupReader(picture)
    #expect(drawn.labels.contains("prompts scored by the search") && drawn.labels.contains("10 shots, seed 1"))
    // In the order of what was made, whatever was asked for first.
    let places = drawn.numbers("cx", of: "circle", "dot s1")
    #expect(places.count == 2 && places == places.sorted(), "\(places)")
  }

  @Test func whereAPlotCannotBeWrittenNothingIsStarted() throws {
    let nowhere = try finish(["sweep", "arc", "--shots", "3", "-o", "DIR/no/plot.svg"], "sweep.run", Self.overShots) {
      asked, _ in #expect(asked == nil)
    }
    #expect(nowhere.status == 3 && nowhere.error.contains("there is no directory"))
    let unwaited = try finish(["sweep", "arc", "--shots", "3", "-o", "p.svg", "--no-wait"], "sweep.run", nil) {
      asked, _ in #expect(asked == nil)
    }
    #expect(unwaited.status == 3)
    for bad in ["3,x", "0", ""] {
      #expect(run(["sweep", "arc", "--shots", bad]).status == 3, "\(bad)")
    }
  }
}
