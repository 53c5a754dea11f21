import Digests
import Evaluation
import Glibc
import Registry
import StrictJSON
import SystemSupport
import WorkerProtocol

/// Stored files that are what was stored again: replaced by what was dropped or computed anew, or restored by a person.
extension Coordinator {
  /// Within the running transaction: a file is what was stored again. What it was served as is served again.
  func noteWhole(_ file: String, _ found: FoundFile, how: String) throws(RegistryError) {
    try catalogue.clearDamage(file)
    let sequence = try catalogue.record("\(found.kind).healed", found.task?.name ?? file, found.detail(how), now: .now)
    for (pair, revision) in found.owners.mixtures {
      guard let served = snapshot.mixture(pair), served.inPlaceOf != nil,
        let newest = try catalogue.mixtureLog(task: pair.task, model: pair.model, limit: 1).first,
        newest.revision == revision
      else { continue }
      try catalogue.serve(pair, revision: revision, inPlaceOf: nil, generation: sequence)
    }
    log.notice("a stored file is whole again", ["file": file, "is": found.shown, "how": how])
  }

  /// Within the running transaction: a blob was published, in place of one that was damaged as `problem` says, or that was
  /// known to be.
  func noteWhole(_ blob: BlobReference, inPlaceOf problem: String?, from source: String) throws(RegistryError) {
    guard problem != nil || snapshot.damage[blob.file] != nil else { return }
    let found = FoundFile(owners: try catalogue.owners(ofBlob: blob.hex))
    guard !found.owners.isEmpty else { return try catalogue.clearDamage(blob.file) }
    try noteWhole(blob.file, found, how: "replaced by \(source)")
  }

  /// The same for a task's copy.
  func noteWhole(_ task: TaskRecord, from source: String) throws(RegistryError) {
    try noteWhole(task.current.file, FoundFile(task: task), how: "replaced by \(source)")
  }

  /// Publishes a staged file; also how what it has replaced was damaged.
  func publish(_ content: StagedContent) throws(RegistryError) -> (blob: BlobReference, replaced: String?) {
    var replaced: String?
    let blob = try store.publish(content) { replaced = $0 }
    return (blob, replaced)
  }

  /// The same for a dropped file, of which nothing is left after an error: it is copied anew when it is tried again.
  func publish(_ dropped: DroppedFile) throws(RegistryError) -> (blob: BlobReference, replaced: String?) {
    let staged = dropped.relinquish()
    do throws(RegistryError) { return try publish(staged) } catch {
      _ = try? FileSystem.remove(staged.path)
      throw error
    }
  }

  /// Heals a file from what lies in the watched directory still, where those are the very bytes that were stored. A file
  /// there that has changed since is another one, and is taken in as such.
  func healFromWatched(_ file: String, _ found: FoundFile) throws(RegistryError) -> Bool {
    if let task = found.task { return try healFromWatched(task) }
    guard let hex = BlobReference.hex(ofFile: file), let directory = watched(.experts) else { return false }
    for (name, version) in found.owners.versions {
      for record in try dropped(.experts, name, version) {
        guard
          let dropped = try? DroppedFile(
            copying: record.file, from: directory, into: store.staging, maximumBytes: configuration.maximumExpertBytes,
            isDurable: false),
          SHA256.digest(dropped.bytes).hex == hex
        else { continue }
        let (blob, replaced) = try publish(dropped)
        try writer.change { () throws(RegistryError) in
          try noteWhole(blob, inPlaceOf: replaced, from: "the dropped file '\(record.file)'")
        }
        return true
      }
    }
    return false
  }

  private func healFromWatched(_ task: TaskRecord) throws(RegistryError) -> Bool {
    guard let directory = watched(.tasks) else { return false }
    for record in try dropped(.tasks, task.name, task.current.revision) {
      let staged = store.stagingPath("task")
      defer { _ = try? FileSystem.removeTree(staged) }
      let status = (try? FileSystem.status(record.file, in: directory)) ?? nil
      guard let status,
        let files = try? stage(record.file, isDirectory: status.kind == .directory, in: directory, to: staged),
        (try? TaskDefinition(name: task.name, files: files, reading: task.current.rowReading))?.digest.description
          == task.current.digest
      else { continue }
      try replaceCopy(of: task, staged: staged, file: record.file, files: files)
      return true
    }
    return false
  }

  /// Puts staged files with the content of a task's revision into the place of its damaged copy.
  func replaceCopy(
    of task: TaskRecord, staged: String, file: String, files: TaskDefinition.Files
  ) throws(RegistryError) {
    let place = task.current.place
    if let below = store.file(ofPath: place) { try store.setAside(below) }
    try store.publishTask(staged: staged, as: place)
    try writer.change { () throws(RegistryError) in
      try catalogue.setCopy(
        ofTask: task.name, revision: task.current.revision, path: place + "/" + file, source: file,
        files: files.references)
      try noteWhole(task, from: "the dropped '\(file)'")
    }
  }

  private func watched(_ directory: IngestRecord.Directory) -> FileDescriptor? {
    try? FileDescriptor.open(paths.directory(directory), O_RDONLY | O_DIRECTORY)
  }

  /// The files that lie there and have become this version of an expert, or revision of a task.
  private func dropped(
    _ directory: IngestRecord.Directory, _ name: String, _ version: Int
  ) throws(RegistryError) -> [IngestRecord] {
    try catalogue.ingested(directory, subject: name, version: version).filter {
      $0.state == .accepted || $0.state == .duplicate
    }
  }
}

extension TaskDefinition.Files {
  /// As the catalogue and the worker have them.
  var references: [TaskReference.File] {
    digests.map { TaskReference.File(name: $0.name, digest: $0.digest.description) }
  }
}
