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
  /// What else the file says.
  var details: String
  /// Its copy; nil where its content is stored already.
  var content: StagedContent?
  /// How what is stored of this content is damaged, in whose place the copy comes.
  var heals: String?
}

extension Coordinator {
  /// Copies a dropped file and checks what was copied against the registered models, and its name against the files that
  /// are known and those of the batch before it.
  func check(
    _ file: String, in directory: FileDescriptor, after batch: [DropStep]
  ) throws(Refusal) -> CheckedExpert {
    let dropped = try copy(file, from: directory)
    let expert = try validate(dropped.bytes, file: file)
    let version = version(expert, source: file, who: "uid \(dropped.copy.source.owner)")
    var checked = CheckedExpert(version: version, details: expert.details)
    do throws(RegistryError) {
      // One that was removed comes again.
      if let number = try known(version), try catalogue.removal(of: .expert(version.name, version: number)) == nil {
        guard let problem = try problem(ofKnown: version, number) else { return checked }
        checked.heals = problem
        checked.content = dropped.relinquish()
        return checked
      }
    } catch {
      throw Refusal(error)
    }
    if let other = otherFile(for: version, than: file, after: batch) {
      throw Refusal(
        kind: Self.nameTakenKind,
        "its name '\(version.name)' is that of the expert of '\(other)', which is in this directory too and has another "
          + "content; give one of the two another t2.name, as t2ctl expert register --name does, or take one away")
    }
    checked.content = dropped.relinquish()
    return checked
  }

  private func copy(_ file: String, from directory: FileDescriptor) throws(Refusal) -> DroppedFile {
    do throws(Refusal) {
      return try DroppedFile(
        copying: file, from: directory, into: store.staging, maximumBytes: configuration.maximumExpertBytes,
        isDurable: false)
    } catch {
      var refusal = error
      if refusal.message.hasPrefix("too_large:") {
        refusal.message += "; an expert has one vector a matrix, and a model is registered with t2ctl model add"
      }
      throw refusal
    }
  }

  /// Of files whose name another file has.
  static let nameTakenKind = "name_taken"

  /// The file that is the expert of this name already, where it is another one: as versions the two would take turns with
  /// every change. The one that came first stays, in whatever order a scan finds them.
  private func otherFile(for version: ExpertVersion, than file: String, after batch: [DropStep]) -> String? {
    let name = version.name
    let own = snapshot.ingested(.experts, file)
    let isOwn = own.map { $0.isExpert(name) } ?? false
    if isOwn, own?.state == .accepted { return nil }
    let known =
      snapshot.expert(name) == nil
      ? nil
      : snapshot.ingested.first { record in
        record.isExpert(name) && !sameName(record.file, file) && !(isOwn && record.state == .duplicate)
          // What goes earlier in this batch is in nobody's way.
          && !batch.contains { $0.forgets(IngestRecord.Directory.experts.rawValue, record.file) }
      }
    return known?.file
      ?? batch.first { $0.isInTheWay(of: version) && !sameName($0.expertFile ?? file, file) }?.expertFile
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
  var signatures: [ModelSignature] { snapshot.signatures }

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
      let same = try known(version)
      if let same, let removal = try catalogue.removal(of: .expert(version.name, version: same)) {
        record.version = same
        if let message = try stillRemoved(removal.subject, .experts, file: file, identity: identity) {
          (record.state, record.kind, record.message) = (.ignored, Self.removedKind, message)
        } else {
          version.blob = try stored(blob, file: file)
          try noteWhole(version.blob, inPlaceOf: nil, from: "the dropped file '\(file)'")
          try restore(version, details: expert.details, as: same, from: removal, file: file)
        }
      } else if let same {
        let known = snapshot.ingested(.experts, file)
        // The file that brought the version, seen again: nothing new to say of it.
        let isItsOwn = known?.state == .accepted && known?.version == same
        record.state = isItsOwn ? .accepted : .duplicate
        record.version = same
        record.kind = isItsOwn ? nil : "duplicate"
        record.message = isItsOwn ? nil : "the same content as \(version.name)@\(same)"
        if let problem = expert.heals, let blob {
          try heal(version, same, with: blob, details: expert.details, problem, file: file)
          record.kind = "healed"
          record.message =
            "it took the place of what was stored of \(version.name)@\(same), which was damaged: \(problem)"
        }
      } else {
        version.blob = try stored(blob, file: file)
        try noteWhole(version.blob, inPlaceOf: nil, from: "the dropped file '\(file)'")
        record.version = try addVersion(version, details: expert.details)
      }
      try catalogue.store(record)
    }
  }

  private func stored(_ blob: BlobReference?, file: String) throws(RegistryError) -> BlobReference {
    guard let blob else { throw .conflict("the content of '\(file)' is not stored any more; it is read again") }
    return blob
  }

  /// How the blob of a version that has the content of a dropped file is damaged; nil where it is not. The file need not
  /// have the same bytes, but must say the same of itself to take its place.
  private func problem(ofKnown dropped: ExpertVersion, _ number: Int) throws(RegistryError) -> String? {
    guard let stored = snapshot.expert(dropped.name)?.version(number) else { return nil }
    guard let problem = try store.problem(of: stored.blob) else {
      if snapshot.damage(of: stored) != nil { suspect(stored.blob.file) }
      return nil
    }
    let isAlike = stored.kind == dropped.kind && stored.label == dropped.label && stored.task == dropped.task
    return isAlike ? problem : nil
  }

  /// Within the running transaction: a dropped file has been stored in the place of a version's blob.
  private func heal(
    _ dropped: ExpertVersion, _ number: Int, with blob: BlobReference, details: String, _ problem: String,
    file: String
  ) throws(RegistryError) {
    if let stored = snapshot.expert(dropped.name)?.version(number), stored.blob != blob {
      try catalogue.clearDamage(stored.blob.file)
      try catalogue.setBlob(ofExpert: dropped.name, version: number, blob, details: details)
    }
    try noteWhole(blob, inPlaceOf: problem, from: "the dropped file '\(file)'")
  }

  /// What the catalogue keeps of an expert; its number and its blob come when it is stored.
  func version(_ expert: ValidatedExpert, source: String, who: String) -> ExpertVersion {
    ExpertVersion(expert, source: source, who: who, added: .now)
  }

  /// Makes a stored file the next version of its name, within the running transaction.
  func addVersion(_ version: ExpertVersion, details: String) throws(RegistryError) -> Int {
    let number = try catalogue.addVersion(version, details: details)
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
    try removeOldVersions(of: version.name)
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

extension ValidatedExpert {
  /// What the catalogue keeps of the file beside what it decides by, as JSON text.
  var details: String { JSONValue.object(summary).jsonText }
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

extension ExpertVersion {
  /// What the catalogue keeps of an expert; its number and its blob come when it is stored.
  init(_ expert: ValidatedExpert, source: String, who: String, added: Timestamp) {
    self.init(
      name: expert.name, version: 0, state: .candidate, model: expert.model,
      modelDigest: expert.modelDigest.description, digest: expert.contentDigest.description,
      blob: BlobReference(hex: "", bytes: 0), kind: expert.kind.rawValue, label: expert.label,
      task: expert.metadata.task, rescale: expert.rescale.rawValue, isForeign: expert.isForeign,
      warnings: expert.warnings.map(\.description), source: source, added: added, addedBy: who)
  }
}
