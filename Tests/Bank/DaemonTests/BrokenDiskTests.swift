import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

/// The disk refuses for a while: what is asked for is refused, what happens is stored later, what is there is served.
@Suite struct BrokenDiskTests {
  private func fill(_ daemon: Harness) throws {
    try daemon.addModel()
    try daemon.dropExpert("science", value: 1.25)
    try daemon.dropTask("arc")
  }

  private func breakRedoLog(_ daemon: Harness) throws -> ReadOnlyFiles {
    try ReadOnlyFiles(daemon.prefix + "/var/lib/t2d/redo/0.log")
  }

  private func hasWarning(_ daemon: Harness) throws -> Bool {
    try daemon.call("system.status")["warnings"]?.arrayValue?.contains { $0["code"] == "store" } ?? false
  }

  /// Each question takes a turn.
  private func waitUntil(_ what: String, _ condition: () throws -> Bool) throws {
    let deadline = Deadline.after(.seconds(20))
    while try !condition() { try #require(!deadline.hasPassed, "\(what)") }
  }

  @Test func aJobWhoseCommitFailsDoesNotExistAndTheNextOneDoes() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      _ = try daemon.settledMixture("arc")
      let before = try daemon.call("job.list")
      // The database is opened again after the error, and can be written then.
      let broken = try ReadOnlyFiles(daemon.daemon.paths.catalogue + "-wal")
      #expect(try daemon.refusal("task.adapt", ["task": "arc"]) == "not_stored")
      broken.mend()
      #expect(try daemon.call("job.list") == before)
      let job = try #require(try daemon.call("task.adapt", ["task": "arc"])["job"])
      #expect(try daemon.wait(job)["state"] == "done")
      #expect(try daemon.call("job.show", ["job": job])["job"] == job)
    }
  }

  @Test func whileNothingCanBeStoredWhatIsThereIsServedAndItIsSaid() throws {
    try withDaemon(logged: ["cannot "]) { (daemon: Harness) throws in
      try fill(daemon)
      let mixture = try daemon.settledMixture("arc")
      let jobs = try daemon.call("job.list")
      let broken = try breakRedoLog(daemon)
      // The first may not know whether the disk has it.
      #expect(["unconfirmed", "not_stored"].contains(try daemon.refusal("task.adapt", ["task": "arc"])))
      for _ in 1...3 { #expect(try daemon.refusal("task.adapt", ["task": "arc"]) == "not_stored") }
      #expect(try daemon.refusal("expert.retire", ["expert": "science"]) == "not_stored")
      #expect(try daemon.call("mixture.get", ["task": "arc"]) == mixture)
      #expect(try daemon.call("job.list") == jobs)
      #expect(try hasWarning(daemon))
      try daemon.dropExpert("social", value: 0.75)
      try daemon.sync()
      #expect(try daemon.refusal("expert.show", ["expert": "social"]) == "unknown_expert")
      #expect(try daemon.ingestState(of: "social.safetensors") == "incomplete", "its state is shown from memory")
      #expect(try daemon.call("expert.list")["rejected"]?.arrayValue?.count == 1)
      broken.mend()
      try waitUntil("the warning ends with its cause") { try !hasWarning(daemon) }
      try waitUntil("the file is taken by itself") { try daemon.ingestState(of: "social.safetensors") == "accepted" }
      let job = try #require(try daemon.call("task.adapt", ["task": "arc"])["job"])
      #expect(try daemon.wait(job)["state"] == "done")
    }
  }

  @Test func aSearchThatEndsMeanwhileIsPublishedLaterAndOnce() throws {
    try withDaemon(FakeWorker([.wait]), logged: ["cannot "]) { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.sync()
      let job = try daemon.newestSearch("arc")
      try waitUntil("the search begins") { daemon.worker.searches == 1 }
      let broken = try breakRedoLog(daemon)
      daemon.worker.release()
      try waitUntil("its end cannot be stored") { try hasWarning(daemon) }
      #expect(try daemon.call("job.show", ["job": job])["state"] == "running")
      #expect(try daemon.refusal("task.adapt", ["task": "arc"]) == "not_stored")
      broken.mend()
      #expect(try daemon.wait(job)["state"] == "done")
      #expect(try daemon.call("mixture.get", ["task": "arc"])["search"]?["job"] == job)
      #expect(try daemon.call("mixture.log", ["task": "arc"])["revisions"]?.arrayValue?.count == 1)
      #expect(daemon.worker.searches == 1)
    }
  }

  @Test func aWorkerThatIsLostMeanwhileLosesNoJob() throws {
    try withDaemon(FakeWorker([.wait]), logged: ["cannot ", "worker"]) { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.sync()
      let job = try daemon.newestSearch("arc")
      try waitUntil("the search begins") { daemon.worker.searches == 1 }
      let broken = try breakRedoLog(daemon)
      daemon.worker.vanish()
      try waitUntil("it cannot be stored") { try hasWarning(daemon) }
      broken.mend()
      #expect(try daemon.wait(job)["state"] == "done")
      #expect(try daemon.call("job.show", ["job": job])["attempts"] == 2)
    }
  }

  @Test func aCancellationThatCannotBeStoredIsRefusedAndTheJobGoesOn() throws {
    try withDaemon(FakeWorker([.wait])) { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.sync()
      let job = try daemon.newestSearch("arc")
      try waitUntil("the search begins") { daemon.worker.searches == 1 }
      let queued = try #require(try daemon.call("expert.list")["experts"])
      #expect(queued.arrayValue?.count == 1)
      let second = try #require(
        try daemon.call("evaluate.run", ["task": "arc", "rows": "fewshot", "expert": "science"])["job"])
      let broken = try breakRedoLog(daemon)
      #expect(["unconfirmed", "not_stored"].contains(try daemon.refusal("job.cancel", ["job": second])))
      #expect(try daemon.call("job.show", ["job": second])["state"] == "queued")
      broken.mend()
      try daemon.call("job.cancel", ["job": second])
      #expect(try daemon.call("job.show", ["job": second])["state"] == "cancelled")
      daemon.worker.release()
      #expect(try daemon.wait(job)["state"] == "done")
    }
  }
}
