import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// Checks of the starter experts on the real model: what the order of an expert's multipliers is worth.
extension EndToEnd {
  @Suite(.serialized) struct CheckTests {
    /// The task that `science` names, with its evaluation rows; for an expert that is not there, so that nothing is
    /// searched.
    private func dropTask(_ daemon: RunningDaemon) throws {
      try EndToEndTests.dropTask(
        daemon, "arc_easy",
        [
          (
            "fewshot.jsonl",
            FileSystem.readAll("\(repository)/etc/examples/tasks/arc_challenge.jsonl", maximumBytes: 1 << 20)
          ),
          (
            "eval.jsonl",
            FileSystem.readAll(
              "\(repository)/Tests/Programs/EndToEndTests/Fixtures/arc_easy.eval.jsonl", maximumBytes: 1 << 20)
          ),
          ("task.json5", Array(#"{ experts: ["nobody"] }"#.utf8)),
        ])
    }

    private func check(_ daemon: RunningDaemon, _ client: RPCClient, _ params: JSONObject) throws -> JSONObject {
      let job = try #require(try client.call("check.run", params).objectValue?["job"]?.integerValue)
      return try #require(try daemon.finish(job)["result"]?.objectValue)
    }

    private func scores(_ outcome: JSONValue?) -> (base: Double, expert: Double, shuffles: [Double]) {
      let scores = outcome?["scores"]
      return (
        scores?["base"]?.doubleValue ?? -1, scores?["expert"]?.doubleValue ?? -1,
        (scores?["shuffles"]?.arrayValue ?? []).compactMap(\.doubleValue)
      )
    }

    @Test func anExpertThatArrivesIsCheckedByItselfAndFoundOrdered() throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try dropTask(daemon)
        try dropExperts(daemon)
        try client.call("system.sync")
        try eventually("science is checked", within: .seconds(600)) {
          try client.call("expert.show", ["expert": "science"])["checks"]?.arrayValue?.isEmpty == false
        }
        let shown = try client.call("expert.show", ["expert": "science"])
        let check = try #require(shown["checks"]?.arrayValue?.first)
        #expect(check["verdict"] == "ordered" && check["kind"] == "shuffle" && check["n"] == 200, "\(check.jsonText)")
        #expect(try #require(check["p"]?.doubleValue) < 0.01)
        let (base, expert, shuffles) = scores(check)
        #expect(expert > base && shuffles.count == 5 && shuffles.allSatisfy { $0 < expert })
        let why = try client.call("expert.show", ["expert": "social"])["unchecked_because"]?.stringValue
        #expect(why == "no task 'social' is registered, which its file names")

        // The items are those of an evaluation.
        let all = try client.call("check.show", ["check": check["check"] ?? .null])
        let right = all["items"]?.arrayValue?[1]["right"]?.arrayValue?.first?.stringValue
        let evaluated = try items(daemon, client, ["task": "arc_easy", "expert": "science", "limit": 48])
        #expect(evaluated.count == 48)
        #expect(right?.hasPrefix(evaluated.map { $0 ? "1" : "0" }.joined()) == true)

        // The model of the fixtures has other shapes: said at once, with the first matrix that differs.
        let tiny = "\(repository)/Tests/Model/TransformerTests/Fixtures/tiny"
        let added = try client.call("model.add", ["path": .string(tiny), "name": "tiny"])
        if let job = added["job"]?.integerValue { try daemon.finish(job) }
        let (_, exit) = try daemon.t2ctl("check", "transfer", "science", "--to", "tiny")
        #expect(exit == .code(1))
        do {
          try client.call("check.run", ["kind": "transfer", "expert": "science", "model": "tiny"])
          Issue.record("a check of what cannot fit was queued")
        } catch let RPCClientError.refused(refusal) {
          #expect(refusal.kind == "incompatible_shapes")
          #expect(refusal.details["matrix"] == "model.layers.0.self_attn.q_proj.weight")
        }
      }
    }

    /// On all 400 rows as PyTorch had it: the base 0.5025 and 0.475, `science` 0.6425 and 0.650.
    @Test(.enabled(if: longSweeps))
    func onAllRowsScienceIsOrderedAndSocialIsNoBetterThanItsShuffles() throws {
      try withDaemon(logged: ["an expert is no better than its shuffles"]) { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try dropExperts(daemon)
        try dropTask(daemon)
        try client.call("system.sync")
        let science = try check(daemon, client, ["kind": "shuffle", "expert": "science", "rows": 400])
        #expect(science["verdict"] == "ordered" && science["n"] == 400)
        let outcomes = try #require(science["by_metric"]?.arrayValue)
        for (outcome, expected) in zip(outcomes, [(0.5025, 0.6425), (0.475, 0.650)]) {
          let (base, expert, shuffles) = scores(outcome)
          // One row of 400 may turn by rounding.
          #expect(abs(base - expected.0) < 0.003 && abs(expert - expected.1) < 0.003)
          #expect(shuffles.allSatisfy { $0 < expert - 0.08 }, "\(shuffles)")
          #expect(try #require(outcome["versus_shuffles"]?["p"]?.doubleValue) < 0.01)
          #expect(outcome["verdict"] == "ordered")
        }
        let social = try check(
          daemon, client, ["kind": "shuffle", "expert": "social", "rows": 400, "task": "arc_easy"])
        #expect(social["verdict"] != "ordered")
        let (_, expert, shuffles) = scores(social["by_metric"]?.arrayValue?.first)
        #expect(expert < shuffles.reduce(0, +) / 5 + 0.02)
      }
    }

    /// PyTorch, 200 rows: on the sibling the base has 0.50, `science` 0.58 and its shuffle 0.45.
    @Test(.enabled(if: longSweeps))
    func scienceTransfersToASiblingAndNotToOneOfAnotherOrder() throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try dropExperts(daemon)
        try dropTask(daemon)
        try client.call("system.sync")
        for (name, arguments) in [("sibling", []), ("permuted", ["--permute"])] {
          let path = "\(daemon.prefix)/\(name).gguf"
          let bench = try ChildProcess(
            "\(try builtPrograms())/t2bench",
            arguments: ["t2bench", "sibling", realModel ?? "", path] + arguments,
            environment: ChildProcess.environment(without: []), socket: nil)
          #expect(bench.waitForExit(until: .after(.seconds(600))) == .code(0))
          let added = try client.call("model.add", ["path": .string(path), "name": .string(name)])
          if let job = added["job"]?.integerValue { try daemon.finish(job) }
        }
        // They have begun by themselves; asking for the same finds them.
        let there = try check(daemon, client, ["kind": "transfer", "expert": "science", "model": "sibling"])
        #expect(there["verdict"] == "ordered" && there["passes"] == true, "\(there["by_metric"]?.jsonText ?? "")")
        let (base, expert, _) = scores(there["by_metric"]?.arrayValue?.first)
        #expect(expert > base)
        let control = try check(daemon, client, ["kind": "transfer", "expert": "science", "model": "permuted"])
        #expect(
          control["verdict"] != "ordered" && control["passes"] == false, "\(control["by_metric"]?.jsonText ?? "")")
        // What passed may be used there by name, the other may not.
        let params: JSONObject = ["prompt": "The sky is", "continuation": " blue", "expert": "science"]
        var used = params
        used["model"] = "sibling"
        #expect(try client.call("score", used)["weights"] == ["expert": "science@1"])
        used["model"] = "permuted"
        #expect(throws: RPCClientError.self) { try client.call("score", used) }
      }
    }
  }
}
