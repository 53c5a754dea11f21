import ControlCommands
import RPCProtocol
import StrictJSON
import Testing

@Suite struct CheckVerbTests {
  private static func comparison(_ effect: Double, p: Double, signFlip: Bool) -> JSONValue {
    [
      "p": .number(p), "p_mcnemar": .number(p), "effect": .number(effect),
      "ci95": [.number(effect - 0.04), .number(effect + 0.04)], "won": signFlip ? [30, 28] : [30],
      "lost": signFlip ? [10, 9] : [10],
    ]
  }

  private static func result(_ verdict: String, effect: Double, p: Double, split: String = "eval") -> JSONValue {
    let outcome: JSONValue = [
      "metric": "acc", "verdict": .string(verdict), "versus_shuffles": comparison(effect, p: p, signFlip: true),
      "versus_base": comparison(0.14, p: 0.0021, signFlip: false),
      "scores": ["base": 0.5025, "expert": 0.6425, "shuffles": [0.5, 0.4875]],
    ]
    return [
      "verdict": .string(verdict), "passes": .bool(verdict == "ordered"), "n": 400, "split": .string(split),
      "by_metric": [outcome],
    ]
  }

  private func check(_ arguments: [String], _ result: JSONValue) throws -> Outcome {
    var outcome: Outcome?
    try withDaemon { request, reply in
      switch request.method.name {
      case "check.run":
        reply.succeed([
          "job": 7, "kind": request.params["kind"] ?? .null, "expert": "science", "version": 2,
          "model": request.params["model"] ?? "smollm2", "task": "easy", "rows": "eval",
        ])
      default: reply.succeed(["job": 7, "state": "done", "fraction": 1, "result": result])
      }
    } _: { daemon, options, _ in
      outcome = run(arguments + options)
      let asked = daemon.calls(of: "check.run").first
      #expect(asked?["kind"]?.stringValue == arguments.dropFirst().first { !$0.hasPrefix("-") })
    }
    return try #require(outcome)
  }

  @Test func aVerdictIsShownWithItsScoresAndBothComparisons() throws {
    let shown = try check(["check", "shuffle", "science"], Self.result("ordered", effect: 0.13, p: 2.5e-7))
    #expect(shown.status == 0)
    #expect(shown.lines[0] == "shuffle check of science@2 on smollm2, task easy, 400 eval rows: ordered")
    #expect(shown.lines.contains("acc\t0.5025\t0.6425\t0.5000 0.4875\tordered"))
    #expect(shown.lines.contains("its shuffles\tacc\t+0.1300\t+0.0900 to +0.1700\t2.5e-7\t30 28\t10 9"))
    #expect(shown.lines.contains("the base\tacc\t+0.1400\t+0.1000 to +0.1800\t0.0021\t30\t10"))
  }

  @Test func oneThatIsNoBetterThanItsShufflesEndsWithFive() throws {
    let shown = try check(
      ["check", "shuffle", "science"], Self.result("no_better_than_shuffled", effect: -0.1, p: 0.2))
    #expect(shown.status == 5)
    #expect(shown.lines[0].hasSuffix(": no better than shuffled"))
    #expect(shown.error.hasSuffix("t2ctl: science@2 is no better than shuffled copies of itself\n"))
    let unclear = try check(
      ["check", "shuffle", "science"], Self.result("inconclusive", effect: 0.01, p: 0.2, split: "fewshot"))
    #expect(unclear.status == 0 && unclear.out.contains("few-shot rows prove nothing"))
  }

  @Test func aTransferSaysWhetherItPasses() throws {
    let passes = try check(
      ["check", "transfer", "science", "--to", "sibling"], Self.result("ordered", effect: 0.13, p: 0.001))
    #expect(passes.lines[0].contains("on sibling") && passes.out.contains("\nit passes: "))
    let fails = try check(
      ["check", "transfer", "science", "--to", "sibling"], Self.result("inconclusive", effect: 0.03, p: 0.4))
    #expect(fails.status == 0 && fails.out.contains("\nit does not pass: "))
  }

  @Test func theListShowsWhatIsOnItsWayFirst() throws {
    try withDaemon { _, reply in
      reply.succeed([
        "pending": [
          [
            "job": 9, "kind": "transfer", "expert": "science", "version": 2, "model": "sibling", "task": "easy",
            "state": "running", "fraction": 0.5, "reason": "a model of the same shapes",
          ]
        ],
        "checks": [
          [
            "check": 3, "kind": "shuffle", "expert": "science", "version": 2, "model": "smollm2", "task": "easy",
            "verdict": "ordered", "p": 0.00005, "effect": 0.13, "ci95": [0.09, 0.17], "n": 400,
          ]
        ],
      ])
    } _: { daemon, options, _ in
      let lines = run(["check", "list", "science"] + options).lines
      #expect(lines[1] == "-\ttransfer\tscience@2\tsibling\teasy\trunning (job 9)\t-\t-\t-\t-")
      #expect(
        lines[2]
          == "3\tshuffle\tscience@2\tsmollm2\teasy\tordered\t5.0e-5\t+0.1300\t+0.0900 to +0.1700\t400")
      #expect(daemon.calls(of: "check.list") == [["expert": "science", "limit": 100]])
    }
  }

  @Test func theLogOfAMixtureShowsWhatWasServedAndWhyItChanged() throws {
    try withDaemon { _, reply in
      reply.succeed([
        "task": "arc",
        "revisions": [
          [
            "generation": 12, "time": "T3", "model": "tiny", "alpha": ["science": 0.5],
            "experts": [["name": "science", "version": 2]], "reason": "'science' is now at version 2 (was 1)",
            "job": 5,
          ],
          [
            "generation": 8, "time": "T1", "model": "tiny", "alpha": ["science": 0.75],
            "experts": [["name": "science", "version": 1]], "reason": "the task has no mixture yet", "job": 4,
          ],
        ],
        "changes": [
          ["sequence": 12, "time": "T3", "event": "mixture.published", "model": "tiny"],
          [
            "sequence": 10, "time": "T2", "event": "mixture.stale", "model": "tiny",
            "reason": "'science' is now at version 2 (was 1)",
          ],
        ],
      ])
    } _: { _, options, _ in
      let lines = run(["mixture", "log", "arc"] + options).lines
      #expect(lines.count == 4)
      #expect(
        lines[1] == "12\tT3\ttiny\tserved\tscience=0.500\tscience@2\t'science' is now at version 2 (was 1)\t5")
      #expect(lines[2] == "10\tT2\ttiny\tstale\t\t\t'science' is now at version 2 (was 1)\t")
      #expect(lines[3].hasPrefix("8\tT1\ttiny\tserved\tscience=0.750\tscience@1\tthe task has no mixture yet"))
    }
  }
}
