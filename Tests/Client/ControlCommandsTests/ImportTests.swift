import ControlCommands
import ModelFormats
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@Suite struct ImportTests {
  private static let fixtures = "\(repository)/Tests/Shared/ModelFormatsTests/Fixtures/"

  /// A daemon with the model `m`, of the shapes of the fixtures, and `young`, which is not ready.
  private func withModel(
    _ body: (_ daemon: ScriptedDaemon, _ options: [String], _ spool: String, _ here: String) throws -> Void
  ) throws {
    let listed = try parseJSON(try FileSystem.readAll(Self.fixtures + "torch.json", maximumBytes: 1 << 20))
    let matrices = try #require(listed["targets"])
    let digest = "sha256:" + String(repeating: "1", count: 64)
    try withTemporaryDirectory { spool in
      try withDaemon { request, reply in
        switch request.method.name {
        case "model.show":
          var row: JSONObject = ["name": request.params["name"] ?? .null, "state": "inspecting"]
          if request.params["name"] == "m", request.params["matrices"] == true {
            row["state"] = "ready"
            row["model_id"] = "Tiny"
            row["digest"] = .string(digest)
            row["architecture"] = "LlamaForCausalLM"
            row["matrices"] = matrices
          }
          // One that is not ready has none of the facts.
          guard row["state"] == "ready" else {
            for name in ["architecture", "parameters", "layers", "context", "quantization", "digest"] {
              row[name] = .null
            }
            for (name, value) in ["path": "/m", "experts": 0, "added": "T", "added_by": "uid 0"] as [String: JSONValue]
            {
              row[name] = value
            }
            return reply.succeed(only: .object(row))
          }
          reply.succeed(.object(row))
        case "system.hello": reply.succeed(["spool": ["experts": .string(spool), "tasks": "/"]])
        case "system.sync": reply.succeed(["generation": 1, "rejected": []])
        case "expert.list":
          let names = ["gsm8k", "policy_params"]
          reply.succeed(["experts": .array(names.map { ["name": .string($0), "version": 1, "state": "active"] })])
        default: reply.fail(RPCError(.internal, "not in the script"))
        }
      } _: { daemon, options, here in
        try body(daemon, options, spool, here)
      }
    }
  }

  @Test func anImportedFileComesThroughTheWatchedDirectoryAsAnExpert() throws {
    try withModel { _, options, spool, _ in
      let path = Self.fixtures + "policy_params.pt"
      let outcome = run(["expert", "import", path, "--model", "m", "--name", "gsm8k", "--label", "math"] + options)
      #expect(outcome.out == "gsm8k@1 (active)\n", "\(outcome.error)")
      let file = try SafetensorsFile.open(path: spool + "/gsm8k.safetensors")
      #expect(file.tensors.count == 6)
      #expect(file.tensor("model.layers.1.mlp.down_proj.weight")?.shape == [8])
      let expected = [
        ("t2.name", "gsm8k"), ("t2.label", "math"), ("t2.param_space", "logit"), ("t2.rescale", "nuclear"),
        ("t2.base.model_id", "Tiny"), ("t2.base.digest", "sha256:" + String(repeating: "1", count: 64)),
      ]
      for entry in expected { #expect(file.metadata.contains { $0 == entry }, "\(entry)") }
      // Without a name it has the file's.
      #expect(run(["expert", "import", path, "--model", "m"] + options).out == "policy_params@1 (active)\n")
      #expect(try FileSystem.entries(spool).count == 2)
    }
  }

  @Test func whatCannotBeImportedPutsNothingThere() throws {
    try withModel { daemon, options, spool, here in
      let path = Self.fixtures + "policy_params.pt"
      let evil = run(["expert", "import", Self.fixtures + "calls-system.pt", "--model", "m"] + options)
      #expect(evil.status == 5 && evil.error.contains("GLOBAL posix.system"), "\(evil.error)")
      let other = run(["expert", "import", Self.fixtures + "kinds.pt", "--model", "m"] + options)
      #expect(other.status == 5 && other.error.contains("is not a target matrix of model 'm'"), "\(other.error)")
      let young = run(["expert", "import", path, "--model", "young"] + options)
      #expect(young.status == 1 && young.error.contains("model 'young' is inspecting"), "\(young.error)")
      let bare = run(["expert", "import", path] + options)
      #expect(bare.status == 3 && bare.error.contains("needs --model"), "\(bare.error)")
      for name in ["a/b", "base", "", "a@2"] {
        #expect(run(["expert", "import", path, "--model", "m", "--name", name] + options).status == 3, "\(name)")
      }
      #expect(run(["expert", "import", here + "/absent.pt", "--model", "m"] + options).status == 1)
      let left = try FileSystem.entries(spool)
      #expect(left.isEmpty)
      #expect(daemon.calls(of: "system.sync").isEmpty)
    }
  }
}
