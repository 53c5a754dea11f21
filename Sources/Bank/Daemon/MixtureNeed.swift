import Digests
import Registry
import StrictJSON

/// What a pair needs now: the experts that take part, and the digest of everything the mixture will depend on.
struct MixtureNeed: Equatable {
  var task: TaskRecord
  var model: ModelRecord
  var experts: [ExpertVersion]
  var inputs: String

  var pair: Pair { Pair(task: task.name, model: model.name) }
}

extension Snapshot {
  /// Nil where no active expert of the model may take part. A damaged one takes none.
  func need(_ task: TaskRecord, on model: ModelRecord, options: JSONObject) -> MixtureNeed? {
    guard let facts = model.readyFacts, let inputs = inputs(of: task, on: model, options: options) else { return nil }
    let experts =
      named(task, options).map { active($0, on: model) }
      ?? activeVersions(of: ActiveExperts.Base(model: model.name, digest: facts.digest))
    return MixtureNeed(task: task, model: model, experts: experts, inputs: inputs)
  }

  /// `MixtureNeed.inputs` alone, in a time that does not depend on how many experts there are, unless the task names
  /// them.
  func inputs(of task: TaskRecord, on model: ModelRecord, options: JSONObject) -> String? {
    guard let facts = model.readyFacts else { return nil }
    let experts: SetDigest
    if let named = named(task, options) {
      let versions = active(named, on: model)
      guard !versions.isEmpty else { return nil }
      experts = SetDigest(versions)
    } else {
      let base = ActiveExperts.Base(model: model.name, digest: facts.digest)
      guard let digest = activeExperts.digest(of: base) else { return nil }
      experts = digest
    }
    let parts = "task \(task.current.digest)\nmodel \(facts.digest)\nexperts \(experts.text)"
    return SHA256.digest(Array(parts.utf8)).description
  }

  /// As t2d formed the digest of a need before it had that of a set: its searches may still be waiting.
  func earlierInputs(of need: MixtureNeed) -> String {
    let parts =
      ["task \(need.task.current.digest)", "model \(need.model.facts?.digest ?? "")"]
      + need.experts.map { "expert \($0.name)@\($0.version) \($0.digest)" }
    return SHA256.digest(Array(parts.joined(separator: "\n").utf8)).description
  }

  /// The experts among which a search is to mix, where somebody has said so.
  private func named(_ task: TaskRecord, _ options: JSONObject) -> [String]? {
    (options["experts"] ?? task.current.settings["experts"])?.arrayValue?.compactMap(\.stringValue)
  }

  /// Those of the names that may take part, each once, in the order of all experts.
  private func active(_ names: [String], on model: ModelRecord) -> [ExpertVersion] {
    Set(names.map { Name($0) }).sorted().compactMap { expert($0.text)?.activeVersion }.filter { version in
      sameName(version.model, model.name) && version.modelDigest == model.facts?.digest && version.mayTakePart
        && damage(of: version) == nil
    }
  }

  /// What a user asked of the search of this pair, which a recomputation asks again.
  func standingOptions(_ pair: Pair) -> JSONObject { mixture(pair)?.mixture.options ?? [:] }
}
