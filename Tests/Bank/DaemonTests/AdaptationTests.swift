import Settings
import Daemon
import RPCClient
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@Suite struct AdaptationTests {
  private func fill(_ daemon: Harness) throws {
    try daemon.addModel()
    try daemon.dropExpert("science", value: 1.25)
    try daemon.dropExpert("social", value: 0.75)
    try daemon.dropTask("arc")
  }

  @Test func aDroppedTaskBecomesAMixture() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      let mixture = try daemon.settledMixture("arc")
      #expect(mixture["alpha"] == ["science": 0.75, "social": 0.25])
      #expect(mixture["stale"] == false)
      #expect(mixture["model"] == "tiny")
      #expect(mixture["experts"]?.arrayValue?.compactMap { $0["version"]?.intValue } == [1, 1])
      #expect(mixture["scores"]?["base"]?["fit"] == 0.5)

      let generation = try #require(mixture["generation"]?.integerValue)
      let again = try daemon.call("mixture.get", ["task": "arc", "if_generation": .integer(generation)])
      #expect(again == ["not_modified": true, "generation": .integer(generation)])

      try daemon.call("mixture.get", ["task": "arc", "pass_fd": true])
      let file = try #require(daemon.client.takeDescriptor())
      #expect(try file.status().size == mixture["vectors"]?["bytes"]?.intValue)
      #expect(try daemon.call("mixture.list")["mixtures"]?.arrayValue?.count == 1)
      let row = try daemon.call("task.show", ["task": "arc"])
      #expect(row["state"] == "ready")
    }
  }

  @Test func whatOnlyAReportReadsIsLeftToTheJob() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      let mixture = try daemon.settledMixture("arc")
      let line = try #require(mixture["search"]?["configurations"]?.arrayValue?.first)
      #expect(line["method"] == "cem" && line["history"] == nil && mixture["eval_items"] == nil)
      let job = try daemon.call("job.show", ["job": mixture["search"]?["job"] ?? .null])
      let full = try #require(job["result"]?["search"]?["configurations"]?.arrayValue?.first)
      #expect(full["history"]?.arrayValue?.count == 1)
      let item = try #require(job["result"]?["eval_items"]?["items"]?.arrayValue?.first)
      #expect(item["question"] == "What do bees make?" && item["mixture"] == ["text": "Honey", "right": true])
    }
  }

  private func dropTask(_ daemon: Harness, _ name: String, search: String) throws {
    try daemon.dropTask(name, files: ["task.json5": Array("{search: \(search)}".utf8)])
  }

  /// What a task's file may say of its search, a search takes: the two have the same bounds.
  @Test func whatATaskMaySayOfItsSearchIsNeverTooMuchForIt() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      let bounds = [
        "{budget: {prompts: 1000000000, seconds: 1000000}, shots: 100000, iterations: 10000, population: 4096}",
        "{budget: {prompts: 1, seconds: 0.1}, shots: 1, iterations: 1, population: 2, elite: 0.01, range: [-100, 100]}",
      ]
      for (number, search) in bounds.enumerated() {
        try dropTask(daemon, "task\(number)", search: search)
        #expect(try daemon.settledMixture("task\(number)")["alpha"] != nil, "\(search)")
      }
      for (number, beyond) in ["{budget: {prompts: 1000000001}}", "{budget: {seconds: 0.01}}", "{shots: 100001}"]
        .enumerated()
      {
        try dropTask(daemon, "beyond\(number)", search: beyond)
        try daemon.sync()
        #expect(try daemon.ingestState(of: "beyond\(number)") == "rejected", "\(beyond)")
      }
    }
  }

  @Test func anEliteIsAShareOfThePopulationThatThereWillBe() throws {
    var configuration = Configuration.forTests
    configuration.search.population = 16
    configuration.search.elites = 3
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try dropTask(daemon, "arc", search: "{elite: 1}")
      _ = try daemon.settledMixture("arc")
      try daemon.wait(try daemon.call("task.adapt", ["task": "arc", "population": 8])["job"] ?? .null)
      let searches = daemon.worker.starts.compactMap { start -> SearchSettings? in
        (start.spec as? AdaptSpec)?.search
      }
      #expect(searches.map(\.population) == [16, 8] && searches.map(\.elites) == [16, 8])
    }
  }

  @Test func theSpecOfASearchIsLaidOverFromConfigurationTaskAndRequest() throws {
    var configuration = Configuration.forTests
    configuration.search.iterations = 7
    configuration.search.seed = 11
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try fill(daemon)
      _ = try daemon.settledMixture("arc")
      let job = try daemon.call("task.adapt", ["task": "arc", "iterations": 3, "granularity": "layer"])
      try daemon.wait(job["job"] ?? .null)
      let specs = daemon.worker.starts.compactMap { start -> AdaptSpec? in
        start.spec as? AdaptSpec
      }
      #expect(specs.map(\.search.iterations) == [7, 3])
      #expect(specs.map(\.search.seed) == [11, 11])
      #expect(specs.last?.search.granularities == [.layer])
      #expect(specs.last?.experts.map(\.name) == ["science", "social"])
      // What a user asked for is asked again when the mixture is made anew.
      try daemon.dropExpert("science", value: 1.5)
      _ = try daemon.settledMixture("arc")
      let last = try #require(daemon.worker.starts.last?.spec as? AdaptSpec)
      #expect(last.search.iterations == 3)
      #expect(last.experts.map(\.version) == [2, 1])
    }
  }

  /// One coefficient for every layer or matrix goes from `task.adapt` to the worker, and as lists that follow `units` from
  /// there to whoever asks for the mixture.
  @Test(arguments: [("layer", ["model.layers.0"]), ("matrix", TinyModel.targets.map(\.name))])
  func aGranularityGoesThroughToTheMixture(granularity: String, units: [String]) throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      _ = try daemon.settledMixture("arc")
      let job = try daemon.call("task.adapt", ["task": "arc", "granularity": .string(granularity)])
      try daemon.wait(job["job"] ?? .null)
      let mixture = try daemon.settledMixture("arc")
      #expect(mixture["granularity"] == .string(granularity))
      #expect(mixture["units"] == .array(units.map { .string($0) }))
      #expect(
        mixture["alpha"] == [
          "science": .array(units.map { _ in 0.75 }), "social": .array(units.map { _ in 0.25 }),
        ])
    }
  }

  @Test func aTaskBeforeItsExpertsWaitsForThem() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropTask("arc")
      try daemon.sync()
      #expect(try daemon.call("task.show", ["task": "arc"])["state"] == "waiting_for_experts")
      #expect(try daemon.refusal("mixture.get", ["task": "arc"]) == "waiting_for_experts")
      #expect(try daemon.refusal("task.adapt", ["task": "arc"]) == "waiting_for_experts")
      try daemon.dropExpert("science", value: 1.25)
      #expect(try daemon.settledMixture("arc")["alpha"] == ["science": 0.75])
    }
  }

  @Test func tasksWhoseExpertsAreAllRetiredWaitForExpertsAndHaveNotFailed() throws {
    try withDaemon(FakeWorker([.wait])) { (daemon: Harness) throws in
      try fill(daemon)
      for name in ["second", "third"] { try daemon.dropTask(name, question: "And \(name)?") }
      try daemon.sync()
      let jobs = try ["arc", "second", "third"].map { try daemon.newestSearch($0) }
      for expert in ["science", "social"] { try daemon.call("expert.retire", ["expert": .string(expert)]) }
      for job in jobs { #expect(try daemon.wait(job)["state"] == "cancelled") }
      for task in ["arc", "second", "third"] {
        let shown = try daemon.call("task.show", ["task": .string(task)])
        #expect(shown["state"] == "waiting_for_experts" && shown["error"] == nil, "\(shown)")
        #expect(try daemon.refusal("mixture.get", ["task": .string(task)]) == "waiting_for_experts")
      }
      try daemon.call("expert.promote", ["expert": "science@1"])
      for task in ["arc", "second", "third"] {
        #expect(try daemon.settledMixture(task)["alpha"] == ["science": 0.75])
      }
    }
  }

  @Test func withoutAMixtureTheErrorNamesTheJob() throws {
    try withDaemon(FakeWorker([.wait])) { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.sync()
      do {
        try daemon.call("mixture.get", ["task": "arc"])
        Issue.record("answered without a mixture")
      } catch let RPCClientError.refused(refusal) {
        #expect(refusal.kind == "no_mixture_yet")
        #expect(refusal.details["job"] == (try daemon.newestSearch("arc")))
      }
      daemon.worker.release()
      #expect(try daemon.settledMixture("arc")["stale"] == false)
    }
  }

  @Test func anAliasThatMovesMakesTheMixtureStaleAndThenNew() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      let first = try daemon.settledMixture("arc")
      daemon.worker.script([.wait])
      try daemon.dropExpert("science", value: 1.5)
      try daemon.sync()
      let stale = try daemon.call("mixture.get", ["task": "arc"])
      #expect(stale["stale"] == true)
      #expect(stale["stale_reason"] == "'science' is now at version 2 (was 1)")
      #expect(stale["alpha"] == first["alpha"])
      daemon.worker.release()
      let second = try daemon.settledMixture("arc")
      #expect(second["stale"] == false)
      #expect(second["experts"]?.arrayValue?.compactMap { $0["version"]?.intValue } == [2, 1])
      let log = try daemon.call("mixture.log", ["task": "arc"])["revisions"]?.arrayValue ?? []
      #expect(log.compactMap { $0["revision"]?.intValue } == [2, 1])
      #expect(log.first?["reason"] == "'science' is now at version 2 (was 1)")
      let generations = [first, stale, second].compactMap { $0["generation"]?.integerValue }
      #expect(generations == generations.sorted() && Set(generations).count == 3)
    }
  }

  @Test func aSearchWhoseInputsChangeGivesWayToTheNext() throws {
    try withDaemon(FakeWorker([.wait])) { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.sync()
      let old = try daemon.newestSearch("arc")
      try daemon.dropExpert("third", value: 1.75)
      #expect(try daemon.settledMixture("arc")["alpha"] == ["science": 0.75, "social": 0.125, "third": 0.125])
      let job = try daemon.call("job.show", ["job": old])
      #expect(job["state"] == "cancelled")
      #expect(job["error"]?["message"]?.stringValue?.hasPrefix("its inputs changed; job ") == true)
    }
  }

  @Test func aChangedTaskFileIsANewRevisionAndANewMixture() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      let first = try daemon.settledMixture("arc")
      try daemon.dropTask("arc", question: "What do cows give?")
      let second = try daemon.settledMixture("arc")
      #expect(second["stale"] == false)
      #expect(second["task_digest"] != first["task_digest"])
      #expect(try daemon.call("task.show", ["task": "arc"])["revision"] == 2)
    }
  }

  @Test func aWorkerThatDiesInASearchIsReplacedAndTheSearchGoesOn() throws {
    try withDaemon(FakeWorker([.die(afterGenerations: 3)]), logged: ["the worker ended"]) { (daemon: Harness) throws in
      try fill(daemon)
      let mixture = try daemon.settledMixture("arc")
      #expect(mixture["stale"] == false)
      #expect(mixture["search"]?["generations"] == 5)
      let searches = daemon.worker.starts.filter { $0.spec is AdaptSpec }
      #expect(searches.map(\.journal.count) == [0, 3])
      #expect(Set(searches.map(\.job)).count == 1)
      #expect(daemon.worker.launches == 2)
      #expect(try daemon.call("job.show", ["job": .integer(searches[0].job)])["attempts"] == 2)
    }
  }

  @Test func aSearchThatKillsEveryWorkerIsGivenUp() throws {
    let worker = FakeWorker([.die(afterGenerations: 1), .die(afterGenerations: 1), .die(afterGenerations: 1)])
    try withDaemon(worker, logged: ["the worker ended"]) { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.sync()
      let job = try daemon.wait(try daemon.newestSearch("arc"))
      #expect(job["state"] == "failed")
      #expect(job["error"]?["message"]?.stringValue?.contains("given up after 3 attempts") == true)
      let task = try daemon.call("task.show", ["task": "arc"])
      #expect(task["state"] == "failed")
      #expect(try daemon.refusal("mixture.get", ["task": "arc"]) == "no_mixture_yet")
    }
  }

  @Test func aFailedSearchIsNotRepeatedUntilSomethingChanges() throws {
    try withDaemon(FakeWorker([.fail])) { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.sync()
      let job = try daemon.wait(try daemon.newestSearch("arc"))
      #expect(job["error"]?["kind"] == "task_unreadable")
      try daemon.sync()
      #expect(daemon.worker.starts.filter { $0.spec is AdaptSpec }.count == 1)
      try daemon.dropExpert("third", value: 1.75)
      #expect(try daemon.settledMixture("arc")["stale"] == false)
    }
  }

  @Test func aCancelledSearchEndsAndCancellingTwiceIsNoError() throws {
    try withDaemon(FakeWorker([.wait])) { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.sync()
      let job = try daemon.newestSearch("arc")
      // It has written its file already, and was stopped before it said so.
      var begun: AdaptSpec?
      for _ in 0..<200 where begun == nil {
        begun = daemon.worker.starts.last?.spec as? AdaptSpec
        if begun == nil { try daemon.call("job.wait", ["job": job, "timeout_ms": 50]) }
      }
      let spec = try #require(begun)
      try FileSystem.writeAtomically(spec.vectorsPath, [1])
      try daemon.call("job.cancel", ["job": job])
      #expect(try daemon.wait(job)["state"] == "cancelled")
      #expect(try FileSystem.status(spec.vectorsPath) == nil)
      #expect(try daemon.call("job.cancel", ["job": job])["state"] == "cancelled")
      #expect(try daemon.refusal("job.cancel", ["job": 999]) == "unknown_job")
    }
  }

  @Test func anEvaluationIsAJobWithAResult() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.sync()
      #expect(try daemon.refusal("evaluate.run", ["task": "arc"]) == "bad_task")
      let started = try daemon.call("evaluate.run", ["task": "arc", "rows": "fewshot", "expert": "science"])
      #expect(try daemon.wait(started["job"] ?? .null)["result"]?["acc"] == 0.5)
    }
  }

  @Test func twoModelsWithoutADefaultAreAmbiguous() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel("tiny")
      try daemon.addModel("second", content: "GGUF second")
      #expect(try daemon.refusal("model.tokenize", ["text": "a"]) == "ambiguous_model")
      #expect(try daemon.call("model.tokenize", ["text": "a", "model": "tiny"]) == ["ids": [97]])
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      let rejected = try daemon.call("expert.list")["rejected"]?.arrayValue ?? []
      #expect(rejected.first?["kind"] == "ambiguous_model")
    }
  }
}
