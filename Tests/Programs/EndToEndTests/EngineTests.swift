import Glibc
import ModelFormats
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// A directory that `etc/lib/engines-venv` made: `torch` and `vllm`, environments of Python with the engines in them, and `model`,
/// the real model as a Hugging Face directory.
private let engines = environment("T2D_TEST_ENGINES")

/// Programs that compute the real model for t2d, against the built-in engine on the same weights.
extension EndToEnd {
  @Suite(.serialized, .enabled(if: engines != nil, "T2D_TEST_ENGINES names no engines; etc/test --engines sets it"))
  struct EngineTests {
    private static let search = "{ search: { iterations: 2, population: 8, shots: 6, seed: 1 } }"

    private static let prompts = [
      ("The capital of France is", " Paris, which lies on the Seine."),
      ("Question: What do bees make?\nAnswer:", " Honey"),
      ("def add(a, b):\n    return", " a + b"),
    ]

    private static let weights: [JSONObject] = [
      ["base": true], ["expert": "science"], ["alpha": ["science": 0.5, "social": 0.5], "mix": "sum"],
      ["alpha": ["science": 0.7, "social": -0.4], "mix": "delta"],
    ]

    /// Log-probabilities of all tokens under each of the weights, one after the other.
    private func scores(_ client: RPCClient) throws -> [[Double]] {
      try Self.weights.map { weights in
        try Self.prompts.flatMap { prompt, continuation in
          var params = weights
          params["prompt"] = .string(prompt)
          params["continuation"] = .string(continuation)
          params["base"] = nil
          return try #require(try client.call("score", params)["logprobs"]?.arrayValue).compactMap(\.doubleValue)
        }
      }
    }

    private func adapted(_ daemon: RunningDaemon, _ client: RPCClient) throws -> JSONValue {
      let job = try #require(try client.call("task.adapt", ["task": "arc_easy"])["job"]?.integerValue)
      try daemon.finish(job, within: .seconds(3000))
      return try client.call("mixture.get", ["task": "arc_easy"])
    }

    /// The multipliers after ten steps from the base; with choices nothing is sampled.
    private func trained(_ daemon: RunningDaemon, _ client: RPCClient) throws -> [Float] {
      let rows = try FileSystem.readAll(
        "\(repository)/Tests/Programs/EndToEndTests/Fixtures/arc_easy.eval.jsonl", maximumBytes: 1 << 20
      ).split(separator: UInt8(ascii: "\n")).prefix(40)
      try dropTask(
        daemon, "lesson",
        [
          (
            "fewshot.jsonl",
            FileSystem.readAll("\(repository)/etc/examples/tasks/arc_easy/fewshot.jsonl", maximumBytes: 1 << 20)
          ),
          ("train.jsonl", Array(rows.joined(separator: [UInt8(ascii: "\n")]))),
          ("task.json5", Array("{ search: { iterations: 1, population: 2, elites: 2, shots: 2, seed: 1 } }".utf8)),
        ])
      try client.call("system.sync")
      let job = try #require(
        try client.call(
          "train.start",
          [
            "name": "learned", "task": "lesson", "steps": 10, "batch": 4, "validate_every": 2, "validation_rows": 8,
          ])["job"]?.integerValue)
      let record = try daemon.finish(job, within: .seconds(3000))
      #expect(record["result"]?["steps"] == 10)
      let path = daemon.prefix + "/learned.safetensors"
      #expect(try daemon.t2ctl("expert", "export", "learned", path).exit == .code(0))
      let file = try SafetensorsFile(try FileSystem.readAll(path, maximumBytes: 1 << 24))
      return try file.tensors.sorted { $0.name < $1.name }.flatMap { try file.floats($0.name) }
    }

    /// Runs a body on the built-in engine and gives what it found; the searches that files start are cancelled.
    private func onBuiltIn<Result>(_ body: (RunningDaemon, RPCClient) throws -> Result) throws -> Result {
      var result: Result?
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try dropExamples(daemon, settings: Self.search)
        try client.call("system.sync")
        result = try body(daemon, client)
      }
      return try #require(result)
    }

    private func on<Result>(
      _ kind: String, replicas: Int = 1, logged: [String] = [],
      _ body: (RunningDaemon, RPCClient, [RunningEngine]) throws -> Result
    ) throws -> Result {
      var result: Result?
      try withTemporaryDirectory { directory in
        let started = try (0..<replicas).map { try RunningEngine(kind, in: directory, number: $0) }
        defer { for engine in started { engine.stop() } }
        for engine in started { try engine.waitUntilItListens() }
        try withDaemon(logged: logged) { daemon in
          let client = try daemon.client()
          let added = try client.call(
            "model.add",
            ["engine": .string(kind), "at": .string(started.map(\.address).joined(separator: ",")), "name": "smollm2"])
          if let job = added["job"]?.integerValue { try daemon.finish(job) }
          try dropExamples(daemon, settings: Self.search)
          try client.call("system.sync")
          result = try body(daemon, client, started)
        }
      }
      return try #require(result)
    }

    @Test(arguments: ["torch", "vllm"])
    func scoresAndTheSearchAreThoseOfTheBuiltInEngine(kind: String) throws {
      let (scores, mixture) = try onBuiltIn { daemon, client in
        (try self.scores(client), try adapted(daemon, client))
      }
      let (found, other) = try on(kind) { daemon, client, _ in
        (try self.scores(client), try adapted(daemon, client))
      }
      for (weights, (scores, found)) in zip(Self.weights, zip(scores, found)) {
        #expect(scores.count == found.count && !scores.isEmpty)
        let worst = zip(scores, found).reduce(0) { max($0, abs($1.0 - $1.1)) }
        #expect(worst < 2e-3, "\(kind), \(JSONValue.object(weights).jsonText): \(worst)")
      }
      #expect(other["alpha"] == mixture["alpha"], "\(other["alpha"]?.jsonText ?? "") of \(kind)")
      for name in ["fit", "held_out"] {
        let (here, there) = (mixture["scores"]?["mixture"]?[name], other["scores"]?["mixture"]?[name])
        let (a, b) = (try #require(here?.doubleValue), try #require(there?.doubleValue))
        #expect(abs(a - b) < 1e-3, "\(name): \(a) here, \(b) by \(kind)")
      }
    }

    @Test func tenStepsOfTrainingEndWhereTheBuiltInEnginesEnd() throws {
      let here = try onBuiltIn { daemon, client in try trained(daemon, client) }
      let there = try on("torch") { daemon, client, _ in try trained(daemon, client) }
      #expect(here.count == there.count && here.contains { abs($0 - 1) > 0.01 })
      let worst = zip(here, there).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(worst < 1e-3, "\(worst)")
    }

    @Test func aReplicaThatIsKilledInTheMiddleOfASearchChangesNothingInIt() throws {
      let alone = try on("torch") { daemon, client, _ in try adapted(daemon, client) }
      let pair = try on("torch", replicas: 2, logged: ["its 2 engines cannot be used"]) { daemon, client, engines in
        let job = try #require(try client.call("task.adapt", ["task": "arc_easy"])["job"]?.integerValue)
        try eventually("the search has made progress", within: .seconds(1200)) {
          (try client.call("job.show", ["job": .integer(job)])["fraction"]?.doubleValue ?? 0) > 0.2
        }
        engines[1].kill()
        try daemon.finish(job, within: .seconds(3000))
        try eventually("status warns of the replica that is gone", within: .seconds(60)) {
          try client.call("system.status")["warnings"]?.arrayValue?.contains { $0["code"] == "dead_engine" } ?? false
        }
        return try client.call("mixture.get", ["task": "arc_easy"])
      }
      #expect(pair["alpha"] == alone["alpha"])
    }

    @Test(arguments: ["torch", "vllm"])
    func anAnswerUnderTheMixtureComesFromTheEngine(kind: String) throws {
      let params: JSONObject = [
        "prompt": "Question: What do bees make?\nAnswer:", "alpha": ["science": 1], "max_tokens": 12, "temperature": 0,
      ]
      let here = try onBuiltIn { _, client in try client.call("generate", params)["text"] }
      let there = try on(kind) { _, client, _ in try client.call("generate", params)["text"] }
      #expect(here != nil && here == there, "\(here?.jsonText ?? "") here, \(there?.jsonText ?? "") by \(kind)")
    }
  }
}

/// An engine in a process of its own, on the real model.
private final class RunningEngine {
  let address: String
  private let process: ChildProcess
  private let socket: String
  private let log: String

  init(_ kind: String, in directory: String, number: Int) throws {
    let root = try #require(engines)
    socket = "\(directory)/\(kind)-\(number).sock"
    address = "unix:\(socket)"
    log = "\(directory)/\(kind)-\(number).log"
    // Factors are computed once, in the directory of the engines. By itself vLLM computes a float32 model in bfloat16.
    let factors = ["--factors", "\(root)/factors"]
    process = try ChildProcess(
      "/bin/sh",
      arguments: ["sh", "-c", #"log=$0; exec "$@" >"$log" 2>&1"#, log, "\(root)/\(kind)/bin/t2-\(kind)", "serve"]
        + ["\(root)/model", "--uds", socket] + factors
        + (kind == "vllm" ? ["--runtime", "\(directory)/run-\(number)", "--", "--dtype", "float32"] : []),
      environment: ChildProcess.environment(without: ["T2D_PREFIX", "T2D_SOCKET"]), socket: nil)
  }

  /// It may still be starting: who adds its model waits for that.
  func waitUntilItListens() throws {
    try eventually("the engine listens at \(address)", within: .seconds(900)) {
      if let exit = process.pollExit() { throw Failure("the engine ended with \(exit); its log:\n\(text)") }
      return try FileSystem.status(socket)?.kind == .socket
    }
  }

  func kill() {
    process.signal(SIGKILL)
    _ = process.waitForExit(until: .after(.seconds(30)))
  }

  func stop() {
    guard process.pollExit() == nil else { return }
    process.signal(SIGTERM)
    if process.waitForExit(until: .after(.seconds(60))) == nil { kill() }
  }

  private var text: String {
    String(decoding: ((try? FileSystem.readAll(log, maximumBytes: 1 << 26)) ?? []).suffix(20_000), as: UTF8.self)
  }
}
