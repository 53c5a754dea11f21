import Daemon
import StrictJSON
import SystemSupport
import Testing

@Suite struct AuditTests {
  private func fill(_ daemon: Harness) throws {
    try daemon.addModel()
    try daemon.dropExpert("science", value: 1.25)
    try daemon.dropTask("arc")
    _ = try daemon.settledMixture("arc")
  }

  @Test func aWholeStoreIsSaidToBeWhole() throws {
    try withDaemon { daemon in
      try fill(daemon)
      let audit = try daemon.call("system.audit")
      #expect(audit["ok"] == true && audit["files"] == 2 && audit["findings"] == [] && audit["more"] == 0)
      let garbage = try daemon.call("system.gc", ["apply": true])
      #expect(garbage["applied"] == true && garbage["files"] == 0 && garbage["young"] == 0)
    }
  }

  @Test func whatIsMissingIsFoundAndWhatIsLeftOverIsNoProblem() throws {
    try withDaemon { daemon in
      try fill(daemon)
      let path = try #require(try daemon.call("expert.export", ["expert": "science"])["path"]?.stringValue)
      let bytes = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      let state = daemon.daemon.paths.state
      try FileSystem.writeAtomically("\(state)/blobs/ab/left-over", [1, 2, 3])
      try FileSystem.createDirectories("\(state)/tasks/arc/gone")
      try FileSystem.writeAtomically("\(state)/tasks/arc/gone/arc.jsonl", [1, 2])
      let left = try daemon.call("system.audit")
      #expect(left["ok"] == true)
      let findings = try #require(left["findings"]?.arrayValue)
      #expect(findings.map { $0["kind"] } == ["unnamed", "unnamed"] && findings.map { $0["bytes"] } == [3, 2])

      try FileSystem.remove(path)
      let audit = try daemon.call("system.audit")
      #expect(audit["ok"] == false)
      let first = try #require(audit["findings"]?.arrayValue?.first)
      #expect(first["kind"] == "missing" && first["subject"] == "expert science@1" && first["path"] == .string(path))
      try FileSystem.writeAtomically(path, bytes, mode: 0o444)
      #expect(try daemon.call("system.audit")["ok"] == true)
      try FileSystem.removeTree("\(state)/tasks/arc/gone")
      try FileSystem.remove("\(state)/blobs/ab/left-over")
    }
  }

  @Test func gcOnlySaysUnlessItIsToldAndKeepsWhatIsYoung() throws {
    var configuration = Configuration.forTests
    try withDaemon(configuration: configuration) { daemon in
      try fill(daemon)
      let left = daemon.daemon.paths.state + "/blobs/ab/left-over"
      try FileSystem.writeAtomically(left, [1, 2, 3])
      let young = try daemon.call("system.gc", ["apply": true])
      #expect(young["files"] == 0 && young["young"] == 1)
      #expect(try FileSystem.status(left) != nil)

      configuration.gc.grace = .zero
      try daemon.restart(with: configuration)
      let said = try daemon.call("system.gc")
      #expect(said["applied"] == false && said["files"] == 1 && said["bytes"] == 3 && said["paths"] == [.string(left)])
      #expect(try FileSystem.status(left) != nil)
      let done = try daemon.call("system.gc", ["apply": true])
      #expect(done["applied"] == true && done["files"] == 1)
      #expect(try FileSystem.status(left) == nil)
      let events = try daemon.call("events.subscribe", ["events": ["store.collected"]])["events"]?.arrayValue
      #expect(events?.count == 1 && events?[0]["files"] == 1 && events?[0]["bytes"] == 3)
      // What is named stays.
      #expect(try daemon.call("system.audit")["ok"] == true)
      #expect(try daemon.call("mixture.get", ["task": "arc"])["stale"] == false)
    }
  }
}
