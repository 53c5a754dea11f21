import Daemon
import Glibc
import Registry
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@Suite struct RemoveTests {
  /// Two experts, and a task with its mixture.
  private func withBank(
    configuration: Configuration = .forTests, _ body: (Harness) throws -> Void
  ) throws {
    try withDaemon(configuration: configuration) { daemon in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropExpert("social", value: 0.75)
      try daemon.dropTask("arc")
      _ = try daemon.settledMixture("arc")
      try body(daemon)
    }
  }

  private func names(_ daemon: Harness) throws -> [String] {
    let list = try daemon.call("expert.list", ["all": true])["experts"]?.arrayValue ?? []
    return list.compactMap { row in row["name"]?.stringValue.map { "\($0)@\(row["version"]?.intValue ?? 0)" } }
  }

  private func parts(_ mixture: JSONValue) -> [String] {
    mixture["experts"]?.arrayValue?.compactMap { $0["name"]?.stringValue } ?? []
  }

  private func remove(_ daemon: Harness, _ what: String, _ params: JSONObject) throws -> JSONValue {
    var params = params
    params["apply"] = true
    params["reason"] = "a test"
    return try daemon.call("\(what).remove", params)
  }

  @Test func itSaysFirstWhatDependsOnItAndChangesNothing() throws {
    try withBank { daemon in
      let before = try daemon.call("system.status")["generation"]
      let said = try daemon.call("expert.remove", ["expert": "science@1"])
      #expect(said["applied"] == false && said["removal"] == .null && said["name"] == "science" && said["version"] == 1)
      let depends = try #require(said["depends"])
      #expect(depends["active"] == true && depends["successor"] == .null)
      #expect(depends["mixtures"] == [["task": "arc", "model": "tiny"]])
      #expect(depends["files"] == [.string("\(daemon.prefix)/var/spool/t2d/experts/science.safetensors")])
      let task = try #require(try daemon.call("task.remove", ["task": "arc"])["depends"])
      #expect(task["mixtures"] == [["task": "arc", "model": "tiny"]] && task["active"] == false)
      let model = try #require(try daemon.call("model.remove", ["name": "tiny"])["depends"])
      #expect(model["experts"] == 2 && model["mixtures"] == [["task": "arc", "model": "tiny"]])
      #expect(try daemon.call("system.status")["generation"] == before)
      #expect(try names(daemon) == ["science@1", "social@1"])

      #expect(try daemon.refusal("expert.remove", ["expert": "science"]) == "invalid_params")
      #expect(try daemon.refusal("expert.remove", ["expert": "science@2"]) == "unknown_expert")
      #expect(try daemon.refusal("task.remove", ["task": "ark"]) == "unknown_task")
      #expect(try daemon.refusal("model.remove", ["name": "tony"]) == "unknown_model")
      #expect(try daemon.refusal("removal.undo", ["removal": 1]) == "conflict")
    }
  }

  @Test func aRemovedVersionTakesPartInNothingAndComesBackAsItWas() throws {
    try withBank { daemon in
      let first = try daemon.call("mixture.get", ["task": "arc"])
      daemon.worker.script([.wait])
      let removed = try remove(daemon, "expert", ["expert": "science@1"])
      #expect(removed["applied"] == true && removed["removal"] == 1)
      #expect(try names(daemon) == ["social@1"])
      #expect(try daemon.refusal("expert.show", ["expert": "science"]) == "unknown_expert")
      let stale = try daemon.call("mixture.get", ["task": "arc"])
      #expect(stale["stale_reason"] == "'science' (version 1) was removed")
      daemon.worker.release()
      let without = try daemon.settledMixture("arc")
      #expect(parts(without) == ["social"] && without["stale"] == false)

      let list = try daemon.call("removal.list")["removals"]?.arrayValue ?? []
      #expect(list.count == 1 && list[0]["state"] == "removed" && list[0]["reason"] == "a test")
      #expect(list[0]["kept_until"]?.stringValue ?? "" > list[0]["time"]?.stringValue ?? "~")
      let undone = try daemon.call("removal.undo", ["removal": 1])
      #expect(undone["state"] == "undone" && undone["active"] == 1)
      #expect(parts(try daemon.settledMixture("arc")) == parts(first))
      #expect(try daemon.ingestState(of: "science.safetensors") == "accepted")
      #expect(try daemon.refusal("removal.undo", ["removal": 1]) == "conflict")
      let events = try daemon.call("expert.log", ["expert": "science"])["events"]?.arrayValue ?? []
      #expect(
        events.compactMap { $0["event"]?.stringValue } == [
          "expert.version", "expert.promoted", "expert.removed", "expert.restored", "expert.promoted",
        ])
    }
  }

  @Test func theFileThatStaysBringsNothingBackUntilItIsDroppedAnew() throws {
    try withBank { daemon in
      let path = "\(daemon.prefix)/var/spool/t2d/experts/science.safetensors"
      let bytes = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      _ = try remove(daemon, "expert", ["expert": "science@1"])
      #expect(try daemon.ingestState(of: "science.safetensors") == "ignored")
      try daemon.restart()
      try daemon.sync()
      #expect(try names(daemon) == ["social@1"])
      // As on another disk: the same file, and another inode.
      let status = try #require(try FileSystem.status(path))
      try FileSystem.writeAtomically("\(daemon.prefix)/copy", bytes, mode: 0o644)
      try setTimes(of: "\(daemon.prefix)/copy", to: status.identity.modifiedNanoseconds)
      try FileSystem.rename("\(daemon.prefix)/copy", to: path)
      try daemon.sync()
      #expect(try names(daemon) == ["social@1"])
      #expect(try daemon.ingestState(of: "science.safetensors") == "ignored")

      try daemon.drop("experts", "science.safetensors", bytes)
      try daemon.sync()
      #expect(try names(daemon) == ["science@1", "social@1"])
      #expect(try daemon.call("expert.show", ["expert": "science"])["state"] == "active")
      #expect(try daemon.ingestState(of: "science.safetensors") == "accepted")
      #expect(try daemon.call("removal.list")["removals"]?.arrayValue?.first?["state"] == "undone")
    }
  }

  @Test func aTaskGoesWithItsMixtureAndItsSearchAndComesBackWithThem() throws {
    try withBank { daemon in
      let first = try daemon.call("mixture.get", ["task": "arc"])
      daemon.worker.script([.wait])
      let job = try #require(try daemon.call("task.adapt", ["task": "arc", "seed": 9])["job"])
      let removed = try remove(daemon, "task", ["task": "arc"])
      #expect(removed["depends"]?["jobs"] == [job])
      let ended = try daemon.wait(job)
      #expect(ended["state"] == "cancelled")
      #expect(ended["error"]?["message"]?.stringValue?.hasPrefix("task 'arc' was removed by uid ") == true)
      #expect(try daemon.refusal("mixture.get", ["task": "arc"]) == "unknown_task")
      #expect(try daemon.call("task.list")["tasks"] == [])
      try daemon.restart()
      try daemon.sync()
      #expect(try daemon.refusal("mixture.get", ["task": "arc"]) == "unknown_task")
      #expect(try daemon.ingestState(of: "arc.jsonl") == "ignored")

      let searches = daemon.worker.searches
      try daemon.call("removal.undo", ["removal": 1])
      let back = try daemon.call("mixture.get", ["task": "arc"])
      #expect(back["digest"] == first["digest"] && back["stale"] == false)
      #expect(daemon.worker.searches == searches)

      _ = try remove(daemon, "task", ["task": "arc"])
      try daemon.dropTask("arc")
      try daemon.sync()
      #expect(try daemon.call("task.show", ["task": "arc"])["revision"] == 2)
      // Its mixture is made of the same.
      #expect(try daemon.call("mixture.get", ["task": "arc"])["digest"] == first["digest"])
    }
  }

  @Test func aJobOfATaskThatIsRemovedEndsAtTheNextStart() throws {
    try withBank { daemon in
      daemon.worker.script([.wait])
      let job = try #require(try daemon.call("task.adapt", ["task": "arc", "seed": 9])["job"])
      daemon.stop()
      // As if the daemon had been killed between the two.
      let paths = daemon.daemon.paths
      let catalogue = try Catalogue(path: paths.catalogue, store: paths.store, now: Timestamp(milliseconds: 1))
      try catalogue.transaction { () throws(RegistryError) in
        _ = try catalogue.remove(.task("arc"), who: "uid 0", why: "", now: Timestamp(milliseconds: 1))
      }
      catalogue.close()
      try daemon.restart()
      let ended = try daemon.wait(job)
      #expect(ended["state"] == "cancelled" && ended["error"]?["message"] == "task 'arc' is removed")
    }
  }

  @Test func aModelGoesAndItsExpertsStay() throws {
    try withBank { daemon in
      let first = try daemon.call("mixture.get", ["task": "arc"])
      _ = try remove(daemon, "model", ["name": "tiny"])
      #expect(try daemon.call("model.list")["models"] == [])
      #expect(try daemon.refusal("mixture.get", ["task": "arc", "model": "tiny"]) == "unknown_model")
      #expect(try names(daemon) == ["science@1", "social@1"])
      #expect(try daemon.call("task.show", ["task": "arc"])["state"] == "waiting_for_model")
      try daemon.restart()
      try daemon.sync()
      #expect(try daemon.call("model.list")["models"] == [])
      // Added again it is inspected again, and what was served on it is served.
      try daemon.addModel()
      let back = try daemon.settledMixture("arc")
      #expect(back["digest"] == first["digest"] && back["stale"] == false)
      #expect(try daemon.call("removal.list")["removals"]?.arrayValue?.first?["state"] == "undone")
    }
  }

  @Test func gcGivesUpWhatWasRemovedBeforeItsGraceTime() throws {
    var configuration = Configuration.forTests
    try withBank { daemon in
      let path = try #require(try daemon.call("expert.export", ["expert": "science"])["path"]?.stringValue)
      let vectors = try #require(
        try daemon.call("mixture.get", ["task": "arc"])["vectors"]?["path"]?.stringValue)
      _ = try remove(daemon, "expert", ["expert": "science@1"])
      _ = try remove(daemon, "task", ["task": "arc"])
      let early = try daemon.call("system.gc", ["apply": true])
      #expect(early["removals"] == 0 && early["files"] == 0)

      configuration.gc.grace = .zero
      try daemon.restart(with: configuration)
      let said = try daemon.call("system.gc")
      #expect(said["removals"] == 2 && said["files"] == 3 && said["applied"] == false)
      #expect(try FileSystem.status(path) != nil && FileSystem.status(vectors) != nil)
      let done = try daemon.call("system.gc", ["apply": true])
      #expect(done["removals"] == 2 && done["files"] == 3 && done["paths"] == said["paths"])
      #expect(try FileSystem.status(path) == nil && FileSystem.status(vectors) == nil)
      #expect(try daemon.call("system.audit")["ok"] == true)
      #expect(try daemon.refusal("removal.undo", ["removal": 1]) == "conflict")
      let states = try daemon.call("removal.list")["removals"]?.arrayValue?.compactMap { $0["state"] }
      #expect(states == ["purged", "purged"])

      // The same content is the same version, other content another one.
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTask("arc")
      _ = try daemon.settledMixture("arc")
      #expect(try names(daemon) == ["science@1", "social@1"])
      #expect(try FileSystem.status(path) != nil)
      try daemon.dropExpert("science", value: 1.5)
      try daemon.sync()
      #expect(try names(daemon) == ["science@1", "science@2", "social@1"])
      #expect(try daemon.call("system.audit")["ok"] == true)
    }
  }

  @Test func asManyVersionsAreKeptAsTheConfigurationSays() throws {
    var configuration = Configuration.forTests
    try withBank { daemon in
      for step in 1...4 { try daemon.dropExpert("science", value: 1.25 + Float(step) / 32); try daemon.sync() }
      #expect(try names(daemon).count == 6)
      configuration.retention.versions = 3
      try daemon.restart(with: configuration)
      #expect(try names(daemon) == ["science@3", "science@4", "science@5", "social@1"])
      try daemon.call("expert.promote", ["expert": "science@3"])
      configuration.promotion = .manual
      try daemon.restart(with: configuration)
      for step in 5...6 { try daemon.dropExpert("science", value: 1.25 + Float(step) / 32); try daemon.sync() }
      // The active one stays beside the newest.
      #expect(try names(daemon) == ["science@3", "science@5", "science@6", "science@7", "social@1"])
      let list = try daemon.call("removal.list")["removals"]?.arrayValue ?? []
      #expect(list.compactMap { $0["version"]?.intValue } == [4, 2, 1] && list.allSatisfy { $0["who"] == "t2d" })
      #expect(try daemon.call("removal.undo", ["removal": 3])["active"] == 3)
      #expect(try names(daemon).contains("science@4"))
    }
  }

  private func setTimes(of path: String, to nanoseconds: Int64) throws {
    let time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    let times = [time, time]
    try #require(unsafe times.withUnsafeBufferPointer { unsafe utimensat(AT_FDCWD, path, $0.baseAddress, 0) } == 0)
  }
}
