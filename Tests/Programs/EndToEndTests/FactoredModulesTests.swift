import ModelFormats
import ModelSamples
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// `t2ctl model add --modules mlp` and all that users do then, by the built programs, on a random model of two layers.
@Suite(.serialized) struct FactoredModulesTests {
  private func expert(_ name: String, _ number: Int) -> [UInt8] {
    safetensorsBytes(
      tensors: SyntheticModel.targets.filter { $0.name.contains(".mlp.") }.map { target in
        SafetensorsTensor(
          name: target.name, shape: [target.rank],
          values: (0..<target.rank).map { 1 + Float(($0 * number) % 7) / 20 })
      },
      metadata: [
        ("t2.format", "t2-expert"), ("t2.version", "1"), ("t2.name", name), ("t2.param_space", "multiplier"),
        ("t2.rescale", "none"), ("t2.max_mult", "1"),
      ])
  }

  private func names(_ path: String) throws -> [String] {
    try SafetensorsFile.open(path: path).tensors.map(\.name).sorted()
  }

  @Test func aModelOfWhichTheMLPIsFactoredIsServedTrainedMixedAndExported() throws {
    let mlp = SyntheticModel.targets.map(\.name).filter { $0.contains(".mlp.") }.sorted()
    try withDaemon(configuration: stillBank) { daemon in
      let model = try SyntheticModel(in: daemon.prefix + "/sample")
      let plan = try daemon.t2ctl("model", "add", model.path, "--modules", "mlp", "--plan")
      #expect(
        plan.exit == .code(0) && plan.output.contains("singular vectors of gate_proj, up_proj, down_proj, single"))
      let added = try daemon.t2ctl("model", "add", model.path, "--name", "tiny", "--modules", "mlp")
      #expect(added.exit == .code(0) && added.output.contains("\tmlp\t"), "\(added.output)")
      #expect(try daemon.t2ctl("model", "add", model.path, "--name", "tiny").exit == .code(1))
      let same = try daemon.t2ctl(
        "model", "add", model.path, "--name", "tiny", "--modules", "down_proj,up_proj,gate_proj")
      #expect(same.exit == .code(0))
      let client = try daemon.client()
      #expect(try client.call("model.show", ["name": "tiny"])["factored_matrices"] == 6)
      let kept = try FileSystem.entries(daemon.prefix + "/var/lib/t2d/factorizations").compactMap(\.text)
      #expect(kept.count == 1 && kept[0].hasSuffix(".gate_proj+up_proj+down_proj.svf"))

      // Experts of the MLP are accepted, one of all matrices is not.
      try daemon.drop(expert("one", 2), "experts", "one.safetensors")
      try daemon.drop(expert("two", 3), "experts", "two.safetensors")
      try daemon.drop(expertBytes("all", 1), "experts", "all.safetensors")
      try client.call("system.sync")
      #expect(
        try everyRow(client, "expert.list", ["all": true], of: "experts").compactMap { $0["name"]?.stringValue } == [
          "one", "two",
        ])
      let refused = try client.call("expert.list")["rejected"]?.arrayValue?.first
      #expect(
        refused?["message"]?.stringValue?.contains("the first is 'model.layers.0.self_attn.q_proj.weight'") == true,
        "\(refused ?? .null)")
      for name in ["one", "two"] { try client.call("expert.promote", ["expert": .string(name + "@1")]) }

      // Scored and generated.
      func score(_ more: JSONObject) throws -> JSONValue? {
        var params: JSONObject = ["prompt": "The sky is", "continuation": " blue"]
        for (key, value) in more.members { params[key] = value }
        return try client.call("score", params)["sum"]
      }
      #expect(try score([:]) != score(["expert": "one"]))
      #expect(try client.call("generate", ["prompt": "The", "expert": "two", "max_tokens": 4])["text"] != nil)

      // Mixed and exported: the vectors name what is factored, and are an expert of this model.
      try dropTask(
        daemon, "letters",
        [
          ("fewshot.jsonl", rows(1)), ("train.jsonl", rows(2) + [UInt8(ascii: "\n")] + rows(3)),
          ("task.json5", Array("{ search: { iterations: 1, population: 4, shots: 4, seed: 1 } }".utf8)),
        ])
      try client.call("system.sync")
      let search = try client.call("task.adapt", ["task": "letters"])
      try daemon.finish(try #require(search["job"]?.integerValue))
      let vectors = daemon.prefix + "/mixture.safetensors"
      let got = try daemon.t2ctl("mixture", "get", "letters", "--vectors", vectors)
      #expect(got.exit == .code(0))
      #expect(try names(vectors) == mlp)
      let verdict = try client.call(
        "expert.verify", ["path": .string(vectors)], file: try FileDescriptor.open(vectors))
      #expect(verdict["ok"] == true, "\(verdict.jsonText)")

      // Trained: what comes of it has these matrices.
      let training = try client.call(
        "train.start",
        ["name": "learned", "task": "letters", "steps": 2, "batch": 2, "validate_every": 1, "validation_rows": 1])
      try daemon.finish(try #require(training["job"]?.integerValue))
      let file = daemon.prefix + "/learned.safetensors"
      #expect(try daemon.t2ctl("expert", "export", "learned", file).exit == .code(0))
      #expect(try names(file) == mlp)

      // A daemon that starts again serves it as it was.
      let before = try score(["expert": "one"])
      #expect(try daemon.stop() == .code(0), "\(daemon.log)")
      try daemon.restart()
      let again = try daemon.client()
      #expect(
        try again.call("score", ["prompt": "The sky is", "continuation": " blue", "expert": "one"])["sum"] == before)
      #expect(try again.call("model.show", ["name": "tiny"])["modules"] == ["mlp"])
    }
  }
}
