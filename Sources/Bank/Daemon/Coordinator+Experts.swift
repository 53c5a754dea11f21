import Digests
import Experts
import Multipliers
import Registry
import StrictJSON
import SystemSupport
import WorkerProtocol

extension Coordinator {
  /// Copies a dropped file, checks what was copied against the registered models, and makes it the next version of its
  /// name.
  func takeExpert(_ file: String, in directory: FileDescriptor, identity: String) throws(Refusal) {
    let dropped = try DroppedFile(
      copying: file, from: directory, into: store.staging, maximumBytes: configuration.maximumExpertBytes)
    let expert = try validate(dropped.bytes, file: file)
    do throws(RegistryError) {
      try accept(expert, dropped, file: file, identity: identity)
    } catch {
      throw Refusal(error)
    }
  }

  /// `file`: the name that it was dropped under, or would have been.
  func validate(_ bytes: [UInt8], file: String) throws(Refusal) -> ValidatedExpert {
    do throws(ExpertFileError) {
      return try ExpertFile.read(bytes: bytes, fileName: file).validated(against: signatures)
    } catch {
      switch error {
      case .noModels: throw Refusal(.waitingForModel, kind: error.code, error.description)
      case .file where error.isIncomplete:
        throw Refusal(.incomplete, kind: error.code, error.description, outcome: .incomplete)
      default: throw Refusal(kind: error.code, error.description)
      }
    }
  }

  /// Of the models that are ready.
  var signatures: [ModelSignature] { snapshot.models.compactMap(\.signature) }

  private func accept(
    _ expert: ValidatedExpert, _ dropped: DroppedFile, file: String, identity: String
  ) throws(RegistryError) {
    let digest = expert.contentDigest.description
    let warnings = expert.warnings.map(\.description)
    var record = IngestRecord(
      directory: .experts, file: file, state: .accepted, warnings: warnings, subject: expert.name, identity: identity,
      time: .now)
    if let same = try catalogue.version(
      ofExpert: expert.name, digest: digest, modelDigest: expert.modelDigest.description)
    {
      let known = snapshot.ingested.first { $0.directory == .experts && sameName($0.file, file) }
      // The file that brought the version, seen again: nothing new to say of it.
      let isItsOwn = known?.state == .accepted && known?.version == same
      record.state = isItsOwn ? .accepted : .duplicate
      record.version = same
      record.kind = isItsOwn ? nil : "duplicate"
      record.message = isItsOwn ? nil : "the same content as \(expert.name)@\(same)"
      let stored = record
      return try writer.change { () throws(RegistryError) in try catalogue.store(stored) }
    }

    let staged = dropped.relinquish()
    let blob: BlobReference
    do throws(RegistryError) { blob = try store.publish(staged) } catch {
      // It is copied anew when it is tried again.
      _ = try? FileSystem.remove(staged.path)
      throw error
    }
    try writer.change { () throws(RegistryError) in
      record.version = try addVersion(expert, blob, source: file, who: "uid \(dropped.copy.source.owner)")
      try catalogue.store(record)
    }
  }

  /// Makes a stored file the next version of its name, within the running transaction.
  func addVersion(
    _ expert: ValidatedExpert, _ blob: BlobReference, source: String, who: String
  ) throws(RegistryError) -> Int {
    let version = ExpertVersion(
      name: expert.name, version: 0, state: .candidate, model: expert.model,
      modelDigest: expert.modelDigest.description, digest: expert.contentDigest.description, blob: blob,
      kind: expert.kind.rawValue, label: expert.label, task: expert.metadata.task, rescale: expert.rescale.rawValue,
      isForeign: expert.isForeign, details: JSONValue.object(expert.summary).jsonText,
      warnings: expert.warnings.map(\.description), source: source, added: .now, addedBy: who)
    let number = try catalogue.addVersion(version)
    try catalogue.record(
      "expert.version", expert.name,
      [
        "version": JSONValue(number), "model": .string(expert.model), "digest": .string(version.digest),
        "who": .string(who), "file": .string(source),
      ], now: .now)
    // A version for another base waits for a transfer check or for someone who promotes it all the same.
    if configuration.promotion == .immediate, !expert.isForeign {
      try promote(expert.name, to: number, .promote, who: "t2d", why: "a new version; promotion is immediate")
    }
    log.info("expert", ["name": expert.name, "version": number, "model": expert.model, "from": source])
    return number
  }

  /// Moves an alias within the running transaction, with its event.
  @discardableResult
  func promote(
    _ name: String, to version: Int?, _ action: AliasMove.Action, who: String, why: String
  ) throws(RegistryError) -> AliasMove {
    let move = try catalogue.moveAlias(name, action, to: version, who: who, why: why, now: .now)
    let kind =
      switch action {
      case .promote: "expert.promoted"
      case .rollback: "expert.rolled_back"
      case .retire: "expert.retired"
      }
    var detail: JSONObject = ["who": .string(who), "reason": .string(why)]
    if let from = move.from { detail["from"] = JSONValue(from) }
    if let to = move.to { detail["to"] = JSONValue(to) }
    try catalogue.record(kind, name, detail, now: .now)
    return move
  }
}

extension ModelRecord {
  /// What experts are checked against; nil while the model is not ready.
  var signature: ModelSignature? {
    guard let facts = readyFacts, let digest = Digest(description: facts.digest) else { return nil }
    return ModelSignature(
      name: name, modelID: facts.modelID, digest: digest, architecture: facts.architecture,
      layout: MultiplierLayout(facts.targets))
  }
}
