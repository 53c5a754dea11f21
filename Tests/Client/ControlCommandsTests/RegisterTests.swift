import ControlCommands
import ModelFormats
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import Testing

@Suite struct RegisterTests {
  /// A daemon that lists what lies in its directories, as the real one does after a `sync`.
  private func withSpool(
    refusing: String? = nil,
    _ body: (_ daemon: ScriptedDaemon, _ options: [String], _ spool: String, _ here: String) throws -> Void
  ) throws {
    try withTemporaryDirectory { spool in
      try withDaemon { request, reply in
        let refused: [JSONValue] = refusing.map { [["path": .string("\(spool)/\($0)"), "message": "no header"]] } ?? []
        switch request.method.name {
        case "system.hello": reply.succeed(["spool": ["experts": .string(spool), "tasks": .string(spool)]])
        case "system.sync": reply.succeed(["generation": 1, "rejected": .array(refused)])
        case "expert.list":
          reply.succeed([
            "experts": [
              ["name": "science", "version": 2, "state": "active"], ["name": "n", "version": 1, "state": "active"],
            ]
          ])
        case "task.list": reply.succeed(["tasks": []])
        case "task.show": reply.succeed(["name": "t", "warnings": ["t.jsonl: not read: 'url'"]])
        case "task.register": reply.succeed(["name": "t", "rows": 3, "state": "waiting_for_experts"])
        default: reply.fail(RPCError(.internal, "not in the script"))
        }
      } _: { daemon, options, directory in
        try body(daemon, options, spool, directory)
      }
    }
  }

  private func safetensors(_ metadata: JSONObject) -> [UInt8] {
    var header = JSONValue.object([
      "__metadata__": .object(metadata), "a": ["dtype": "F32", "shape": [1], "data_offsets": [0, 4]],
    ]).serialized()
    while header.count % 8 != 0 { header.append(0x20) }
    return [UInt8(header.count & 0xff), UInt8(header.count >> 8), 0, 0, 0, 0, 0, 0] + header + [1, 2, 3, 4]
  }

  @Test func anExpertFileArrivesUnderItsNameAndItsVersionIsPrinted() throws {
    try withSpool { _, options, spool, here in
      let bytes = safetensors(["t2.name": "science"])
      try FileSystem.writeAtomically(here + "/some file.safetensors", bytes)
      let outcome = run(["expert", "register", here + "/some file.safetensors"] + options)
      #expect(outcome.out == "science@2 (active)\n", "\(outcome.error)")
      #expect(try FileSystem.readAll(spool + "/some file.safetensors", maximumBytes: 10_000) == bytes)
      #expect(try FileSystem.entries(spool).count == 1)
    }
  }

  @Test func aNameAndALabelAreWrittenIntoTheCopy() throws {
    try withSpool { _, options, spool, here in
      let path = here + "/x.safetensors"
      try FileSystem.writeAtomically(path, safetensors(["t2.name": "science", "t2.rescale": "none"]))
      let outcome = run(["expert", "register", path, "--name", "n", "--label", "math"] + options)
      #expect(outcome.out == "n@1 (active)\n", "\(outcome.error)")
      let copy = try FileSystem.readAll(spool + "/n.safetensors", maximumBytes: 10_000)
      let length = Int(copy[0]) | Int(copy[1]) << 8
      #expect(length % 8 == 0)
      let header = try parseJSON(copy[8..<8 + length])
      #expect(header["__metadata__"] == ["t2.name": "n", "t2.rescale": "none", "t2.label": "math"])
      #expect(header["a"]?["shape"] == [1])
      #expect(copy[(8 + length)...] == [1, 2, 3, 4])
      for bad in ["a/b", ".a", "", "a@2"] {
        #expect(run(["expert", "register", path, "--name", bad] + options).status == 3, "\(bad)")
      }
    }
  }

  /// Two files with a tensor each, in types of their own, as `save_pretrained` cuts what is large.
  @Test func thePartsOfAnIndexAreRegisteredAsOneFile() throws {
    try withSpool { _, options, spool, here in
      func part(_ tensor: String, _ value: [Float], _ metadata: [(key: String, value: String)]) -> [UInt8] {
        safetensorsBytes(
          tensors: [SafetensorsTensor(name: tensor, shape: [value.count], values: value)], metadata: metadata)
      }
      let index = here + "/n.safetensors.index.json"
      func register() -> (status: Int32, text: String) {
        let outcome = run(["expert", "register", index] + options)
        return (outcome.status, outcome.out + outcome.error)
      }
      try FileSystem.writeAtomically(here + "/n-1-of-2.safetensors", part("b", [1, 2], [("t2.rescale", "none")]))
      try FileSystem.writeAtomically(
        here + "/n-2-of-2.safetensors", part("a", [3], [("t2.rescale", "none"), ("k", "v")]))
      try FileSystem.writeAtomically(
        index, Array(#"{"weight_map":{"b":"n-1-of-2.safetensors","a":"n-2-of-2.safetensors"}}"#.utf8))
      #expect(register().text == "n@1 (active)\n", "\(register())")
      let joined = try SafetensorsFile(FileSystem.readAll(spool + "/n.safetensors", maximumBytes: 10_000))
      #expect(joined.tensors.map(\.name) == ["a", "b"])
      #expect(try joined.floats("a") == [3] && joined.floats("b") == [1, 2])
      #expect(joined.metadata.map(\.key) == ["k", "t2.rescale"])

      try FileSystem.writeAtomically(here + "/n-2-of-2.safetensors", part("a", [3], [("t2.rescale", "nuclear")]))
      #expect(register().status == 5 && register().text.contains("its parts differ in t2.rescale"))
      try FileSystem.writeAtomically(here + "/n-2-of-2.safetensors", part("c", [3], []))
      #expect(register().text.contains("it places 'a' in 'n-2-of-2.safetensors', which does not hold it"))
      #expect(try FileSystem.remove(here + "/n-2-of-2.safetensors"))
      #expect(register().status != 0 && register().text.contains("n-2-of-2.safetensors"))
      try FileSystem.writeAtomically(index, Array(#"{"weight_map":{"b":"../b"}}"#.utf8))
      #expect(register().text.contains("the file of 'b' must be a name beside it"))
    }
  }

  @Test func aRefusedFileIsStatus5WithTheReason() throws {
    try withSpool(refusing: "x.safetensors") { _, options, _, here in
      try FileSystem.writeAtomically(here + "/x.safetensors", [1, 2, 3])
      let outcome = run(["expert", "register", here + "/x.safetensors"] + options)
      #expect(outcome.status == 5)
      #expect(outcome.error.contains("no header"))
      #expect(run(["expert", "register", here + "/x.safetensors", "--name", "n"] + options).status == 5)
      #expect(run(["expert", "register", here + "/none"] + options).status == 1)
    }
  }

  @Test func aTaskOfOneFileIsAFileAndOfSeveralADirectory() throws {
    try withSpool { daemon, options, spool, here in
      for name in ["rows.jsonl", "eval.jsonl", "task.json5"] {
        try FileSystem.writeAtomically("\(here)/\(name)", Array(name.utf8))
      }
      let registered = run(["task", "register", "t", here + "/rows.jsonl"] + options)
      #expect(registered.out == "t: 3 rows, waiting_for_experts\n")
      #expect(registered.error == "warning: t.jsonl: not read: 'url'\n")
      #expect(try FileSystem.readAll(spool + "/t.jsonl", maximumBytes: 100) == Array("rows.jsonl".utf8))

      let several = ["rows.jsonl", "eval.jsonl", "task.json5"].map { "\(here)/\($0)" }
      // A second time it replaces the first whole.
      for _ in 0..<2 {
        #expect(run(["task", "register", "u"] + several + ["--model", "m"] + options).status == 0)
        #expect(try FileSystem.readAll(spool + "/u/fewshot.jsonl", maximumBytes: 100) == Array("rows.jsonl".utf8))
        #expect(try FileSystem.readAll(spool + "/u/eval.jsonl", maximumBytes: 100) == Array("eval.jsonl".utf8))
      }
      #expect(daemon.calls(of: "task.register").last == ["task": "u", "model": "m"])
      #expect(Set(try FileSystem.entries(spool).compactMap(\.text)) == ["t.jsonl", "u"])

      #expect(run(["task", "register", "v", "\(here)/eval.jsonl"] + options).status == 5)
      #expect(run(["task", "register", "v", "\(here)/rows.jsonl", "\(here)/rows.jsonl"] + options).status == 3)
      #expect(run(["task", "register", "a/b", "\(here)/rows.jsonl"] + options).status == 3)
      #expect(run(["task", "register", "v", "\(here)/none.jsonl"] + options).status == 1)
    }
  }
}
