import Registry
import RPCProtocol
import StrictJSON
import SystemSupport
import Watcher
import WorkerProtocol

/// What is taken away, and brought back.
extension Coordinator {
  /// What depends on it now, in words that an answer has.
  func dependents(of subject: Removal.Subject) throws(RegistryError) -> Dependents {
    var found = Dependents()
    var mixtures: [Pair] = []
    switch subject {
    case .expert(let name, let number):
      found.active = snapshot.expert(name)?.active == number
      if found.active { found.successor = try catalogue.versionBefore(name) }
      found.checks = snapshot.checks(of: name, version: number).count
      mixtures = snapshot.mixtures.filter { served in
        served.mixture.record.experts.contains { sameName($0.name, name) && $0.version == number }
      }.map(\.place)
    case .task(let name): mixtures = snapshot.mixtures(ofTask: name).map(\.place)
    case .model(let name):
      found.experts = snapshot.activeExperts.count(ofModel: name)
      found.tasks = snapshot.tasks.count { task in task.boundModel.map { sameName($0, name) } ?? false }
      mixtures = snapshot.mixtures.filter { sameName($0.mixture.pair.model, name) }.map(\.place)
    }
    let jobs = try catalogue.liveJobs(about: subject)
    let files = try droppedFiles(of: subject).map { "\(paths.directory($0.directory))/\($0.file)" }
    found.mixtures = mixtures.prefix(Self.listed).map { .init(task: $0.task, model: $0.model) }
    found.jobs = Array(jobs.prefix(Self.listed))
    found.files = Array(files.prefix(Self.listed))
    found.more = [mixtures.count, jobs.count, files.count].reduce(0) { $0 + max(0, $1 - Self.listed) }
    return found
  }

  /// So many of each are listed.
  private static let listed = 200

  private func droppedFiles(of subject: Removal.Subject) throws(RegistryError) -> [IngestRecord] {
    switch subject {
    case .expert(let name, let version): try catalogue.ingested(.experts, subject: name, version: version)
    case .task(let name): try catalogue.ingested(.tasks, subject: name, version: nil)
    case .model: []
    }
  }

  /// Takes it away, and stops what is about it.
  func remove(_ subject: Removal.Subject, who: String, why: String) throws(RegistryError) -> Removal {
    let jobs = try catalogue.liveJobs(about: subject)
    let removal = try writer.change { () throws(RegistryError) in try hide(subject, who: who, why: why) }
    stop(jobs.map { ($0, "\(subject.shown) was removed by \(who)") })
    if case .model(let name) = subject { board.end("missing_model", about: name) }
    reconcile()
    return removal
  }

  /// Within the running transaction.
  private func hide(_ subject: Removal.Subject, who: String, why: String) throws(RegistryError) -> Removal {
    let files = try droppedFiles(of: subject)
    let (removal, move) = try catalogue.remove(subject, who: who, why: why, now: .now)
    for file in files {
      var file = file
      (file.state, file.kind, file.message) = (.ignored, Self.removedKind, Self.message(of: removal))
      file.time = .now
      try catalogue.store(file)
    }
    var detail: JSONObject = ["removal": .integer(removal.id), "who": .string(who), "reason": .string(why)]
    if let version = subject.version { detail["version"] = JSONValue(version) }
    if let move {
      detail["from"] = move.from.map { JSONValue($0) } ?? .null
      detail["to"] = move.to.map { JSONValue($0) } ?? .null
    }
    try catalogue.record("\(subject.kind.rawValue).removed", subject.name, detail, now: .now)
    log.notice("removed", ["what": subject.shown, "who": who, "reason": why])
    return removal
  }

  /// The file of something that was removed.
  static let removedKind = "removed"

  private static func message(of removal: Removal) -> String {
    "\(removal.subject.shown), which it became, was removed by \(removal.who); 't2ctl removal undo \(removal.id)' brings it "
      + "back, and so does dropping the file anew"
  }

  private func stop(_ jobs: [(job: Int64, reason: String)]) {
    for (job, reason) in jobs {
      writer.attempt("stop a job") { () throws(RegistryError) in try self.jobs.cancel(job, reason: reason) }
    }
  }

  /// At start: the last run may have ended between a removal and the end of its jobs.
  func stopJobsOfRemoved() {
    writer.attempt("stop the jobs of what is removed") { () throws(RegistryError) in
      stop(try catalogue.liveJobsOfRemoved())
    }
  }

  /// Brings back what a removal has hidden.
  func undo(_ id: Int64, who: String) throws(RegistryError) -> Removal {
    let removal = try writer.change { () throws(RegistryError) -> Removal in
      let (removal, wasActive) = try catalogue.undo(id, now: .now)
      try show(removal.subject, removal: id, who: who, why: "removal \(id) was undone")
      if wasActive, let version = removal.subject.version {
        try promote(
          removal.subject.name, to: version, .promote, who: who, why: "its removal \(id) was undone, and it was active")
      }
      return removal
    }
    reconcile()
    return removal
  }

  /// Within the running transaction: what was removed is there again.
  private func show(_ subject: Removal.Subject, removal: Int64, who: String, why: String) throws(RegistryError) {
    for file in try droppedFiles(of: subject) where file.kind == Self.removedKind {
      var file = file
      (file.state, file.kind, file.message, file.time) = (.accepted, nil, nil, .now)
      try catalogue.store(file)
    }
    var detail: JSONObject = ["removal": .integer(removal), "who": .string(who), "reason": .string(why)]
    if let version = subject.version { detail["version"] = JSONValue(version) }
    try catalogue.record("\(subject.kind.rawValue).restored", subject.name, detail, now: .now)
    log.notice("restored", ["what": subject.shown, "who": who, "reason": why])
  }

  // MARK: - Its file

  /// Why a dropped file stays ignored: what it became was removed, and it is the file that lay there then, though it may
  /// have moved to another disk with all others. One that was written since is dropped anew.
  func stillRemoved(
    _ subject: Removal.Subject, _ directory: IngestRecord.Directory, file: String, identity: String
  ) throws(RegistryError) -> String? {
    guard let known = snapshot.ingested(directory, file), known.kind == Self.removedKind,
      DropIdentity.areOfSameTimes(known.identity, identity), let removal = try catalogue.removal(of: subject)
    else { return nil }
    return Self.message(of: removal)
  }

  /// Within the running transaction: a dropped file has the content of a version that is removed, which so comes again.
  func restore(
    _ version: ExpertVersion, details: String, as number: Int, from removal: Removal, file: String
  ) throws(RegistryError) {
    try catalogue.restore(version, details: details, as: number, now: .now)
    try show(removal.subject, removal: removal.id, who: version.addedBy, why: "the file '\(file)' was dropped")
    let isOut = snapshot.expert(version.name)?.version(number)?.state == .quarantined
    if configuration.promotion == .immediate, !version.isForeign, !isOut {
      try promote(version.name, to: number, .promote, who: "t2d", why: "it was dropped again; promotion is immediate")
    }
  }

  // MARK: - Retention

  /// Within the running transaction: removes the versions of a name that are more than are to be kept.
  func removeOldVersions(of name: String) throws(RegistryError) {
    guard let kept = configuration.retention.versions else { return }
    for version in try catalogue.versions(ofExpert: name, beyondNewest: kept) {
      _ = try hide(
        .expert(name, version: version), who: "t2d", why: "retention keeps the \(kept) newest versions")
    }
  }

  /// At start: the configuration may keep fewer than the last one did.
  func removeOldVersions() {
    guard let kept = configuration.retention.versions else { return }
    let names = snapshot.experts.filter { $0.versions.count > kept }.map(\.name)
    guard !names.isEmpty else { return }
    writer.attempt("remove old versions") { () throws(RegistryError) in
      try writer.change { () throws(RegistryError) in for name in names { try removeOldVersions(of: name) } }
    }
  }
}
