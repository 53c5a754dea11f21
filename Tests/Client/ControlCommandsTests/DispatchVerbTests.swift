import ControlCommands
import RPCProtocol
import StrictJSON
import SystemSupport
import Testing

@Suite struct DispatchVerbTests {
  private static let decision: JSONValue = [
    "label": "science", "expert": "science@2", "read": "score",
    "probabilities": [
      ["label": "science", "probability": 0.8125, "expert": "science@2"],
      ["label": "other", "probability": 0.1875, "expert": .null],
    ],
  ]

  private static let answer: JSONValue = [
    "text": "a\\b\u{1b}[31m\nc", "ids": [1, 2], "stop": "eos", "strategy": "prompt", "model": "smollm2",
    "weights": ["expert": "science@2"], "mixture_digest": "sha256:ab", "decision": decision,
    "tokens": ["prompt": 9, "generated": 2], "seconds": ["queue": 0, "dispatch": 0.25, "prefill": 0.04, "decode": 1.5],
  ]

  private func ask(_ arguments: [String], terminal: Bool = false) throws -> (Outcome, [JSONObject]) {
    var found: (Outcome, [JSONObject])?
    try withDaemon { request, reply in
      if request.params["stream"] == true {
        reply.part(0, ["decision": Self.decision])
        reply.part(1, ["text": "a\\b\u{1b}[31m", "ids": [1]])
        reply.part(2, ["text": "\nc", "ids": [2]])
      }
      reply.succeed(Self.answer)
    } _: { daemon, options, _ in
      found = (run(["ask"] + arguments + options, terminal: terminal, columns: 80), daemon.calls(of: "generate"))
    }
    return try #require(found)
  }

  @Test func anAnswerGoesToStandardOutputAndHowItWasMadeToStandardError() throws {
    let (outcome, calls) = try ask(["What?", "--strategy", "prompt", "--read", "generate"])
    #expect(calls == [["prompt": "What?", "strategy": "prompt", "read": "generate"]])
    #expect(outcome.status == 0 && outcome.out == "a\\b\u{1b}[31m\nc\n")
    #expect(
      outcome.error == "prompt chose science@2 (science 0.81, other 0.19) on smollm2: 2 tokens in 1.8 s "
        + "(dispatch 0.2 s, prefill 40 ms, decode 1.5 s), ended by eos\n")
  }

  @Test func onATerminalTheAnswerComesAsItIsWrittenAndMovesNoCursor() throws {
    let (outcome, calls) = try ask(["What?"], terminal: true)
    #expect(calls.first?["stream"] == true)
    #expect(outcome.out == "a\\b\\x1b[31m\nc\n")
    let (piped, plain) = try ask(["What?"])
    #expect(plain.first?["stream"] == nil && !piped.out.isEmpty)
  }

  @Test func withJSONEachPieceIsALineAndTheAnswerTheLast() throws {
    let (outcome, _) = try ask(["--prompt-ids", "1,2", "--stream", "--json"])
    let lines = try outcome.lines.map { try parseJSON(Array($0.utf8)) }
    #expect(lines.count == 4 && lines[0]["decision"] == Self.decision && lines[3] == Self.answer)
    #expect(lines[1]["text"] == "a\\b\u{1b}[31m")
  }

  @Test func aPromptIsNeeded() throws {
    let (outcome, calls) = try ask(["--strategy", "prompt"])
    #expect(outcome.status == 3 && outcome.error.contains("needs PROMPT or --prompt-ids") && calls.isEmpty)
    let (noIDs, _) = try ask(["--prompt-ids", "1,x"])
    #expect(noIDs.status == 3 && noIDs.error.contains("--prompt-ids"))
  }

  @Test func aDecisionIsShownWithTheProbabilityOfEveryLabel() throws {
    try withDaemon { _, reply in
      reply.succeed([
        "decision": Self.decision, "strategy": "prompt", "dispatcher": .null, "model": "smollm2",
        "tokens": ["prompt": 120], "seconds": ["queue": 0, "dispatch": 0.5],
      ])
    } _: { daemon, options, _ in
      let outcome = run(["dispatch", "What?"] + options)
      #expect(
        outcome.lines == [
          "label\tprobability\texpert\tchosen", "science\t0.8125\tscience@2\t*", "other\t0.1875\t(base)\t",
        ])
      #expect(outcome.error == "prompt, read by scoring, on smollm2: 120 tokens in 0.5 s\n")
      #expect(daemon.calls(of: "dispatch.run") == [["prompt": "What?"]])
    }
  }

  @Test func anEvaluationShowsAMatrixForEachStrategy() throws {
    func strategy(_ accuracy: Double, _ matrix: JSONValue) -> JSONValue {
      [
        "n": 10, "correct": 6, "accuracy": .number(accuracy), "ci95": [0.312, 0.8318], "other_share": 0.3,
        "labels": ["science", "other"], "matrix": matrix,
      ]
    }
    let result: JSONValue = [
      "n": 10,
      "strategies": ["prompt": strategy(0.6, [[5, 1], [2, 2]]), "classifier": strategy(1, [[6, 0], [0, 4]])],
    ]
    try withDaemon { request, reply in
      reply.succeed(
        request.method.name == "dispatch.evaluate"
          ? ["job": 4, "rows": 10] : ["job": 4, "state": "done", "fraction": 1, "result": result])
    } _: { daemon, options, directory in
      try FileSystem.writeAtomically(directory + "/rows.jsonl", [])
      let outcome = run(["dispatch", "evaluate", directory + "/rows.jsonl"] + options)
      #expect(outcome.status == 0)
      #expect(outcome.lines.first == "prompt: 0.600 right (95 % 0.312 to 0.832, n 10), 0.300 given to the base")
      #expect(
        outcome.lines.dropFirst().prefix(3) == [
          "true label\tscience\tother\tn\tright", "science\t5\t1\t6\t0.833", "other\t2\t2\t4\t0.500",
        ])
      #expect(outcome.lines.contains("classifier: 1.000 right (95 % 0.312 to 0.832, n 10), 0.300 given to the base"))
      #expect(daemon.calls(of: "dispatch.evaluate").first?["path"]?.stringValue?.hasPrefix("/") == true)
    }
  }
}
