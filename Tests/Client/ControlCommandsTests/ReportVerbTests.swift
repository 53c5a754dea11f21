import ControlCommands
import RPCProtocol
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@Suite struct ReportVerbTests {
  /// Answers for the task `arc`, and for one that waits.
  private static let answers: ScriptedDaemon.Answer = { request, reply in
    switch request.method.name {
    case "mixture.get":
      guard request.params["task"] == "arc" else {
        return reply.fail(RPCError(.noMixtureYet, "the task 'new' has no mixture yet"))
      }
      reply.succeed(CannedReport.mixture())
    case "mixture.list": reply.succeed(["mixtures": [["task": "arc", "model": "tiny"]]])
    case "task.show": reply.succeed(["name": "arc", "rows": 10, "eval_rows": 400])
    case "task.list": reply.succeed(["tasks": [["name": "arc"], ["name": "new", "state": "waiting_for_experts"]]])
    case "job.show":
      reply.succeed(request.params["job"] == 8 ? CannedReport.dispatch : CannedReport.job)
    case "job.list":
      reply.succeed(["jobs": [["job": 9, "kind": "adapt"], ["job": 8, "kind": "dispatch", "model": "tiny"]]])
    case "mixture.log":
      reply.succeed(CannedReport.log)
    case "check.list":
      reply.succeed(CannedReport.checks)
    default: reply.fail(RPCError(.internal, "not in the script"))
    }
  }

  // MARK: - the same on a terminal

  private func adapted(terminal: Bool, columns: Int? = nil, drawsBlocks: Bool = true) throws -> Outcome {
    let whole = Self.answers
    var outcome: Outcome?
    try withDaemon { request, reply in
      switch request.method.name {
      case "task.adapt": reply.succeed(["job": 5, "task": "arc", "model": "tiny"])
      case "job.wait": reply.succeed(CannedReport.job)
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
    let lines = shown.lines.filter { !$0.hasPrefix("task ") && !$0.hasPrefix("vectors: ") }
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
    try withDaemon(Self.answers) { _, options, directory in
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

  @Test func aSearchThatIsNotKeptIsMissingAndAllElseIsThere() throws {
    let whole = Self.answers
    try withDaemon { request, reply in
      if request.method.name == "job.show", request.params["job"] == 5 {
        return reply.fail(RPCError(.unknownJob, "there is no job 5"))
      }
      whole(request, reply)
    } _: { _, options, _ in
      let outcome = run(["report", "arc", "-o", "-"] + options)
      #expect(outcome.status == 0 && outcome.error == "", "\(outcome.error)")
      #expect(outcome.out.contains("The history of this search is not recorded"))
      #expect(outcome.out.contains("13 of 20 prompts right") && outcome.out.contains("science@2 on sibling"))
    }
  }

  @Test func aTaskThatWasNeverAdaptedIsAnErrorAndNothingIsWritten() throws {
    try withDaemon(Self.answers) { _, options, directory in
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
    let whole = Self.answers
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
    try withDaemon(Self.answers) { _, options, directory in
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
