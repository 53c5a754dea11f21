import ModelFormats
import ModelSamples
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// Rows that the model answers under no expert: what is served then, and what each command says of it.
@Suite struct NoSignalTests {
  private static let rows = (2...9).map {
    #"{"question":"What is \#($0) times 7, minus 3?","answer":"1000\#($0 * 7 - 3)"}"#
  }

  /// An expert of which the second half of each vector is zero, as a decomposition that was cut has them.
  private static func halfZero(_ name: String) -> [UInt8] {
    safetensorsBytes(
      tensors: SyntheticModel.targets.map { target in
        SafetensorsTensor(
          name: target.name, shape: [target.rank],
          values: (0..<target.rank).map { $0 < target.rank / 2 ? 1.25 : 0 })
      }, metadata: [("t2.format", "t2-expert"), ("t2.version", "1"), ("t2.name", name)])
  }

  @Test func theBaseIsServedAndEveryPlaceSaysSo() throws {
    try withBank { daemon, client in
      try daemon.drop(expertBytes("one", 1), "experts", "one.safetensors")
      try daemon.drop(expertBytes("two", 900), "experts", "two.safetensors")
      try daemon.drop(Self.halfZero("half"), "experts", "half.safetensors")
      let spool = "\(daemon.prefix)/var/spool/t2d/tasks"
      try FileSystem.createDirectories("\(spool)/.nosig")
      try FileSystem.writeAtomically(
        "\(spool)/.nosig/fewshot.jsonl", Array(Self.rows.joined(separator: "\n").utf8), mode: 0o644)
      try FileSystem.writeAtomically(
        "\(spool)/.nosig/task.json5",
        Array("{ max_tokens: 4, chat: false, search: { population: 6, elites: 2, iterations: 2 } }".utf8), mode: 0o644)
      try FileSystem.rename("\(spool)/.nosig", to: "\(spool)/nosig")
      try client.call("system.sync")
      #expect(try client.call("system.status")["files"]?["accepted"] == 4)
      let waited = try daemon.t2ctl("--timeout", "300", "task", "wait", "nosig")
      #expect(waited.exit == .code(0), "\(waited.output)")

      let mixture = try client.call("mixture.get", ["task": "nosig"])
      for weights in ["base", "uniform", "mixture"] {
        #expect(mixture["scores"]?[weights]?["fit"]?.doubleValue == 0, "\(weights)")
      }
      #expect(mixture["served"] == "base" && mixture["no_signal"] == true)
      #expect(mixture["alpha"]?.objectValue?.members.allSatisfy { $0.value.doubleValue == 0 } == true)
      let job = try client.call("job.show", ["job": try #require(mixture["search"]?["job"])])
      #expect(job["result"]?["no_signal"] == true)
      let text = try daemon.t2ctl("mixture", "get", "nosig").output
      #expect(text.contains("served: the base instead of the mixture: no signal: on the shots the base,"), "\(text)")
      #expect(try daemon.t2ctl("mixture", "list").output.contains("base (no signal)"))
      #expect(try daemon.t2ctl("task", "show", "nosig").output.contains("no_signal"))
      let page = "\(daemon.prefix)/nosig.html"
      #expect(try daemon.t2ctl("report", "nosig", "--output", page).exit == .code(0))
      let html = String(decoding: try FileSystem.readAll(page, maximumBytes: 1 << 24), as: UTF8.self)
      #expect(html.contains("no signal"))
      #expect(try FileSystem.remove(page))
    }
  }
}
