import Experts
import Multipliers
import Registry
import RPCProtocol
import Records
import StrictJSON
import SystemSupport
import WorkerProtocol

// What a name of the grammar stands for, see `ServedName`.

/// The weights that a name stands for.
struct NamedWeights {
  let name: ServedName
  let model: ModelRecord
  let weights: Weights
  /// Of the mixture, where the name is a task's.
  let generation: Int64?
  let warnings: [String]
}

extension ServedName {
  /// As a client wrote it.
  static func read(_ text: String) throws(RPCError) -> ServedName {
    do throws(ServedNameError) { return try ServedName(text) } catch {
      throw RPCError(.invalidParams, error.description, hint: "a name is \(ServedNameError.grammar)")
    }
  }
}

extension Snapshot {
  // MARK: - The model

  /// The model that an engine serves: it was started with its name, its path, or its id on a hub. `base`, what stands
  /// before a name, decides between several.
  func model(ofEngine text: String, base: String?) throws(RPCError) -> ModelRecord {
    let found = Self.likest(to: text, models)
    guard let first = found.first else {
      throw RPCError(
        .unknownModel, "no registered model has the name, the path or the id \(quoted(text, limit: 256))",
        hint: "register it by the same path that the engine has: t2ctl model add PATH")
    }
    guard let base else {
      guard found.count == 1 else { throw Self.ambiguous(text, found) }
      return try resolveModel(first.name)
    }
    let meant = sameName(base, text) ? found : Self.likest(to: base, found)
    guard let model = meant.first else {
      throw RPCError(.notFound, "\(quoted(base)) is not the model that this engine serves, which is '\(first.name)'")
    }
    guard meant.count == 1 else { throw Self.ambiguous(text, meant) }
    return try resolveModel(model.name)
  }

  private static func likest(to text: String, _ models: [ModelRecord]) -> [ModelRecord] {
    let found = models.compactMap { model in model.likeness(to: text).map { (model, $0) } }
    let best = found.map(\.1).min()
    return found.filter { $0.1 == best }.map(\.0)
  }

  private static func ambiguous(_ text: String, _ models: [ModelRecord]) -> RPCError {
    RPCError(
      .ambiguousModel,
      "the models \(models.map(\.name).joined(separator: ", ")) may all be \(quoted(text, limit: 256))",
      hint: "start the engine with the path of one of them, or write MODEL/NAME")
  }

  // MARK: - Names

  /// Says at once that there is nothing of a name, without asking anybody.
  func requireKnown(_ name: ServedName) throws(RPCError) {
    switch name.choice {
    case .named(let reference):
      if task(reference.name) != nil { return }
      if expert(reference.name) != nil { return try requireVersion(reference) }
      let near = nearestName(to: reference.name, among: tasks.map(\.name) + experts.map(\.name))
      throw RPCError(
        .notFound, "there is neither a task nor an expert '\(reference.name)'",
        hint: near.map { "did you mean '\($0)'?" } ?? "see: t2ctl task list, and t2ctl expert list")
    case .expert(let reference): try requireVersion(reference)
    case .mixture(let expression): for term in expression.terms { try requireVersion(term.expert) }
    }
  }

  private func requireVersion(_ reference: ServedName.Reference) throws(RPCError) {
    do throws(RPCError) { _ = try resolveExpert(reference.description) } catch {
      throw RPCError(.notFound, error.message, hint: error.hint)
    }
  }
}

extension ModelRecord {
  /// How closely a text that an engine or a client has for a model is this one, from 0; nil where it is not.
  fileprivate func likeness(to text: String) -> Int? {
    func last(_ path: String) -> Substring { path.split(separator: "/").last ?? "" }
    var text = text
    while text.utf8.count > 1, text.hasSuffix("/") { text.removeLast() }
    if sameName(text, name) || sameName(text, path) { return 0 }
    let id = facts?.modelID ?? ""
    if sameName(text, id) { return 1 }
    let end = String(last(text))
    return [name, String(last(id)), String(last(path))].contains { !$0.isEmpty && sameName($0, end) } ? 2 : nil
  }
}

extension Service {
  /// The weights of a name. On the catalogue's thread, since an earlier generation stands in no snapshot.
  func resolve(
    _ name: ServedName, on model: ModelRecord, _ coordinator: Coordinator
  ) throws(RPCError) -> NamedWeights {
    let snapshot = coordinator.snapshot
    try snapshot.requireKnown(name)
    func weights(
      _ expert: String? = nil, alpha: JSONObject? = nil, mix: MixRule? = nil
    ) throws(RPCError) -> Weights {
      try resolveWeights(expert: expert, mixture: nil, alpha: alpha, mix: mix, model: model).weights
    }
    switch name.choice {
    case .named(let reference):
      guard snapshot.task(reference.name) != nil else {
        return NamedWeights(
          name: name, model: model, weights: try weights(reference.description), generation: nil, warnings: [])
      }
      let hidden = snapshot.expert(reference.name) != nil
      let warnings =
        hidden
        ? ["the task '\(reference.name)' is meant; the expert is \(ServedName.expertPrefix)\(reference.name)"] : []
      guard let generation = reference.number else {
        let found = try served(reference.name, model: model.name)
        return NamedWeights(
          name: name, model: model, weights: .expert(self.reference(found.mixture), rescale: .none),
          generation: found.generation, warnings: warnings)
      }
      let revision = try coordinator.revision(of: reference.name, on: model, at: generation)
      return NamedWeights(
        name: name, model: model, weights: .expert(self.reference(revision), rescale: .none), generation: generation,
        warnings: warnings)
    case .expert(let reference):
      return NamedWeights(
        name: name, model: model, weights: try weights(reference.description), generation: nil, warnings: [])
    case .mixture(let expression):
      var alpha = JSONObject()
      for term in expression.terms { alpha[term.expert.description] = .number(term.weight.value) }
      return NamedWeights(
        name: name, model: model, weights: try weights(alpha: alpha, mix: expression.mix), generation: nil, warnings: []
      )
    }
  }

  /// The vectors of a mixture as an expert: they are effective multipliers, and mixed with weight one they stay so.
  func reference(_ mixture: MixtureRevision) -> ExpertReference {
    ExpertReference(
      name: mixture.pair.task, version: mixture.revision, digest: mixture.record.digest ?? "",
      path: paths.store.path(mixture.blob), blob: mixture.blob.hex)
  }
}

extension Coordinator {
  /// What was served for a task when the catalogue was at a generation.
  fileprivate func revision(
    of task: String, on model: ModelRecord, at generation: Int64
  ) throws(RPCError) -> MixtureRevision {
    if let served = snapshot.mixture(Pair(task: task, model: model.name)), served.generation == generation {
      return served.mixture
    }
    let found = try answering { () throws(RegistryError) in
      try catalogue.mixtureLog(task: task, model: model.name, before: generation + 1, limit: 1)
    }
    guard generation <= snapshot.generation, let revision = found.first else {
      throw RPCError(
        .notFound, "task '\(task)' had no mixture on model '\(model.name)' at generation \(generation)",
        hint: "see: t2ctl mixture log \(task)")
    }
    return revision
  }
}
