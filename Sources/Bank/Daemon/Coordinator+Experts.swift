import Digests
import Experts
import Multipliers
import Registry
import StrictJSON
import SystemSupport
import WorkerProtocol

/// A dropped expert that was copied and found good: what is to be stored of it.
struct CheckedExpert {
  /// Without its number, and without its blob until that is stored.
  var version: ExpertVersion
  /// Its copy; nil where its content is stored already.
  var content: StagedContent?
}

extension Coordinator {
  /// Copies a dropped file and checks what was copied against the registered models.
  func check(_ file: String, in directory: FileDescriptor) throws(Refusal) -> CheckedExpert {
    let dropped = try DroppedFile(
      copying: file, from: directory, into: store.staging, maximumBytes: configuration.maximumExpertBytes,
      isDurable: false)
    let expert = try validate(dropped.bytes, file: file)
    let version = version(expert, source: file, who: "uid \(dropped.copy.source.owner)")
    do throws(RegistryError) {
      let isKnown = try known(version) != nil
      return CheckedExpert(version: version, content: isKnown ? nil : dropped.relinquish())
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

  /// The version that has the content of this one already.
  func known(_ version: ExpertVersion) throws(RegistryError) -> Int? {
    try catalogue.version(ofExpert: version.name, digest: version.digest, modelDigest: version.modelDigest)
  }

  /// Makes a checked file the next version of its name, unless it is one already.
  func accept(
    _ expert: CheckedExpert, _ blob: BlobReference?, file: String, identity: String
  ) throws(RegistryError) {
    var version = expert.version
    var record = IngestRecord(
      directory: .experts, file: file, state: .accepted, warnings: version.warnings, subject: version.name,
      identity: identity, time: .now)
    try writer.change { () throws(RegistryError) in
      if let same = try known(version) {
        let known = snapshot.ingested(.experts, file)
        // The file that brought the version, seen again: nothing new to say of it.
        let isItsOwn = known?.state == .accepted && known?.version == same
        record.state = isItsOwn ? .accepted : .duplicate
        record.version = same
        record.kind = isItsOwn ? nil : "duplicate"
        record.message = isItsOwn ? nil : "the same content as \(version.name)@\(same)"
      } else {
        guard let blob else { throw .conflict("the content of '\(file)' is not stored any more; it is read again") }
        version.blob = blob
        record.version = try addVersion(version)
      }
      try catalogue.store(record)
    }
  }

  /// What the catalogue keeps of an expert; its number and its blob come when it is stored.
  func version(_ expert: ValidatedExpert, source: String, who: String) -> ExpertVersion {
    ExpertVersion(
      name: expert.name, version: 0, state: .candidate, model: expert.model,
      modelDigest: expert.modelDigest.description, digest: expert.contentDigest.description,
      blob: BlobReference(hex: "", bytes: 0), kind: expert.kind.rawValue, label: expert.label,
      task: expert.metadata.task, rescale: expert.rescale.rawValue, isForeign: expert.isForeign,
      details: JSONValue.object(expert.summary).jsonText, warnings: expert.warnings.map(\.description), source: source,
      added: .now, addedBy: who)
  }

  /// Makes a stored file the next version of its name, within the running transaction.
  func addVersion(_ version: ExpertVersion) throws(RegistryError) -> Int {
    let number = try catalogue.addVersion(version)
    try catalogue.record(
      "expert.version", version.name,
      [
        "version": JSONValue(number), "model": .string(version.model), "digest": .string(version.digest),
        "who": .string(version.addedBy), "file": .string(version.source),
      ], now: .now)
    // A version for another base waits for a transfer check or for someone who promotes it all the same.
    if configuration.promotion == .immediate, !version.isForeign {
      try promote(version.name, to: number, .promote, who: "t2d", why: "a new version; promotion is immediate")
    }
    log.info(
      "expert", ["name": version.name, "version": number, "model": version.model, "from": version.source])
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
