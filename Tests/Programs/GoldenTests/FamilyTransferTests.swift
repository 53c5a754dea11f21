import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// An expert of one family and a model of another, both of `Tests/Fixtures`: inspected by the worker and compared by the daemon.
@Suite struct FamilyTransferTests {
  private let fixtures = "\(repository)/Tests/Fixtures/families"

  /// Whether it is dropped, which its name and lengths decide, or asked whether it transfers.
  @Test func anExpertOfAnotherFamilyIsRefusedByTheFirstMatrixThatDiffers() throws {
    try withTemporaryDirectory { directory in
      let bank = try Bank(directory: directory)
      let stage = try Stage("families", bank.prefix, Bank.configuration)
      defer { stage.daemon.stop() }
      let client = stage.client
      func add(_ family: String) throws {
        let added = try client.call("model.add", ["path": .string("\(fixtures)/\(family)"), "name": .string(family)])
        try client.call("job.wait", ["job": added["job"] ?? .null, "timeout_ms": 60_000])
      }
      let path = "\(fixtures)/llama2/expert.safetensors"
      func verdict() throws -> JSONValue {
        try client.call("expert.verify", ["path": .string(path)], file: try FileDescriptor.open(path))
      }

      // Where there is only a model of another family: by the number of values, which a vector has of its shape.
      try add("gemma3")
      let only = try verdict()
      #expect(only["error"]?["kind"] == "wrong_length")
      #expect(
        only["error"]?["message"]?.stringValue
          == "tensor 'model.layers.0.self_attn.k_proj.weight' has 64 values, its matrix in model 'gemma3' has rank 16; was "
          + "it trained on another model?")

      for family in ["llama2", "qwen3", "phi3"] { try add(family) }
      try bank.drop("letters", eval: 2, settings: #"{ experts: ["nobody"] }"#)
      try FileSystem.writeAtomically(
        bank.spool("experts/random-llama2.safetensors"), FileSystem.readAll(path, maximumBytes: 1 << 20))
      try client.call("system.sync")
      #expect(try verdict()["model"] == "llama2")
      for (model, matrix, problem) in [
        ("gemma3", "k_proj", "its 'MATRIX' is 16 x 64, the expert's is 64 x 64"),
        ("qwen3", "q_proj", "its 'MATRIX' is 128 x 64, the expert's is 64 x 64"),
        ("phi3", "q_proj", "it has no 'MATRIX'"),
      ] {
        let name = "model.layers.0.self_attn.\(matrix).weight"
        do {
          try client.call(
            "check.run",
            ["kind": "transfer", "expert": "random-llama2", "model": .string(model), "task": "letters"])
          Issue.record("a check of what cannot fit \(model) was queued")
        } catch let RPCClientError.refused(refusal) {
          #expect(refusal.kind == "incompatible_shapes")
          #expect(refusal.details["matrix"] == .string(name))
          #expect(
            refusal.message
              == "'random-llama2@1' cannot be used on model '\(model)': "
              + problem.replacing("MATRIX", with: name))
        }
      }
    }
  }
}
