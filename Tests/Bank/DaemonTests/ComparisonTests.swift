import Daemon
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// evaluate.run with strategies, comparisons and sweep.run: what the worker is asked for, and what is refused.
@Suite struct ComparisonTests {
  private func fill(_ daemon: Harness) throws {
    try daemon.addModel()
    try daemon.dropExpert("science", value: 1.25, metadata: [("t2.label", "physics")])
    try daemon.dropExpert("social", value: 0.75)
    try daemon.dropTask("plain")
    try daemon.dropTaskWithEval("arc")
    _ = try daemon.settledMixture("plain")
    _ = try daemon.settledMixture("arc")
  }

  private func comparison(_ daemon: Harness) throws -> CompareSpec {
    let specs = daemon.worker.starts.compactMap { $0.spec as? CompareSpec }
    return try #require(specs.last)
  }

  @Test func aComparisonHasEveryColumnThatThereIsAndSaysWhichThereAreNot() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      let started = try daemon.call("evaluate.run", ["task": "arc", "compare": true, "limit": 3])
      #expect(started["columns"] == ["base", "science@1", "social@1", "prompt", "mixture"])
      let skipped = try #require(started["skipped"]?.arrayValue?.first)
      #expect(skipped["column"] == "classifier")
      #expect(skipped["reason"]?.stringValue?.hasPrefix("model 'tiny' has no active dispatcher") == true)
      #expect(try daemon.wait(started["job"] ?? .null)["state"] == "done")
      let spec = try comparison(daemon)
      #expect(spec.split == .eval && spec.limit == 3 && spec.task.name == "arc")
      guard case .dispatched(let dispatch) = spec.columns[3].weights else {
        Issue.record("the prompt strategy decides row by row")
        return
      }
      #expect(dispatch.names == ["physics", "social", "other"] && dispatch.weights == .base)
      // A label's weights are those of its expert's column, so that its rows are not scored again.
      #expect(spec.columns[1].weights == .fixed(dispatch.labels[0].weights))
      #expect(spec.columns[4].note?.hasPrefix("generation ") == true)

      try daemon.dropExpert("sorter", value: 1.5, metadata: [("t2.kind", "dispatcher")])
      try daemon.sync()
      let again = try daemon.call("evaluate.run", ["task": "arc", "compare": true])
      #expect(again["columns"] == ["base", "science@1", "social@1", "prompt", "classifier", "mixture"])
      #expect(again["skipped"] == [])
      #expect(try daemon.wait(again["job"] ?? .null)["state"] == "done")
      guard case .dispatched(let sorted) = try comparison(daemon).columns[4].weights else {
        Issue.record("the classifier decides row by row")
        return
      }
      #expect(sorted.weights != .base && sorted.labels == dispatch.labels)
    }
  }

  @Test func aStaleMixtureIsComparedAndCalledStale() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      daemon.worker.script([.wait])
      try daemon.dropExpert("social", value: 0.5)
      try daemon.sync()
      _ = try daemon.call("evaluate.run", ["task": "arc", "compare": true])
      daemon.worker.release()
      let job = try #require(try daemon.call("job.list")["jobs"]?.arrayValue?.first { $0["kind"] == "compare" }?["job"])
      #expect(try daemon.wait(job)["state"] == "done")
      #expect(try comparison(daemon).columns.last?.note?.contains("stale: 'social' is now at version 2") == true)
    }
  }

  @Test func aStrategyDecidesWhichWeightsAreEvaluated() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      func weights(_ params: JSONObject) throws -> RowWeights? {
        var params = params
        params["task"] = "arc"
        let job = try daemon.call("evaluate.run", params)["job"] ?? .null
        #expect(try daemon.wait(job)["state"] == "done")
        return (daemon.worker.starts.last?.spec as? EvaluateSpec)?.weights
      }
      #expect(try weights(["strategy": "none"]) == .fixed(.base))
      let expert = try weights(["strategy": "expert", "expert": "science"])
      #expect(try weights(["expert": "science@1"]) == expert && expert != .fixed(.base))
      let mixture = try weights(["strategy": "mixture"])
      #expect(try weights(["mixture": true]) == mixture && mixture != expert)
      guard case .dispatched(let dispatch)? = try weights(["strategy": "prompt", "read": "generate"]) else {
        Issue.record("the prompt strategy decides row by row")
        return
      }
      #expect(dispatch.reading == .generate && dispatch.names == ["physics", "social", "other"])
    }
  }

  @Test func whatContradictsItselfOrIsNotThereIsRefused() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropTask("plain")
      try daemon.sync()
      #expect(try daemon.refusal("evaluate.run", ["task": "plain", "compare": true]) == "bad_task")
      let fewshot: JSONObject = ["task": "plain", "rows": "fewshot", "compare": true]
      #expect(try daemon.refusal("evaluate.run", fewshot) == "empty_bank")
      try fill(daemon)
      for (params, kind): (JSONObject, String) in [
        (["compare": true, "expert": "science"], "invalid_params"),
        (["compare": true, "strategy": "prompt"], "invalid_params"),
        (["compare": true, "dispatcher": "sorter"], "unknown_expert"),
        (["compare": true, "dispatcher": "science"], "no_dispatcher"),
        (["strategy": "classifier"], "no_dispatcher"),
        (["strategy": "expert"], "invalid_params"),
        (["strategy": "none", "expert": "science"], "invalid_params"),
        (["strategy": "prompt", "mixture": true], "invalid_params"),
        (["strategy": "prompt", "dispatcher": "science"], "invalid_params"),
        (["strategy": "mixture", "read": "score"], "invalid_params"),
        (["base": true, "expert": "science"], "invalid_params"),
        (["task": "nothing", "compare": true], "unknown_task"),
      ] {
        var params = params
        if params["task"] == nil { params["task"] = "arc" }
        #expect(try daemon.refusal("evaluate.run", params) == kind, "\(params)")
      }
    }
  }

  @Test func aSweepAsksForEveryCellAndPublishesNothing() throws {
    var configuration = Configuration.forTests
    configuration.search.population = 8
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try fill(daemon)
      let before = try daemon.call("mixture.get", ["task": "arc"])["generation"]
      let started = try daemon.call(
        "sweep.run",
        [
          "task": "arc", "shots": [2, 4], "budgets": ["3", "50p"], "seeds": 3, "seed": 9, "method": "random",
          "experts": ["science"],
        ])
      #expect(started["searches"] == 12)
      #expect(try daemon.wait(started["job"] ?? .null)["state"] == "done")
      let spec = try #require(daemon.worker.starts.last?.spec as? SweepSpec)
      #expect(spec.shots == [2, 4] && spec.budgets == [.iterations(3), .prompts(50)] && spec.seeds == [9, 10, 11])
      #expect(spec.search.method.rawValue == "random" && spec.search.population == 8)
      #expect(spec.experts.map(\.name) == ["science"])
      #expect(try daemon.call("mixture.get", ["task": "arc"])["generation"] == before)

      // Without budgets a search goes as far as one of task.adapt; without shots it has all rows.
      let plain = try daemon.call("sweep.run", ["task": "arc", "budgets": ["2"]])
      #expect(plain["searches"] == 2)
      try daemon.wait(plain["job"] ?? .null)
      let all = try #require(daemon.worker.starts.last?.spec as? SweepSpec)
      #expect(all.shots == [4] && all.experts.count == 2)
      let shots = try daemon.call("sweep.run", ["task": "arc", "shots": [1], "iterations": 7])
      try daemon.wait(shots["job"] ?? .null)
      let few = try #require(daemon.worker.starts.last?.spec as? SweepSpec)
      #expect(few.budgets == [.iterations(7)])
    }
  }

  @Test func aSweepThatCannotBeMadeIsRefusedBeforeItIsQueued() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      for (params, kind): (JSONObject, String) in [
        (["task": "arc"], "invalid_params"), (["task": "arc", "shots": []], "invalid_params"),
        (["task": "arc", "shots": [2, 5]], "bad_task"), (["task": "arc", "shots": [0]], "invalid_params"),
        (["task": "arc", "shots": [2, 2]], "invalid_params"), (["task": "arc", "budgets": ["0"]], "invalid_params"),
        (["task": "arc", "budgets": ["5x"]], "invalid_params"), (["task": "arc", "budgets": []], "invalid_params"),
        (["task": "arc", "budgets": ["5"], "iterations": 3], "invalid_params"),
        (["task": "plain", "shots": [2]], "bad_task"), (["task": "arcc", "shots": [2]], "unknown_task"),
        (["task": "arc", "shots": [2], "experts": ["nobody"]], "unknown_expert"),
      ] {
        #expect(try daemon.refusal("sweep.run", params) == kind, "\(params)")
      }
      for name in ["science", "social"] { try daemon.call("expert.retire", ["expert": .string(name)]) }
      #expect(try daemon.refusal("sweep.run", ["task": "arc", "shots": [2]]) == "empty_bank")
      #expect(!daemon.worker.starts.contains { $0.spec is SweepSpec })
    }
  }
}
