import Digests
import Experts
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
  /// Nil where no active expert of the model may take part.
  func need(_ task: TaskRecord, on model: ModelRecord, options: JSONObject) -> MixtureNeed? {
    guard let facts = model.readyFacts else { return nil }
    let named = (options["experts"] ?? task.current.settings["experts"])?.arrayValue?.compactMap(\.stringValue)
    let experts = experts.compactMap(\.activeVersion).filter { version in
      sameName(version.model, model.name) && version.modelDigest == facts.digest
        && version.kind != ExpertKind.dispatcher.rawValue
        && named.map { $0.contains { sameName($0, version.name) } } ?? true
    }
    guard !experts.isEmpty else { return nil }
    let parts =
      ["task \(task.current.digest)", "model \(facts.digest)"]
      + experts.map { "expert \($0.name)@\($0.version) \($0.digest)" }
    let inputs = SHA256.digest(Array(parts.joined(separator: "\n").utf8)).description
    return MixtureNeed(task: task, model: model, experts: experts, inputs: inputs)
  }

  /// What a user asked of the search of this pair, which a recomputation asks again.
  func standingOptions(_ pair: Pair) -> JSONObject { mixture(pair)?.mixture.options ?? [:] }
}
