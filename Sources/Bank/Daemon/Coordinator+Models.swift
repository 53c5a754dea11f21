import Digests
import ModelFormats
import Multipliers
import Registry
import RPCProtocol
import Settings
import StrictJSON
import SystemSupport
import WorkerProtocol

extension Coordinator {
  /// Registers a model, or looks at one again. Returns the job that inspects it, nil where it is known and unchanged.
  /// - Parameters:
  ///   - path: of its file or directory; with an engine, the addresses of its replicas.
  ///   - modules: of which the matrices are factored; none: all.
  func addModel(
    name: String, path: String, engine: EngineKind?, modules: [String], who: String
  ) throws(RPCError) -> (ModelRecord, job: Int64?) {
    guard let identity = modelIdentity(path, engine) else {
      throw RPCError(
        .fileNotReadable, "cannot read the model '\(path)'",
        hint: "give the absolute path of a .gguf file or of a directory with config.json that t2d's user can read")
    }
    if let known = snapshot.model(name) {
      // Replicas come and go; what they are is looked at.
      if known.state != .failed, known.engine != engine || engine == nil && !sameName(known.path, path) {
        throw RPCError(
          .conflict, "there is a model '\(name)' already, at '\(known.path)'", hint: "choose another name with --name")
      }
      if known.state != .failed, engine == nil, !known.factors(modules) {
        throw RPCError(
          .conflict, "there is a model '\(name)' already, of which \(known.factoredText) are factored",
          hint: "remove it and add it again (t2ctl model remove \(name)), or add it a second time with --name")
      }
      if known.state == .ready, known.identity == identity { return (known, nil) }
    }
    var model = ModelRecord(
      name: name, path: path, engine: engine, identity: identity, modules: modules, state: .inspecting, facts: nil,
      problem: nil, added: .now, addedBy: who)
    if let known = snapshot.model(name) {
      // What it was is served until it is known what it has become.
      model = known
      model.path = path
      model.identity = identity
      model.problem = nil
      if known.state != .ready {
        model.state = .inspecting
        model.modules = modules
        model.engine = engine
      }
    }
    do throws(RegistryError) {
      return (model, try inspect(model, who: who, why: "model.add"))
    } catch {
      throw RPCError(error)
    }
  }

  private func inspect(_ model: ModelRecord, who: String, why: String) throws(RegistryError) -> Int64 {
    try writer.change { () throws(RegistryError) in
      try catalogue.store(model)
      try catalogue.record("model.added", model.name, ["path": .string(model.path), "who": .string(who)], now: .now)
    }
    return try jobs.submit(
      JobRecord(
        InspectSpec(
          path: model.path, engine: model.engine, cacheDirectory: store.factorizations, modules: model.modules),
        key: "\(Self.target(model))\0\(model.path)\0\(model.identity)\0\(model.modules.joined(separator: ","))",
        target: Self.target(model),
        inputs: model.identity, priority: 10, task: nil, model: model.name, who: who, reason: why, created: .now))
  }

  private static func target(_ model: ModelRecord) -> String { "\(InspectSpec.kind)\0\(model.name)" }

  /// At start, at `system.sync` and where the worker found another model: one whose file has changed is inspected again;
  /// one whose file is gone gets a warning.
  func lookAgain(at model: ModelRecord) {
    guard let identity = modelIdentity(model.path, model.engine) else {
      let warning = DaemonWarning(
        code: "missing_model", subject: model.name,
        message: "model '\(model.name)' is missing: '\(model.path)' cannot be read",
        help: "put it back, or add it again from where it is now: t2ctl model add PATH --name \(model.name)")
      if board.raise(warning) { log.warning(warning.message) }
      return
    }
    board.end("missing_model", about: model.name)
    guard identity != model.identity || model.state == .inspecting else { return }
    guard !jobs.isLive(target: Self.target(model)) else { return }
    var changed = model
    changed.identity = identity
    writer.attempt("inspect a model again") { () throws(RegistryError) in
      _ = try inspect(changed, who: "t2d", why: "its file has changed")
    }
  }

  /// A warning for each model of which an engine does not answer, as long as that is so.
  func lookAtEngines(_ memory: MemoryAnswer) {
    for model in snapshot.models where model.engine != nil {
      let seen = memory.models.first { sameName($0.path, model.path) }?.replicas ?? []
      let dead = seen.filter { $0.state == .dead }
      guard !dead.isEmpty else {
        board.end("dead_engine", about: model.name)
        continue
      }
      let replicas = seen.count == 1 ? "its engine" : "\(dead.count) of its \(seen.count) engines"
      let warning = DaemonWarning(
        code: "dead_engine", subject: model.name,
        message: "model '\(model.name)': \(replicas) cannot be used: "
          + dead.map { "\($0.at): \($0.detail ?? "no answer")" }.joined(separator: "; "),
        help: "start it again, or name those that there are: t2ctl model add --name \(model.name) --engine "
          + "\(model.engine?.rawValue ?? "E") --at ADDRESS,...")
      if board.raise(warning) { log.warning(warning.message) }
    }
  }

  /// The worker has read a model, or has not.
  fileprivate func inspected(_ job: JobRecord, _ outcome: Result<ModelFacts, WorkerFault>) throws(RegistryError) {
    guard let name = job.model, var model = snapshot.model(name) else { return }
    let before = model.readyFacts?.digest
    switch outcome {
    case .success(let facts):
      model.state = .ready
      model.facts = facts
      model.problem = nil
      board.end("missing_model", about: name)
    case .failure(let fault):
      // A model that was served goes on being known as it was.
      if before == nil { model.state = .failed }
      model.problem = fault.message
    }
    let stored = model
    try writer.change { () throws(RegistryError) in
      try catalogue.store(stored)
      if let facts = stored.readyFacts, stored.problem == nil {
        try catalogue.record(
          "model.ready", name, ["digest": .string(facts.digest), "architecture": .string(facts.architecture)], now: .now
        )
      } else {
        try catalogue.record("model.failed", name, ["message": JSONValue(stored.problem)], now: .now)
      }
    }
    if let facts = stored.readyFacts, stored.problem == nil {
      log.info("model", ["name": name, "digest": facts.digest, "layers": facts.layers])
      retryExperts(all: before != nil && before != facts.digest)
    }
  }

  /// What tells this state of a model's files from another; nil where they cannot be read. What an engine has loaded is
  /// found out by asking it, whenever it is used.
  func modelIdentity(_ path: String, _ engine: EngineKind?) -> String? {
    if let engine { return "\(engine.rawValue):\(path)" }
    guard let status = (try? FileSystem.status(path, followingLinks: true)) ?? nil else { return nil }
    func text(_ name: String, _ identity: FileIdentity) -> String {
      "\(name):\(identity.device):\(identity.inode):\(identity.size):\(identity.modifiedNanoseconds)"
    }
    func digest(of names: [String], in directory: String) -> String {
      let parts = names.map { name in
        ((try? FileSystem.status(directory + "/" + name, followingLinks: true)) ?? nil).map { text(name, $0.identity) }
          ?? name
      }
      return SHA256.digest(Array(parts.joined(separator: "\n").utf8)).description
    }
    switch status.kind {
    case .regular:
      let (directory, name) = FileSystem.split(path)
      // Any part stands for all of a model.
      if let parts = GGUFPartName(name)?.all { return digest(of: parts, in: directory) }
      return text("file", status.identity)
    case .directory:
      guard let entries = try? FileSystem.entries(path, limit: 10_000) else { return nil }
      let names = entries.compactMap(\.text).filter {
        $0.hasSuffix(".safetensors") || $0.hasSuffix(".json") || $0.hasSuffix(".txt") || $0.hasSuffix(".jinja")
      }
      return digest(of: names.sorted(), in: path)
    case .symbolicLink, .fifo, .socket, .device: return nil
    }
  }
}

extension ModelRecord {
  /// Whether a list of modules means the matrices that are factored: in other words too, once these are known.
  fileprivate func factors(_ asked: [String]) -> Bool {
    guard let facts else { return Set(asked) == Set(modules) }
    let layout = MultiplierLayout(facts.targets)
    return (try? layout.matrices(ofModules: asked)) == layout.factored
  }

  /// What of it is factored, for people.
  fileprivate var factoredText: String {
    guard let facts else { return modules.isEmpty ? "all matrices" : modules.joined(separator: ", ") }
    return MultiplierLayout(facts.targets).factoredModules?.joined(separator: ", ") ?? "all matrices"
  }
}

extension InspectSpec: HandledJob {
  func finished(_ job: JobRecord, _ result: ModelFacts, on coordinator: Coordinator) throws -> JSONValue {
    try coordinator.inspected(job, .success(result))
    return result.json
  }

  func failed(_ job: JobRecord, _ fault: WorkerFault, on coordinator: Coordinator) throws(RegistryError) {
    try coordinator.inspected(job, .failure(fault))
  }
}
