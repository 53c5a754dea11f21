import Daemon
import ModelFormats
import ModelSamples
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport

/// The bank that the scripts talk to: two models, five experts, three tasks, and a finished job of every kind, all made by
/// the daemon and the worker themselves, once. Each scene begins with it as it was then.
///
///     DIRECTORY/model    the model `tiny`: random, two layers, a tokenizer of bytes
///     DIRECTORY/large    the config.json of a model of 8 billion parameters
///     DIRECTORY/plain    the model `plain`: other shapes, no tokenizer
///     DIRECTORY/prefix   the daemon's prefix; /prefix in the scripts
///     DIRECTORY/saved    its state as the first daemon left it, copied over the prefix before each scene
///
/// Nothing happens by itself there: the quiet time before a search is a day, so it begins at `system.sync` or not at all.
final class Bank {
  let directory: String
  let prefix: String
  private var blobs: [String: String] = [:]
  private var stage: Stage?

  var model: String { directory + "/model" }
  var plain: String { directory + "/plain" }
  private var saved: String { directory + "/saved" }
  private var template: String { prefix + "/etc/t2d/dispatch.txt" }
  private var state: String { DaemonPaths(prefix: prefix, socket: "s").state }

  static var configuration: Configuration {
    var configuration = Configuration()
    configuration.defaultModel = "tiny"
    configuration.debounce.quiet = .seconds(86_400)
    configuration.debounce.limit = .seconds(86_400)
    configuration.checks.onArrival = false
    // The worker is asked for its memory when it starts, and then not again.
    configuration.worker.hangAfter = .seconds(86_400)
    configuration.checks.seeds = 2
    configuration.dispatch.maximumTokens = 4
    return configuration
  }

  /// Makes the two models and an empty prefix.
  init(directory: String) throws {
    self.directory = directory
    prefix = directory + "/prefix"
    _ = try SyntheticModel(in: directory)
    try copyTree("\(repository)/Tests/Model/TransformerTests/Fixtures/tiny", to: directory + "/plain")
    try FileSystem.createDirectories(prefix + "/etc/t2d")
    try FileSystem.createDirectories(directory + "/large")
    try FileSystem.writeAtomically(directory + "/large/config.json", Self.large.serialized(), mode: 0o644)
    // The built-in text is longer than the context of a model whose tokens are bytes.
    try FileSystem.writeAtomically(template, Array("One of {labels}.\n{prompt}\nIt is ".utf8), mode: 0o644)
  }

  /// What people have, without its weights.
  private static let large: JSONValue = [
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128_256, "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "max_position_embeddings": 8192, "rope_theta": 500_000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16",
  ]

  // MARK: - The bank

  /// Fills the prefix and keeps its state.
  func fill() throws {
    let stage = try Stage("bank", prefix, Self.configuration)
    do { try fill(stage.client) } catch {
      stage.daemon.stop()
      throw GoldenScript.Failure("\(error)\nthe daemon's log:\n\(stage.log.text)")
    }
    stage.daemon.stop()
    try copyTree(state, to: saved)
  }

  private func fill(_ client: RPCClient) throws {
    for (name, path) in [("tiny", model), ("plain", plain)] {
      try finish(client, "model.add", ["path": .string(path), "name": .string(name)])
    }
    // One after the other, for files that come together are seen in any order; experts first, so that there is nothing
    // to search yet.
    let drops: [() throws -> Void] = [
      { try self.drop("science", 1, [("t2.label", "letters"), ("t2.task", "letters")]) },
      { try self.drop("social", 2, [("t2.description", "how people feel"), ("t2.license", "CC0-1.0")]) },
      { try self.drop("sorter", 3, [("t2.kind", "dispatcher")]) },
      { try self.drop("stranger", 4, [("t2.base.digest", "sha256:" + String(repeating: "5", count: 64))]) },
      { try self.drop("experts/broken.safetensors", "no header") },
      { try self.drop("tasks/broken.jsonl", "{}}") },
      { try self.drop("numbers", settings: #"{ experts: ["nobody"], chat: false, max_tokens: 4 }"#) },
      { try self.drop("waiting", settings: #"{ experts: ["nobody"] }"#) },
      {
        try self.drop(
          "letters", train: 12, eval: 4,
          settings: #"{ template: "{question}", search: { iterations: 2, population: 4 } }"#)
      },
    ]
    for drop in drops {
      try drop()
      try client.call("system.sync")
    }
    try settle(client)
    // A second version of the one, and an expert that was trained: the mixture is stale, and searched anew.
    try drop("science", 5, [("t2.label", "letters"), ("t2.task", "letters")])
    try settle(client)
    let training: JSONObject = [
      "name": "learned", "task": "letters", "steps": 3, "batch": 4, "validate_every": 1, "validation_rows": 3,
      "learning_rate": 0.1,
    ]
    try finish(client, "train.start", training)
    try settle(client)
    var rest = training
    rest["dry_run"] = true
    try finish(client, "train.start", rest)
    rest["dry_run"] = nil
    rest["method"] = "lora"
    rest["rank"] = 2
    try finish(client, "train.start", rest)
    try finish(client, "evaluate.run", ["task": "letters"])
    try finish(client, "evaluate.run", ["task": "letters", "compare": true])
    try finish(client, "sweep.run", ["task": "letters", "shots": [2, 4], "budgets": ["2"], "seeds": 1])
    try finish(client, "check.run", ["kind": "shuffle", "expert": "science"])
    let rows = #"{"prompt":"one?","label":"letters"}"# + "\n" + #"{"prompt":"two?","label":"social"}"#
    try FileSystem.writeAtomically(prefix + "/rows.jsonl", Array(rows.utf8), mode: 0o644)
    try finish(
      client, "dispatch.evaluate", ["path": "rows.jsonl"], file: try FileDescriptor.open(prefix + "/rows.jsonl"))
    // A model that none is, whose job fails.
    try FileSystem.writeAtomically(prefix + "/broken.gguf", Array("none".utf8), mode: 0o644)
    try finish(client, "model.add", ["path": .string(prefix + "/broken.gguf")], "failed")
    rest = training
    rest["learning_rate"] = 1e-9
    try finish(client, "train.start", rest, "failed")
    try FileSystem.writeAtomically(
      prefix + "/unknown.jsonl", Array(#"{"prompt":"one?","label":"nobody"}"#.utf8), mode: 0o644)
    for name in ["science", "social"] {
      blobs[name] = try client.call("expert.export", ["expert": .string(name)])["path"]?.stringValue
    }
  }

  /// Starts a job, which ends as it should.
  private func finish(
    _ client: RPCClient, _ method: String, _ params: JSONObject, _ state: JSONValue = "done",
    file: FileDescriptor? = nil
  ) throws {
    let started = try client.call(method, params, file: file)
    let ended = try client.call("job.wait", ["job": started["job"] ?? .null, "timeout_ms": 60_000])
    guard ended["state"] == state else { throw GoldenScript.Failure("\(method) ended as \(ended.jsonText)") }
  }

  /// Has what was dropped seen, and waits for the searches that follow.
  func settle(_ client: RPCClient) throws {
    while true {
      try client.call("system.sync")
      let queue = try client.call("system.status")
      let live = (queue["running"]?.arrayValue ?? []) + (queue["queue"]?.arrayValue ?? [])
      guard let job = live.first?["job"] else { return }
      try client.call("job.wait", ["job": job, "timeout_ms": 60_000])
    }
  }

  func spool(_ name: String) -> String { prefix + "/var/spool/t2d/" + name }

  private func drop(_ file: String, _ text: String) throws {
    try FileSystem.writeAtomically(spool(file), Array(text.utf8), mode: 0o644)
  }

  /// An expert of random multipliers around 1.
  func drop(_ name: String, _ seed: UInt64, _ metadata: [(key: String, value: String)]) throws {
    var random = Random(seed: seed)
    let tensors = SyntheticModel.targets.map { target in
      SafetensorsTensor(
        name: target.name, shape: [target.rank], values: (0..<target.rank).map { _ in 1 + 0.4 * random.next() })
    }
    let entries = [
      (key: "t2.format", value: "t2-expert"), ("t2.version", "1"), ("t2.name", name), ("t2.param_space", "multiplier"),
      ("t2.max_mult", "2"), ("t2.rescale", "none"),
    ]
    try writeSafetensors(to: spool("experts/\(name).safetensors"), tensors: tensors, metadata: entries + metadata)
  }

  /// A task of four few-shot rows with three choices each; those of `numbers` are answered freely.
  func drop(_ task: String, train: Int = 0, eval: Int = 0, settings: String) throws {
    func rows(_ count: Int, _ mark: String) -> [UInt8] {
      (0..<count).flatMap { index -> [UInt8] in
        var row: JSONObject = ["id": .string("\(mark)\(index)"), "question": .string("\(mark) \(index)?")]
        if task == "numbers" {
          row["answer"] = .string("#### \(index)")
        } else {
          row["choices"] = ["text": ["one", "four", "\(mark)"], "label": ["A", "B", "C"]]
          // What is to be learned is learned in a few steps.
          row["answerKey"] = .string(mark == "lesson" ? "B" : ["A", "B", "C"][(index * index + mark.utf8.count) % 3])
        }
        return JSONValue.object(row).serialized() + [0x0a]
      }
    }
    let hidden = spool("tasks/.\(task)")
    try FileSystem.createDirectories(hidden)
    try FileSystem.writeAtomically(hidden + "/fewshot.jsonl", rows(4, "shot"), mode: 0o644)
    if train > 0 { try FileSystem.writeAtomically(hidden + "/train.jsonl", rows(train, "lesson"), mode: 0o644) }
    if eval > 0 { try FileSystem.writeAtomically(hidden + "/eval.jsonl", rows(eval, "row"), mode: 0o644) }
    try FileSystem.writeAtomically(hidden + "/task.json5", Array(settings.utf8), mode: 0o644)
    try FileSystem.rename(hidden, to: spool("tasks/\(task)"))
  }

  // MARK: - A store that is kept elsewhere

  private static let kept = ["catalogue.sqlite", "blobs", "tasks", "trainings"]

  /// Begins with the store in a directory, after its catalogue was made to fit.
  func take(from store: String, adapting: (_ catalogue: String) throws -> Void) throws {
    try FileSystem.createDirectories(state, mode: 0o700)
    for name in Self.kept { try copyTree("\(store)/\(name)", to: "\(state)/\(name)") }
    try adapting(state + "/catalogue.sqlite")
  }

  /// Keeps the store in a directory, without what is made again where it lacks.
  func give(to store: String, adapting: (_ catalogue: String) throws -> Void) throws {
    try adapting(state + "/catalogue.sqlite")
    try FileSystem.removeTree(store)
    try FileSystem.createDirectories(store)
    for name in Self.kept { try copyTree("\(state)/\(name)", to: "\(store)/\(name)") }
    for entry in try FileSystem.entries(store + "/blobs") {
      let path = store + "/blobs/" + (entry.text ?? "")
      if try FileSystem.entries(path).isEmpty { try FileSystem.removeTree(path) }
    }
  }

  // MARK: - Scenes

  /// The experts whose stored files a scene damages.
  private static let damaged = ["social", "science"]

  private func dropped(_ name: String) -> String { "\(prefix)/var/spool/t2d/experts/\(name).safetensors" }

  /// Runs `body` with a daemon on the bank as it was filled, changed as the scene of this name wants it. A daemon goes on
  /// to the next scene where that is the same one and nothing has changed meanwhile.
  func play(_ scene: String, _ body: (_ socket: String) throws -> Void) throws {
    if let stage, stage.scene != scene || stage.hasChanged { try close() }
    if stage == nil { stage = try open(scene) }
    guard let stage else { return }
    do { try body(stage.daemon.paths.socket) } catch {
      throw GoldenScript.Failure("\(error)\nthe daemon's log:\n\(stage.log.text)")
    }
  }

  private func open(_ scene: String) throws -> Stage {
    try FileSystem.removeTree(state)
    try copyTree(saved, to: state)
    var configuration = Self.configuration
    switch scene {
    case "bank": return try Stage(scene, prefix, configuration)
    // The bank without a default model.
    case "undecided":
      configuration.defaultModel = nil
      return try Stage(scene, prefix, configuration)
    // Nothing was ever registered. The prefix is another, for what lies in the bank's directories would be seen.
    case "empty":
      try FileSystem.createDirectories(prefix + "/empty")
      return try Stage(scene, prefix + "/empty", configuration)
    // The worker is starting, and goes on doing so: what is queued waits.
    case "idle": return try Stage(scene, prefix, configuration, SilentWorker())
    // No worker can be started.
    case "no-worker": return try Stage(scene, prefix, configuration, NoWorker())
    // One expert's file is gone from the store, another one's is garbage, and the model `plain` is gone. What was dropped
    // is gone too, or it would heal them.
    case "damaged":
      for name in Self.damaged {
        try FileSystem.remove(blobs[name] ?? "")
        try FileSystem.rename(dropped(name), to: "\(prefix)/\(name).gone")
      }
      try FileSystem.writeAtomically(blobs["science"] ?? "", [1, 2, 3])
      try FileSystem.rename(plain, to: plain + ".gone")
      return try Stage(scene, prefix, configuration)
    // The dispatch template became bad while the daemon was running.
    case "bad-template":
      let stage = try Stage(scene, prefix, configuration)
      try FileSystem.rename(template, to: template + ".good")
      try FileSystem.writeAtomically(template, Array("which of {lables}?".utf8), mode: 0o644)
      stage.daemon.rescan()
      return stage
    default: throw GoldenScript.Failure("there is no scene '\(scene)'")
    }
  }

  /// Ends the daemon, and undoes what its scene did outside of the state.
  func close() throws {
    guard let stage else { return }
    stage.daemon.stop()
    self.stage = nil
    switch stage.scene {
    case "damaged":
      try FileSystem.rename(plain + ".gone", to: plain)
      for name in Self.damaged { try FileSystem.rename("\(prefix)/\(name).gone", to: dropped(name)) }
    case "bad-template": try FileSystem.rename(template + ".good", to: template)
    default: break
    }
  }
}

/// A running daemon that has nothing left to do by itself.
final class Stage {
  let scene: String
  let daemon: Daemon
  let client: RPCClient
  let log = Log()
  private var generation: JSONValue?

  init(
    _ scene: String, _ prefix: String, _ configuration: Configuration, _ worker: any WorkerLauncher = InProcessWorker()
  ) throws {
    self.scene = scene
    let daemon = try Daemon(
      paths: DaemonPaths(prefix: prefix, socket: configuration.socket), configuration: configuration, launcher: worker,
      log: log.logger, shutDown: {})
    self.daemon = daemon
    do {
      client = try RPCClient(socketPath: daemon.paths.socket, timeout: .seconds(120))
      // Each question takes a turn. The memory is what a worker says last when it starts.
      while true {
        let state = try client.call("system.status")["worker"]
        if worker is SilentWorker || state?["state"] == "failed" || state?["memory_bytes"] != nil { break }
      }
      try client.call("system.sync")
      if scene == "damaged" {
        // What is damaged makes a mixture be searched anew.
        let status = try client.call("system.status")
        for job in (status["running"]?.arrayValue ?? []) + (status["queue"]?.arrayValue ?? []) {
          try client.call("job.wait", ["job": job["job"] ?? .null, "timeout_ms": 60_000])
        }
      }
      generation = try client.call("system.status")["generation"]
    } catch {
      daemon.stop()
      throw GoldenScript.Failure("\(error)\nthe daemon's log:\n\(log.text)")
    }
  }

  /// Whether anything was stored since it began, or it cannot say so any more.
  var hasChanged: Bool { (try? client.call("system.status")["generation"]) != generation }
}

final class Log: Sendable {
  private let bytes = Mutex<[UInt8]>([])
  var text: String { bytes.withLock { String(decoding: $0, as: UTF8.self) } }
  var logger: Logger { Logger(threshold: .debug, journal: false) { line in self.bytes.withLock { $0 += line } } }
}

/// Copies a directory with the times and modes of its files.
func copyTree(_ from: String, to: String) throws {
  let copy = try ChildProcess("/bin/cp", arguments: ["cp", "-a", from, to], environment: [], socket: nil)
  guard copy.waitForExit() == .code(0) else {
    throw GoldenScript.Failure("'\(from)' could not be copied to '\(to)'")
  }
}
