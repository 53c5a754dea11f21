import Settings
import Daemon
import RPCClient
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@Suite struct CheckTests {
  private func specs(_ daemon: Harness) -> [CheckSpec] {
    daemon.worker.starts.compactMap { start in
      start.spec as? CheckSpec
    }
  }

  /// Waits until nothing is queued or runs, also of what a job's end brought about.
  private func settle(_ daemon: Harness) throws {
    while true {
      try daemon.sync()
      let jobs = try daemon.call("job.list")["jobs"]?.arrayValue ?? []
      guard let live = jobs.first(where: { $0["state"] == "queued" || $0["state"] == "running" }) else { return }
      try daemon.wait(live["job"] ?? .null)
    }
  }

  private func state(_ daemon: Harness, _ expert: String) throws -> JSONValue {
    try daemon.call("expert.show", ["expert": .string(expert)])["state"] ?? .null
  }

  @Test func anExpertThatArrivesIsCheckedOnItsTask() throws {
    var configuration = Configuration.forTests
    configuration.checks.rows = 50
    configuration.checks.seeds = 3
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropTaskWithEval("bees")
      try daemon.sync()
      daemon.worker.find([.ordered])
      try daemon.dropExpert("science", value: 1.25, metadata: [("t2.task", "bees")])
      try settle(daemon)
      let spec = try #require(specs(daemon).first)
      #expect(specs(daemon).count == 1)
      #expect(spec.kind == .shuffle && spec.shuffles == 3 && spec.rows == 50 && spec.task.name == "bees")
      let shown = try daemon.call("expert.show", ["expert": "science"])
      let check = try #require(shown["checks"]?.arrayValue?.first)
      #expect(check["verdict"] == "ordered" && check["kind"] == "shuffle" && check["action"] == "warn")
      #expect(shown["unchecked_because"] == nil)
      #expect(check["p"] == 0.002 && check["effect"] == 0.15)
      let id = try #require(check["check"])
      let all = try daemon.call("check.show", ["check": id])
      #expect(all["items"]?.arrayValue?.count == 2 && all["by_metric"]?.arrayValue?.count == 1)
      #expect(try daemon.call("check.list", ["expert": "science"])["checks"]?.arrayValue?.count == 1)
      #expect(try daemon.refusal("check.show", ["check": 99]) == "unknown_check")
      // A restart finds it checked; so does a task that changes.
      try daemon.restart(with: configuration)
      try daemon.dropTaskWithEval("cows", question: "What do cows give?")
      try settle(daemon)
      #expect(specs(daemon).count == 1)
      let log = try daemon.call("expert.log", ["expert": "science"])["events"]?.arrayValue ?? []
      #expect(log.contains { $0["event"] == "check.done" && $0["verdict"] == "ordered" })
    }
  }

  @Test func theLabelNamesTheTaskWhereTheFileDoesNotAndTheTaskMayComeLater() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25, metadata: [("t2.label", "bees"), ("t2.task", "elsewhere")])
      try daemon.dropExpert("nothing", value: 1.5)
      try daemon.dropTask("plain")
      try daemon.dropExpert("plainly", value: 1.75, metadata: [("t2.task", "plain")])
      try settle(daemon)
      func why(_ name: String) throws -> String? {
        try daemon.call("expert.show", ["expert": .string(name)])["unchecked_because"]?.stringValue
      }
      #expect(try why("science") == "no task 'elsewhere' or 'bees' is registered, which its file names")
      #expect(try why("nothing") == "its file names neither a task (t2.task) nor a label (t2.label)")
      #expect(try why("plainly") == "task 'plain' has no eval rows; add eval.jsonl to its directory")
      #expect(specs(daemon).isEmpty)
      try daemon.dropTaskWithEval("bees")
      try settle(daemon)
      #expect(specs(daemon).map(\.expert.name) == ["science"])
      #expect(try why("science") == nil)
    }
  }

  @Test func withoutOnArrivalNothingIsQueuedAndExpertShowSaysSo() throws {
    var configuration = Configuration.forTests
    configuration.checks.onArrival = false
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropTaskWithEval("bees")
      try daemon.dropExpert("science", value: 1.25, metadata: [("t2.task", "bees")])
      try settle(daemon)
      #expect(specs(daemon).isEmpty)
      let why = try daemon.call("expert.show", ["expert": "science"])["unchecked_because"]?.stringValue
      #expect(why == "checks.on_arrival is false; run one with: t2ctl check shuffle science")
    }
  }

  @Test func aModelThatIsAddedGetsTransferChecksOfTheActiveExpertsThatFit() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropTaskWithEval("bees")
      try daemon.dropExpert("science", value: 1.25, metadata: [("t2.task", "bees")])
      try settle(daemon)
      daemon.worker.find([.ordered])
      try daemon.addModel("sibling", content: "GGUF sibling")
      try daemon.addModel("wide", content: "GGUF wide sibling")
      try settle(daemon)
      #expect(specs(daemon).map(\.kind) == [.shuffle, .transfer])
      #expect(specs(daemon).last?.model.path.hasSuffix("sibling.gguf") == true)
      let checks = try daemon.call("check.list")["checks"]?.arrayValue ?? []
      #expect(checks.first?["model"] == "sibling" && checks.first?["passes"] == true)
      // What passed may be tried there; where nothing passed it may not.
      let params: JSONObject = ["prompt": "a", "continuation": "b", "expert": "science"]
      var there = params
      there["model"] = "sibling"
      #expect(try daemon.call("score", there)["weights"] == ["expert": "science@1"])
      there["model"] = "wide"
      #expect(try daemon.refusal("score", there) == "foreign_expert")
    }
  }

  @Test func incompatibleShapesAreSaidSoWithTheFirstMatrixThatDiffers() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.addModel("wide", content: "GGUF wide")
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTaskWithEval("bees")
      try daemon.sync()
      do {
        try daemon.call("check.run", ["kind": "transfer", "expert": "science", "model": "wide", "task": "bees"])
        Issue.record("a check of what cannot fit was queued")
      } catch let RPCClientError.refused(refusal) {
        #expect(refusal.kind == "incompatible_shapes")
        #expect(refusal.details["matrix"] == "model.layers.0.mlp.up_proj.weight")
        #expect(refusal.message.contains("is 6 x 5, the expert's is 6 x 4"))
      }
      #expect(specs(daemon).isEmpty)
    }
  }

  @Test func aCheckThatIsAskedForSaysWhatItLacks() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTask("plain")
      try daemon.sync()
      let shuffle: JSONObject = ["kind": "shuffle", "expert": "science"]
      #expect(try daemon.refusal("check.run", shuffle) == "unknown_task")
      #expect(try daemon.refusal("check.run", ["kind": "shuffle", "expert": "nobody"]) == "unknown_expert")
      #expect(
        try daemon.refusal("check.run", ["kind": "transfer", "expert": "science", "task": "plain"]) == "invalid_params")
      #expect(
        try daemon.refusal("check.run", ["kind": "transfer", "expert": "science", "task": "plain", "model": "tiny"])
          == "conflict")
      // Few-shot rows will do where a person asks.
      let started = try daemon.call(
        "check.run", ["kind": "shuffle", "expert": "science", "task": "plain", "seeds": 2, "rows": 3, "seed": 9])
      #expect(started["rows"] == "fewshot")
      #expect(try daemon.wait(started["job"] ?? .null)["result"]?["verdict"] == "inconclusive")
      let spec = try #require(specs(daemon).first)
      #expect(spec.shuffles == 2 && spec.rows == 3 && spec.seed == 9)
    }
  }

  @Test func theSameCheckTwiceIsOneJobAndACheckGivesWayToASearch() throws {
    try withDaemon(FakeWorker([.wait])) { (daemon: Harness) throws in
      daemon.worker.scriptChecks()
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTaskWithEval("bees")
      try daemon.sync()
      daemon.worker.release()
      try settle(daemon)
      daemon.worker.script([.wait])
      let params: JSONObject = ["kind": "shuffle", "expert": "science", "task": "bees"]
      let first = try daemon.call("check.run", params)["job"]
      #expect(try daemon.call("check.run", params)["job"] == first)
      let pending = try daemon.call("check.list")["pending"]?.arrayValue ?? []
      #expect(pending.first?["state"] == "running" && pending.first?["expert"] == "science")
      // The search that is asked for meanwhile does not wait for the check's end: nothing here would end it.
      let search = try daemon.call("task.adapt", ["task": "bees", "seed": 77])["job"] ?? .null
      #expect(try daemon.wait(search)["state"] == "done")
      let check = try daemon.wait(first ?? .null)
      #expect(check["state"] == "done" && check["attempts"] == 1)
      #expect(specs(daemon).count == 2)
    }
  }

  @Test func aVerdictMayPromoteWhatWaits() throws {
    var configuration = Configuration.forTests
    configuration.promotion = .manual
    configuration.checks.policy.ordered = .promote
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropTaskWithEval("bees")
      daemon.worker.find([.ordered, .inconclusive])
      try daemon.dropExpert("good", value: 1.25, metadata: [("t2.task", "bees")])
      try settle(daemon)
      try daemon.dropExpert("unclear", value: 1.5, metadata: [("t2.task", "bees")])
      try settle(daemon)
      #expect(try state(daemon, "good") == "active")
      #expect(try state(daemon, "unclear") == "candidate")
      let log = try daemon.call("expert.log", ["expert": "good"])["events"]?.arrayValue ?? []
      let promoted = log.first { $0["event"] == "expert.promoted" }
      #expect(promoted?["who"] == "t2d" && promoted?["reason"] == "check 1: ordered on task 'bees'")
    }
  }

  @Test func aVerdictMayQuarantineWithAReasonAndTheVersionBeforeTakesOver() throws {
    var configuration = Configuration.forTests
    configuration.checks.policy.noBetterThanShuffled = .quarantine
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropTaskWithEval("bees")
      daemon.worker.find([.ordered, .noBetterThanShuffled])
      try daemon.dropExpert("science", value: 1.25, metadata: [("t2.task", "bees")])
      try settle(daemon)
      let follower = try RPCClient(socketPath: daemon.daemon.paths.socket)
      try follower.call("events.subscribe", ["events": ["expert.quarantined"]])
      try daemon.dropExpert("science", value: 1.5, metadata: [("t2.task", "bees")])
      try settle(daemon)
      let event = try #require(try follower.nextNotification(timeout: .seconds(10))).params
      #expect(event["subject"] == "science" && event["version"] == 2 && event["to"] == 1)
      let shown = try daemon.call("expert.show", ["expert": "science@2"])
      #expect(shown["state"] == "quarantined" && shown["active"] == 1)
      #expect(
        shown["quarantine"] == [
          "kind": "no_better_than_shuffled", "check": 2, "check_kind": "shuffle", "task": "bees", "model": "tiny",
        ])
      // Searches go on with the version before, and the mixture says why.
      let mixture = try daemon.settledMixture("bees")
      #expect(mixture["experts"]?.arrayValue?.first?["version"] == 1)
      #expect(try daemon.refusal("expert.promote", ["expert": "science@2"]) == "conflict")
      // The same file again does not bring it back; a person may.
      try daemon.dropExpert("again", value: 1.5, metadata: [("t2.name", "science"), ("t2.task", "bees")])
      try settle(daemon)
      #expect(try state(daemon, "science@2") == "quarantined")
      try daemon.call("expert.promote", ["expert": "science@2", "allow_quarantined": true])
      #expect(try state(daemon, "science@2") == "active")
      #expect(try daemon.call("expert.show", ["expert": "science@2"])["quarantine"] == nil)
    }
  }

  @Test func anOnlyVersionThatIsQuarantinedLeavesNoneAndTheTaskWithoutExperts() throws {
    var configuration = Configuration.forTests
    configuration.checks.policy.noBetterThanShuffled = .quarantine
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try daemon.addModel()
      daemon.worker.find([.noBetterThanShuffled])
      try daemon.dropTask("arc")
      try daemon.dropExpert("science", value: 1.25, metadata: [("t2.task", "bees")])
      #expect(try daemon.settledMixture("arc")["stale"] == false)
      try daemon.dropTaskWithEval("bees")
      try settle(daemon)
      #expect(try daemon.call("expert.show", ["expert": "science"])["active"] == .null)
      let mixture = try daemon.call("mixture.get", ["task": "arc"])
      #expect(mixture["stale"] == true)
      #expect(
        mixture["stale_reason"]
          == "no expert of model 'tiny' is active; 'science' (version 1) was quarantined by a check")
      #expect(try daemon.refusal("task.adapt", ["task": "bees"]) == "waiting_for_experts")
    }
  }

  /// What a person asks for informs that person: the policy is for what comes by itself.
  @Test func aCheckThatAPersonAsksForQuarantinesNothing() throws {
    var configuration = Configuration.forTests
    configuration.checks.policy.noBetterThanShuffled = .quarantine
    configuration.checks.onArrival = false
    let logged = ["an expert is no better than its shuffles"]
    try withDaemon(configuration: configuration, logged: logged) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropTaskWithEval("bees")
      try daemon.dropExpert("science", value: 1.25, metadata: [("t2.task", "bees")])
      try settle(daemon)
      daemon.worker.find([.noBetterThanShuffled])
      let job = try daemon.call("check.run", ["kind": "shuffle", "expert": "science"])["job"] ?? .null
      #expect(try daemon.wait(job)["result"]?["action"] == "warn")
      #expect(try state(daemon, "science") == "active")
    }
  }

  @Test func aForeignExpertWaitsForItsTransferCheckAndThenMayBeUsed() throws {
    let foreign = ("t2.base.digest", "sha256:" + String(repeating: "d", count: 64))
    for (verdict, policy) in [(CheckVerdict.ordered, "warn"), (.inconclusive, "warn"), (.ordered, "promote")] {
      var configuration = Configuration.forTests
      if policy == "promote" { configuration.checks.policy.ordered = .promote }
      try withDaemon(configuration: configuration) { (daemon: Harness) throws in
        try daemon.addModel()
        try daemon.dropTaskWithEval("bees")
        try daemon.sync()
        daemon.worker.find([verdict])
        try daemon.dropExpert("science", value: 1.25, metadata: [("t2.task", "bees"), foreign])
        try settle(daemon)
        #expect(specs(daemon).map(\.kind) == [.transfer])
        let shown = try daemon.call("expert.show", ["expert": "science"])
        #expect(shown["foreign"] == true)
        #expect(shown["state"] == (policy == "promote" ? "active" : "candidate"))
        switch (policy, verdict) {
        case ("promote", _): break  // It is active by itself.
        case (_, .ordered):
          try daemon.call("expert.promote", ["expert": "science@1"])
          #expect(try state(daemon, "science") == "active")
        default:
          #expect(try daemon.refusal("expert.promote", ["expert": "science@1"]) == "foreign_expert")
          try daemon.call("expert.promote", ["expert": "science@1", "allow_base": true])
          #expect(try state(daemon, "science") == "active")
        }
      }
    }
  }

  @Test func aCheckWhoseWorkerDiesGoesOnWithItsJournal() throws {
    try withDaemon(FakeWorker([.die(afterGenerations: 2)]), logged: ["the worker ended"]) { (daemon: Harness) throws in
      daemon.worker.scriptChecks()
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTaskWithEval("bees")
      daemon.worker.script([])
      try settle(daemon)
      daemon.worker.script([.die(afterGenerations: 2)])
      let job = try daemon.call("check.run", ["kind": "shuffle", "expert": "science", "task": "bees"])["job"] ?? .null
      #expect(try daemon.wait(job)["state"] == "done")
      let starts = daemon.worker.starts.filter { $0.spec is CheckSpec }
      #expect(starts.map(\.journal.count) == [0, 2])
    }
  }
}
