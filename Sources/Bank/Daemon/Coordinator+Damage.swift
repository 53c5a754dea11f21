import Digests
import Evaluation
import Experts
import Glibc
import Registry
import StrictJSON
import SystemSupport
import WorkerProtocol

/// Damage: stored files that are not what was stored. Nothing damaged is used; the last good thing is served where there is
/// one; and what still lies in the watched directory, or is dropped there again, heals it.
extension Coordinator {
  // MARK: - Looking

  /// Looks at a file of the store that somebody has found damaged, or that was damaged when it was looked at last, and
  /// does what follows. `file` is a path below the store's directory.
  func examine(_ file: String) {
    if look(at: file) { reconcile() }
  }

  /// The same, for a path that the worker names, when the present turn is over.
  func suspect(path: String?) {
    if let file = path.flatMap({ store.file(ofPath: $0) }) { suspect(file) }
  }

  func suspect(_ file: String) {
    if !suspects.contains(file) { suspects.append(file) }
  }

  /// Looks at the next of the files that are to be looked at: one a turn, so that requests come between.
  func examineNextSuspect() {
    guard let file = suspects.popFirst() else { return }
    examine(file)
  }

  /// What is known to be damaged may have been restored from a backup. A few are looked at now, and many by and by.
  func examineDamage() {
    let files = snapshot.damage.keys.sorted()
    let changes = files.prefix(64).count { look(at: $0) }
    suspects += files.dropFirst(64).filter { !suspects.contains($0) }
    if changes > 0 { reconcile() }
  }

  /// At start: notes what is missing; looks at what was damaged and at what is served for as long as there is time, and at
  /// what was damaged by and by. The scrub reads the rest.
  func examineStore(within time: Duration) {
    let deadline = MonotonicInstant.now + time
    noteMissing()
    var rest = snapshot.damage.keys.sorted()[...]
    while MonotonicInstant.now < deadline, let file = rest.popFirst() { _ = look(at: file) }
    suspects += rest
    // Of an older t2d, whose copies have no digests yet.
    let unknown = snapshot.tasks.filter { $0.current.files == nil }.map(\.current.file)
    for file in snapshot.mixtures.map(\.mixture.blob.file) + unknown where MonotonicInstant.now < deadline {
      _ = look(at: file)
    }
  }

  /// All that is not there, in one transaction: it may be all that there was.
  private func noteMissing() {
    func isMissing(_ blob: BlobReference) -> Bool { !store.isPresent(blob) && snapshot.damage[blob.file] == nil }
    var files: Set<String> = []
    for expert in snapshot.experts {
      for version in expert.versions where isMissing(version.blob) { files.insert(version.blob.file) }
    }
    for served in snapshot.mixtures where isMissing(served.mixture.blob) { files.insert(served.mixture.blob.file) }
    for task in snapshot.tasks where snapshot.damage(of: task) == nil {
      if ((try? FileSystem.status(task.current.path)) ?? nil) == nil { files.insert(task.current.file) }
    }
    guard !files.isEmpty else { return }
    writer.attempt("note what is missing from the store") { () throws(RegistryError) in
      var found: [(file: String, FoundFile, problem: String)] = []
      for file in files.sorted() {
        if let lies = try find(file), let problem = lies.problem { found.append((file, lies, problem)) }
      }
      try note(found)
    }
  }

  /// True where what may be used has changed.
  private func look(at file: String) -> Bool {
    let known = snapshot.damage[file]
    do throws(RegistryError) {
      guard let found = try find(file) else {
        // No row names it any more.
        if known != nil { try writer.change { () throws(RegistryError) in try catalogue.clearDamage(file) } }
        return false
      }
      guard let problem = found.problem else {
        guard known != nil else { return false }
        try writer.change { () throws(RegistryError) in try noteWhole(file, found, how: "it is what was stored again") }
        return true
      }
      if known?.cause != problem { try note([(file, found, problem)]) }
      let isHealed = try healFromWatched(file, found)
      return isHealed || known == nil
    } catch {
      // What is no fault of the file's says nothing of it.
      log.error("cannot look at a stored file", ["file": file, "error": error])
      return false
    }
  }

  /// What lies under a name of the store.
  struct FoundFile {
    var owners = BlobOwners()
    var task: TaskRecord? = nil
    /// How it differs from what was stored; nil where it does not.
    var problem: String? = nil

    /// "expert 'science@1' and the mixture of 'arc'", for people.
    var shown: String {
      let versions = owners.versions.map { "expert '\($0.expert)@\($0.version)'" }
      let mixtures = owners.mixtures.map { "the mixture of '\($0.pair.task)' on '\($0.pair.model)'" }
      let all = versions + mixtures + (task.map { ["task '\($0.name)'"] } ?? [])
      return all.count > 3
        ? all.prefix(2).joined(separator: ", ") + " and \(all.count - 2) more"
        : all.joined(separator: " and ")
    }

    func detail(_ cause: String) -> JSONObject {
      var detail: JSONObject = ["reason": .string(cause)]
      if !owners.versions.isEmpty {
        detail["experts"] = JSONValue(owners.versions.map { "\($0.expert)@\($0.version)" })
      }
      if !owners.mixtures.isEmpty {
        detail["mixtures"] = .array(
          owners.mixtures.map {
            ["task": .string($0.pair.task), "model": .string($0.pair.model), "revision": JSONValue($0.revision)]
          })
      }
      return detail
    }

    /// `blob` or `task`, for the names of events.
    var kind: String { task == nil ? "blob" : "task" }
  }

  /// Reads a file of the store; nil where no row names it.
  private func find(_ file: String) throws(RegistryError) -> FoundFile? {
    var found = FoundFile()
    if let hex = BlobReference.hex(ofFile: file) {
      found.owners = try catalogue.owners(ofBlob: hex)
      if found.owners.isEmpty { return nil }
      found.problem = try store.problem(of: StoredFile(file: file, path: store.path(ofFile: file), hex: hex))
    } else {
      found.task = snapshot.tasks.first { sameName($0.current.file, file) }
      guard let task = found.task else { return nil }
      found.problem = try problem(of: task)
    }
    return found
  }

  /// How a task's copy differs from what was stored. One whose files are not known is taken for what it says it is where
  /// its rows and settings hash to its digest, and they are kept.
  func problem(of task: TaskRecord) throws(RegistryError) -> String? {
    let files: TaskDefinition.Files
    do throws(TaskFileError) { files = try TaskFile.read(path: task.current.path) } catch {
      if ((try? FileSystem.status(task.current.path)) ?? nil) == nil { return "it is missing" }
      return error.description
    }
    if let stored = task.current.files { return files.difference(from: stored.map { ($0.name, $0.digest) }) }
    guard let definition = try? TaskDefinition(name: task.name, files: files, reading: task.current.rowReading),
      definition.digest.description == task.current.digest
    else { return "its content is not what was stored" }
    try writer.change { () throws(RegistryError) in
      try catalogue.setCopy(
        ofTask: task.name, revision: task.current.revision, path: task.current.path, source: task.current.source,
        files: files.references)
    }
    return nil
  }

  // MARK: - For the scrub

  /// Some of the files that rows name, in the order of their names, beginning behind one; none: that was all. Those of the
  /// tasks' copies come at once, behind the last blobs.
  func storedFiles(after file: String, limit: Int) -> [StoredFile] {
    var files: [StoredFile] = []
    if file.isEmpty || BlobReference.hex(ofFile: file) != nil {
      let blobs = (try? catalogue.blobs(after: BlobReference.hex(ofFile: file) ?? "", limit: limit)) ?? []
      files = blobs.map { hex in
        let file = BlobReference.file(hex)
        return StoredFile(file: file, path: store.path(ofFile: file), hex: hex)
      }
      guard files.count < limit else { return files }
    }
    for task in snapshot.tasks.sorted(by: { $0.current.file < $1.current.file }) where task.current.file > file {
      for stored in task.current.files ?? [] {
        guard let digest = Digest(description: stored.digest) else { continue }
        files.append(
          StoredFile(file: task.current.file, path: "\(task.current.place)/\(stored.name)", hex: digest.hex))
      }
    }
    return files
  }

  // MARK: - Damaged

  /// Stores it and says it; where it was served, serves the newest earlier revision that is whole.
  private func note(_ damaged: [(file: String, FoundFile, problem: String)]) throws(RegistryError) {
    try writer.change { () throws(RegistryError) in
      for (file, found, problem) in damaged {
        log.error("a stored file is damaged", ["file": file, "is": found.shown, "problem": problem])
        try catalogue.store(Damage(file: file, cause: problem, noticed: .now))
        try catalogue.record("\(found.kind).damaged", found.task?.name ?? file, found.detail(problem), now: .now)
      }
      let files = Set(damaged.map(\.file))
      for served in snapshot.mixtures where files.contains(served.mixture.blob.file) {
        try serveEarlier(served, without: files)
      }
    }
  }

  private func serveEarlier(_ served: ServedMixture, without files: Set<String>) throws(RegistryError) {
    let (pair, damaged) = (served.mixture.pair, served.mixture)
    let log = try catalogue.mixtureLog(task: pair.task, model: pair.model, limit: 1000)
    for earlier in log where earlier.revision < damaged.revision {
      // One of another base has vectors of other meaning.
      guard earlier.record.baseDigest == damaged.record.baseDigest, !files.contains(earlier.blob.file),
        snapshot.damage[earlier.blob.file] == nil, try store.problem(of: earlier.blob) == nil
      else { continue }
      let reason =
        "the vectors of revision \(damaged.revision) are damaged, so revision \(earlier.revision) is served"
      let sequence = try catalogue.record(
        "mixture.stale", pair.task, ["model": .string(pair.model), "reason": .string(reason)], now: .now)
      return try catalogue.serve(pair, revision: earlier.revision, inPlaceOf: reason, generation: sequence)
    }
  }
}
