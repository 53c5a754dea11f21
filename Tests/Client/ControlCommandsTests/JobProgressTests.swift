import ControlCommands
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import Testing

@Suite struct JobProgressTests {
  private func withJob(
    ending: JSONValue, _ body: (_ daemon: ScriptedDaemon, _ options: [String]) throws -> Void
  ) throws {
    let asked = Counter()
    try withDaemon { request, reply in
      switch request.method.name {
      case "job.wait":
        let step = asked.next()
        if step > 12 { return reply.succeed(ending) }
        reply.succeed([
          "job": 3, "state": "running", "fraction": .number(Double(step) / 13), "phase": "searching",
          "detail": "generation \(step) of 12", "best": 0.75, "eta_seconds": 90,
        ])
      case "evaluate.run": reply.succeed(["job": 3])
      default: reply.fail(RPCError(.internal, "not in the script"))
      }
    } _: { daemon, options, _ in
      try body(daemon, options)
    }
  }

  @Test func aJobShowsALineForEachTenPerCent() throws {
    try withJob(ending: ["job": 3, "state": "done", "fraction": 1.0, "result": ["n": 400, "acc": 0.61]]) { _, options in
      let outcome = run(["job", "wait", "3"] + options)
      #expect(outcome.status == 0)
      #expect(outcome.out == "job 3 is done\n")
      let lines = outcome.error.split(separator: "\n")
      #expect((8...12).contains(lines.count), "\(outcome.error)")
      #expect(lines.first == "7 %, searching, generation 1 of 12, best 0.7500, 1:30 left")
    }
  }

  @Test func onATerminalTheLineIsRewrittenAndFits() throws {
    try withJob(ending: ["job": 3, "state": "done", "fraction": 1.0]) { _, options in
      let outcome = run(["job", "wait", "3"] + options, terminal: true, columns: 50)
      #expect(outcome.error.hasSuffix("\n"))
      for line in outcome.error.split(separator: "\r").dropFirst() {
        #expect(line.hasPrefix("\u{1b}[K"))
        #expect(line.dropFirst(3).count <= 50, "\(line)")
      }
    }
  }

  @Test func whereTheWidthIsShortTheDetailGivesWayAndNotTheTimeThatIsLeft() throws {
    try withJob(ending: ["job": 3, "state": "done", "fraction": 1.0]) { _, options in
      let outcome = run(["job", "wait", "3"] + options, terminal: true, columns: 64, drawsBlocks: false)
      let lines = outcome.error.split(separator: "\r")
      let line = try #require(lines.first { $0.contains("46 %") })
      #expect(line.dropFirst(3) == "####...... 46 %  searching  generation…  best 0.7500  1:30 left")
      let wide = run(["job", "wait", "3"] + options, terminal: true, columns: 100)
      #expect(wide.error.contains("━"))
    }
  }

  @Test func aVerbThatStartsAJobPrintsWhatTheJobFound() throws {
    let result: JSONValue = ["n": 400, "acc": 0.61, "items": [["id": "a"], ["id": "b"]]]
    try withJob(ending: ["job": 3, "kind": "evaluate", "state": "done", "result": result]) { _, options in
      let json = try parseJSON(run(["evaluate", "t", "--json"] + options).out)
      #expect(json["n"] == 400 && json["items"]?.arrayValue?.map { $0["id"] } == ["a", "b"])
      #expect(run(["evaluate", "t", "--no-wait"] + options).out == "job 3\n")
      let shown = run(["evaluate", "t"] + options)
      #expect(shown.lines.first?.split(separator: " ") == ["n", "400"], "\(shown.error)")
      #expect(shown.error.hasSuffix("2 items; --json has them\n") && !shown.out.contains("items"))
    }
  }

  @Test func aJobThatFailedIsStatus1AndSaysWhy() throws {
    try withJob(ending: ["job": 3, "state": "failed", "error": ["kind": "model_error", "message": "no memory"]]) {
      _, options in
      let outcome = run(["job", "wait", "3"] + options)
      #expect(outcome.status == 1)
      #expect(outcome.error.hasSuffix("t2ctl: job 3 failed: no memory\n"))
    }
  }

  @Test func aTrainingThatFailedSaysWhereItsCurveIs() throws {
    let ending: JSONValue = [
      "job": 3, "state": "failed", "error": ["kind": "failed", "message": "nothing was learned"],
      "result": ["curve": [["step": 0], ["step": 1]]],
    ]
    try withJob(ending: ending) { _, options in
      let outcome = run(["job", "wait", "3"] + options)
      #expect(outcome.status == 1)
      #expect(
        outcome.error.hasSuffix(
          "job 3 failed: nothing was learned\n  its curve has 2 points; see them with: t2ctl job show 3\n"))
    }
  }

  @Test func whatIsDoneIsAShareWhateverTheDaemonSays() throws {
    try withDaemon { request, reply in
      reply.succeed([
        "jobs": .array([1e300, -1, 0.291].enumerated().map { ["job": JSONValue($0), "fraction": .number($1)] })
      ])
    } _: { daemon, options, _ in
      let lines = run(["job", "list"] + options).out.split(separator: "\n").dropFirst()
      #expect(lines.map { $0.split(separator: "\t")[5] } == ["100 %", "0 %", "29 %"])
    }
  }

  @Test func whenTheTimeIsUpTheJobGoesOn() throws {
    try withDaemon { request, reply in
      reply.succeed(["job": 3, "state": "running", "fraction": 0.1])
    } _: { daemon, options, _ in
      let outcome = run(["job", "wait", "3", "--timeout", "0.05"] + options)
      #expect(outcome.status == 4)
      #expect(outcome.error.contains("goes on"))
      #expect(daemon.calls(of: "job.cancel").isEmpty)
    }
  }
}

private final class Counter: Sendable {
  private let value = Mutex(0)
  func next() -> Int {
    value.withLock { value in
      value += 1
      return value
    }
  }
}
