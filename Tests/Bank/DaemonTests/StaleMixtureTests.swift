import Daemon
import Registry
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// What users see of a mixture that has become stale: the last good one is served meanwhile, marked, with the cause in
/// words. All the causes and what follows from them are in `FreshnessTests`, without a daemon.
@Suite struct StaleMixtureTests {
  /// Two experts and a task with its mixture; the next search waits until it is released.
  private func withMixture(_ body: (Harness, _ first: JSONValue) throws -> Void) throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropExpert("social", value: 0.75)
      try daemon.dropTask("arc")
      let first = try daemon.settledMixture("arc")
      #expect(first["stale"] == false)
      daemon.worker.script([.wait])
      try body(daemon, first)
    }
  }

  /// The mixture is stale for this reason and otherwise what it was; after the search that follows it is fresh, and the
  /// log says what happened.
  private func expectStale(_ daemon: Harness, _ first: JSONValue, _ reason: String) throws {
    try daemon.sync()
    let stale = try daemon.call("mixture.get", ["task": "arc"])
    #expect(stale["stale"] == true && stale["stale_reason"]?.stringValue == reason)
    for key in ["alpha", "experts", "vectors", "digest"] { #expect(stale[key] == first[key], "\(key)") }
    daemon.worker.release()
    let next = try daemon.settledMixture("arc")
    #expect(next["stale"] == false)
    #expect(next["inputs_digest"] != first["inputs_digest"])
    let log = try daemon.call("mixture.log", ["task": "arc"])
    #expect(log["revisions"]?.arrayValue?.first?["reason"]?.stringValue == reason)
    let changes = log["changes"]?.arrayValue ?? []
    #expect(
      changes.compactMap { $0["event"]?.stringValue } == ["mixture.published", "mixture.stale", "mixture.published"])
    #expect(changes.dropFirst().first?["reason"]?.stringValue == reason)
    let generations = changes.compactMap { $0["sequence"]?.integerValue }
    #expect(generations == generations.sorted(by: >))
  }

  @Test func aNewVersion() throws {
    try withMixture { daemon, first in
      try daemon.dropExpert("science", value: 1.5)
      try expectStale(daemon, first, "'science' is now at version 2 (was 1)")
    }
  }

  @Test func aPromotedAndARolledBackAlias() throws {
    try withMixture { daemon, _ in
      daemon.worker.script([])
      try daemon.dropExpert("science", value: 1.5)
      let second = try daemon.settledMixture("arc")
      daemon.worker.script([.wait])
      let searches = daemon.worker.searches + 1
      try daemon.call("expert.rollback", ["expert": "science"])
      try daemon.sync()
      let stale = try daemon.call("mixture.get", ["task": "arc"])
      #expect(stale["stale_reason"] == "'science' was rolled back from version 2 to 1")
      #expect(stale["alpha"] == second["alpha"])
      // Its search must have begun, or it would be counted later; each question takes a turn.
      while daemon.worker.searches < searches { try daemon.call("system.hello") }
      // Back to what the mixture was made of: fresh again, without a search.
      try daemon.call("expert.promote", ["expert": "science@2"])
      let fresh = try daemon.call("mixture.get", ["task": "arc"])
      #expect(fresh["stale"] == false && fresh["digest"] == second["digest"])
      // The search for what has gone is stopped, and serves nothing.
      let stopped = try daemon.wait(try daemon.newestSearch("arc"))
      #expect(stopped["state"] == "cancelled")
      #expect(try daemon.call("mixture.get", ["task": "arc"])["generation"] == fresh["generation"])
      #expect(daemon.worker.searches == searches)
      // Back once more: that it was stopped then does not keep it from being searched now.
      daemon.worker.script([])
      try daemon.call("expert.rollback", ["expert": "science"])
      let third = try daemon.settledMixture("arc")
      #expect(third["stale"] == false && third["experts"]?.arrayValue?.first?["version"] == 1)
      #expect(daemon.worker.searches == searches + 1)
    }
  }

  @Test func aChangedTaskFile() throws {
    try withMixture { daemon, first in
      try daemon.dropTask("arc", question: "What do cows give?")
      try expectStale(daemon, first, "the task's files have changed (revision 1 to 2)")
    }
  }

  @Test func aChangedModel() throws {
    try withMixture { daemon, first in
      daemon.worker.script([])
      let before = try #require(first["base_digest"]?.stringValue)
      try FileSystem.writeAtomically(daemon.prefix + "/tiny.gguf", Array("GGUF other".utf8), mode: 0o644)
      // Sync sees it, the model is inspected again, its experts are bound to it anew.
      try daemon.sync()
      let inspection = try daemon.call("job.list")["jobs"]?.arrayValue?.first { $0["kind"] == "inspect" }
      try daemon.wait(inspection?["job"] ?? .null)
      let next = try daemon.settledMixture("arc")
      #expect(next["stale"] == false && next["base_digest"] != first["base_digest"])
      #expect(next["experts"]?.arrayValue?.compactMap { $0["version"]?.intValue } == [2, 2])
      let reason = try daemon.call("mixture.log", ["task": "arc"])["revisions"]?.arrayValue?.first?["reason"]
      #expect(reason?.stringValue?.contains("the model has changed (\(before.prefix(15)) to ") == true)
      #expect(reason?.stringValue?.contains("'science' is now at version 2 (was 1)") == true)
    }
  }

  @Test func severalChangesAreOneSearchAndAllAreNamed() throws {
    var configuration = Configuration.forTests
    configuration.debounce.quiet = .seconds(60)
    configuration.debounce.limit = .seconds(600)
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropExpert("social", value: 0.75)
      try daemon.dropTask("arc")
      _ = try daemon.settledMixture("arc")
      let searches = daemon.worker.starts.count { $0.spec is AdaptSpec }
      try daemon.call("expert.retire", ["expert": "social"])
      let stale = try daemon.call("mixture.get", ["task": "arc"])
      #expect(stale["stale_reason"] == "'social' (version 1) was retired")
      #expect(try daemon.call("task.show", ["task": "arc"])["state"] == "stale")
      try daemon.dropExpert("third", value: 1.5)
      let next = try daemon.settledMixture("arc")
      #expect(daemon.worker.starts.count { $0.spec is AdaptSpec } == searches + 1)
      #expect(next["experts"]?.arrayValue?.compactMap { $0["name"]?.stringValue } == ["science", "third"])
      let reason = try daemon.call("mixture.log", ["task": "arc"])["revisions"]?.arrayValue?.first?["reason"]
      #expect(reason == "'third' is a new expert (version 1); 'social' (version 1) was retired")
    }
  }

  @Test func aMixtureRecordsEveryDigestThatItDependsOn() throws {
    try withMixture { daemon, first in
      let model = try daemon.call("model.show", ["name": "tiny"])
      let task = try daemon.call("task.show", ["task": "arc"])
      #expect(first["base_digest"] == model["digest"] && first["task_digest"] == task["digest"])
      for expert in first["experts"]?.arrayValue ?? [] {
        let shown = try daemon.call("expert.show", ["expert": expert["name"] ?? .null])
        #expect(expert["digest"] == shown["digest"] && expert["version"] == shown["version"])
      }
      #expect(first["inputs_digest"]?.stringValue?.hasPrefix("sha256:") == true)
    }
  }

  /// Killed after the mixture was stored and before the end of its job was: the job runs again, and what it published
  /// stands.
  @Test func aCrashBetweenAMixtureAndTheEndOfItsJobMakesNoSecondRevision() throws {
    try withMixture { daemon, first in
      daemon.worker.script([])
      let job = try #require(first["search"]?["job"]?.integerValue)
      daemon.stop()
      let state = daemon.daemon.paths
      let catalogue = try Catalogue(
        path: state.catalogue, store: state.store, now: Timestamp(milliseconds: 1))
      try catalogue.transaction { () throws(RegistryError) in
        try catalogue.setState(job, .running, attempts: 1, now: Timestamp(milliseconds: 1))
      }
      catalogue.close()
      try daemon.restart()
      #expect(try daemon.wait(.integer(job))["state"] == "done")
      #expect(daemon.worker.starts.filter { $0.job == job }.count == 2)
      #expect(try daemon.call("mixture.log", ["task": "arc"])["revisions"]?.arrayValue?.count == 1)
      let again = try daemon.call("mixture.get", ["task": "arc"])
      #expect(again == first)
    }
  }

  @Test func aDatabaseOfANewerProgramIsLeftAloneAndSaidSo() throws {
    try withDaemon { (daemon: Harness) throws in
      daemon.stop()
      let path = daemon.daemon.paths.catalogue
      // The user version is the big-endian number at byte 60 of the header (sqlite.org/fileformat2.html).
      let ours = try FileSystem.readAll(path, maximumBytes: 1 << 24)
      var bytes = ours
      bytes[63] = 200
      try FileSystem.writeAtomically(path, bytes, mode: 0o600)
      let error = #expect(throws: DaemonError.self) {
        try Daemon(
          paths: daemon.daemon.paths, configuration: .forTests, launcher: FakeWorker(), log: .silent, shutDown: {})
      }
      #expect(error?.exitCode == 78)
      let text = error?.description ?? ""
      #expect(text.contains("has version 200") && text.contains("run the newer program"), "\(text)")
      #expect(try FileSystem.readAll(path, maximumBytes: 1 << 24) == bytes)
      try FileSystem.writeAtomically(path, ours, mode: 0o600)
      try daemon.restart()
    }
  }
}
