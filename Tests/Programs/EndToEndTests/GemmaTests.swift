import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// Gemma 3 270M, where `etc/test --all` has fetched it.
private let realGemma = environment("T2D_TEST_GEMMA")

/// A second real model, of another family, as its users meet it.
extension EndToEnd {
  @Suite(.serialized, .enabled(if: realGemma != nil, "T2D_TEST_GEMMA names no model; etc/test --all sets it"))
  struct GemmaTests {
    private func addGemma(_ daemon: RunningDaemon, _ client: RPCClient) throws {
      let added = try client.call("model.add", ["path": .string(realGemma ?? ""), "name": "gemma"])
      if let job = added["job"]?.integerValue { try daemon.finish(job) }
    }

    /// So many rows of ARC-Easy to be scored on, and 60 to learn from.
    private func dropTask(_ daemon: RunningDaemon, _ client: RPCClient, rows: Int) throws {
      func lines(_ file: String, _ rows: Int) throws -> [UInt8] {
        let text = try FileSystem.readAll("\(repository)/etc/examples/lessons/arc_easy/\(file)", maximumBytes: 1 << 20)
        return Array(text.split(separator: UInt8(ascii: "\n")).prefix(rows).joined(separator: [UInt8(ascii: "\n")]))
      }
      try EndToEndTests.dropTask(
        daemon, "arc_easy",
        [
          ("fewshot.jsonl", lines("fewshot.jsonl", 4)), ("train.jsonl", lines("train.jsonl", 60)),
          ("eval.jsonl", lines("eval.jsonl", rows)),
          ("task.json5", Array("{ search: { iterations: 1, population: 2, elites: 2, shots: 2, seed: 1 } }".utf8)),
        ])
      try client.call("system.sync")
    }

    /// PyTorch: 0.50 and 0.58, on the first hundred rows of what the lesson is scored on.
    @Test func aHundredRowsOfArcEasyAreAnsweredAsInPyTorch() throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addGemma(daemon, client)
        try dropTask(daemon, client, rows: 100)
        let shown = try client.call("model.show", ["name": "gemma"])
        #expect(shown["digest"] == "sha256:cbdb5941e914c7bc0e9541de225ea40be0817944a928f66cb0f6ff051ba18ddf")
        let job = try #require(
          try client.call("evaluate.run", ["task": "arc_easy", "base": true])["job"]?.integerValue)
        let result = try #require(try daemon.finish(job)["result"])
        #expect(result["n"] == 100)
        #expect(result["acc"]?.doubleValue == 0.50, "\(result["acc"]?.jsonText ?? "")")
        #expect(result["acc_norm"]?.doubleValue == 0.58, "\(result["acc_norm"]?.jsonText ?? "")")
      }
    }

    /// A training, the search that its expert starts, and answers under the mixture that was found.
    @Test func anExpertForItIsTrainedSearchedAndServed() throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addGemma(daemon, client)
        try dropTask(daemon, client, rows: 2)
        let training: JSONObject = [
          "name": "science", "task": "arc_easy", "steps": 6, "batch": 6, "validate_every": 3, "validation_rows": 15,
        ]
        try daemon.finish(try #require(try client.call("train.start", training)["job"]?.integerValue))
        #expect(try client.call("expert.show", ["expert": "science"])["model"] == "gemma")
        try daemon.finish(
          try #require(try client.call("task.adapt", ["task": "arc_easy"])["job"]?.integerValue))
        let mixture = try client.call("mixture.get", ["task": "arc_easy"])
        let alpha = try #require(mixture["alpha"])
        #expect(alpha["science"]?.doubleValue != nil && mixture["stale"] == false)
        let answer = try client.call(
          "generate", ["prompt": "The capital of France is", "chat": false, "alpha": alpha, "max_tokens": 4])
        #expect(answer["ids"]?.arrayValue?.count == 4)
      }
    }

    /// Neither where it is dropped beside Gemma alone, nor by a check of how it transfers.
    @Test func anExpertOfSmolLM2IsRefusedByTheFirstMatrixThatDiffers() throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addGemma(daemon, client)
        let path = "\(repository)/etc/examples/experts/science.safetensors"
        let verdict = try client.call("expert.verify", ["path": .string(path)], file: try FileDescriptor.open(path))
        #expect(verdict["ok"] == false)
        #expect(verdict.jsonText.contains("model.layers.0.self_attn.q_proj.weight"), "\(verdict.jsonText)")

        try addModel(daemon, client)
        try dropTask(daemon, client, rows: 2)
        try daemon.drop(try FileSystem.readAll(path, maximumBytes: 1 << 22), "experts", "science.safetensors")
        try client.call("system.sync")
        do {
          try client.call("check.run", ["kind": "transfer", "expert": "science", "model": "gemma", "task": "arc_easy"])
          Issue.record("a check of what cannot fit was queued")
        } catch let RPCClientError.refused(refusal) {
          #expect(refusal.kind == "incompatible_shapes")
          #expect(
            refusal.message.contains(
              "'model.layers.0.self_attn.q_proj.weight' is 1024 x 640, the expert's is 576 x 576"),
            "\(refusal.message)")
        }
      }
    }
  }
}
