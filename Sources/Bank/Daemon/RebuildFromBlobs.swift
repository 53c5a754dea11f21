import Evaluation
import Experts
import Digests
import Registry
import StrictJSON
import SystemSupport

/// Makes a catalogue where there is neither one nor a redo log: of the stored files, and of what was noted beside them.
///
/// Experts come back with their numbers and states. What is made of them, mixtures and checks, is made again by the daemon;
/// events and jobs are lost. Whatever could not be told is said.
struct RebuildFromBlobs {
  let paths: DaemonPaths
  /// Where what is left of the catalogue is moved to.
  let aside: String
  let say: (String) -> Void

  private static let who = "t2d fsck"
  private static let why = "the catalogue was lost and made again"

  /// What a blob without a note says of itself.
  private struct Unnoted {
    var file: String
    var version: ExpertVersion
    var details: String
  }

  private var store: BlobStore { paths.store }

  func run(now: Timestamp) throws(RegistryError) -> Catalogue {
    let notes = try Catalogue.notes(in: store)
    if notes.damaged > 0 {
      say("\(notes.damaged) lines of what was noted beside the blobs are damaged, and are not used\n")
    }
    let unnoted = try readUnnoted(notes)
    let tasks = try readTasks()
    let catalogue = try Catalogue.beginAgain(path: paths.catalogue, store: store, aside: aside, now: now)
    do throws(RegistryError) {
      try catalogue.transaction { () throws(RegistryError) in
        try catalogue.take(notes, who: Self.who, why: Self.why, now: now)
        for blob in unnoted { try take(blob, into: catalogue, now) }
        for task in tasks { _ = try catalogue.addRevision(task) }
        try catalogue.record(
          "store.rebuilt", "store",
          [
            "versions": JSONValue(notes.versions.count), "unnoted": JSONValue(unnoted.count),
            "tasks": JSONValue(tasks.count),
          ],
          now: now)
      }
      try Catalogue.endRebuild(store: store, aside: aside)
    } catch {
      catalogue.close()
      throw error
    }
    say(
      "the catalogue was made again from the stored files: \(notes.versions.count) versions of experts as they were noted, "
        + "\(unnoted.count) that were not, \(tasks.count) revisions of tasks; mixtures are searched again, and events, jobs and "
        + "checks are lost\n")
    return catalogue
  }

  private func take(_ blob: Unnoted, into catalogue: Catalogue, _ now: Timestamp) throws(RegistryError) {
    let name = escaped(blob.version.name)
    guard let number = try catalogue.takeUnnoted(blob.version, details: blob.details, who: Self.who, now: now) else {
      return say("not told: \(blob.file): '\(name)' has this content already; which version it was is not known\n")
    }
    say(
      "not told: \(blob.file): which version of '\(name)' it was, and whether it was in use; it is \(name)@\(number), after "
        + "the noted ones and by the time of its file, a candidate: t2ctl expert promote \(name)@\(number)\n")
  }

  // MARK: - Blobs

  /// Experts among the blobs that no note names, oldest first.
  private func readUnnoted(_ notes: Catalogue.Notes) throws(RegistryError) -> [Unnoted] {
    let noted = Set(notes.versions.map(\.blob.hex))
    var found: [Unnoted] = []
    for (file, hex) in try blobs() where !noted.contains(hex) {
      let path = store.path(ofFile: file)
      do throws(RegistryError) {
        let (bytes, changed) = try read(path)
        guard SHA256.digest(bytes).hex == hex else {
          say("not told: \(file): its content is not what was stored\n")
          continue
        }
        if let expert = try expert(in: bytes, file, BlobReference(hex: hex, bytes: bytes.count), changed, notes) {
          found.append(expert)
        }
      } catch .files(let error) where error.isOfTheFile {
        say("not told: \(file): it cannot be read: \(error)\n")
      }
    }
    return found.sorted { ($0.version.added, $0.file) < ($1.version.added, $1.file) }
  }

  private func blobs() throws(RegistryError) -> [(file: String, hex: String)] {
    try files { () throws(SystemCallError) in
      var blobs: [(file: String, hex: String)] = []
      for directory in try FileSystem.entries(store.blobs).compactMap(\.text).sorted() {
        for name in try FileSystem.entries("\(store.blobs)/\(directory)").compactMap(\.text).sorted() {
          let file = "blobs/\(directory)/\(name)"
          if let hex = BlobReference.hex(ofFile: file) { blobs.append((file, hex)) }
        }
      }
      return blobs
    }
  }

  private func read(_ path: String) throws(RegistryError) -> (bytes: [UInt8], changed: Timestamp) {
    try files { () throws(SystemCallError) in
      let status = try FileSystem.status(path)
      let bytes = try FileSystem.readAll(path, maximumBytes: ExpertFile.maximumBytes)
      return (bytes, Timestamp(milliseconds: (status?.identity.modifiedNanoseconds ?? 0) / 1_000_000))
    }
  }

  /// Nil for what is no expert: a mixture is made again.
  private func expert(
    in bytes: [UInt8], _ file: String, _ blob: BlobReference, _ changed: Timestamp, _ notes: Catalogue.Notes
  ) throws(RegistryError) -> Unnoted? {
    do throws(ExpertFileError) {
      let expert = try ExpertFile.read(bytes: bytes, fileName: "")
      guard expert.metadata.kind != .mixture else { return nil }
      let model = model(of: expert, notes)
      guard let signature = expert.signatureOfItsOwn(named: model.name) else {
        say("not told: \(file): it is no expert\n")
        return nil
      }
      let valid = try expert.validated(against: signature)
      var version = ExpertVersion(valid, source: "\(expert.name).safetensors", who: Self.who, added: changed)
      version.modelDigest = model.digest
      version.blob = blob
      return Unnoted(file: file, version: version, details: JSONValue.object(valid.summary).jsonText)
    } catch {
      if case .noName = error {
        say("not told: \(file): an expert whose file says no name; drop it again under its name\n")
      } else {
        say("not told: \(file): it is no expert: \(error)\n")
      }
      return nil
    }
  }

  /// The model that an expert was for: of those that were noted the one with its digest, or the only one; else one of the
  /// name that its file gives, which is to be added again.
  private func model(of expert: ExpertFile, _ notes: Catalogue.Notes) -> (name: String, digest: String) {
    let declared = expert.metadata.baseDigest?.description
    if let noted = notes.versions.first(where: { $0.modelDigest == declared }) {
      return (noted.model, noted.modelDigest)
    }
    let models = Set(notes.versions.map { Name($0.model) })
    if let noted = notes.versions.first, models.count == 1 { return (noted.model, declared ?? noted.modelDigest) }
    let name = FileSystem.split(expert.metadata.baseModelID ?? "").name
    return (ExpertName.isValid(name) ? name : "unknown", declared ?? "")
  }

  // MARK: - Tasks

  /// Which rules it was registered with is lost with the catalogue: today's, or where they refuse it the first.
  private static func task(_ name: String, _ files: TaskDefinition.Files) throws(TaskFileError) -> TaskDefinition {
    do throws(TaskFileError) {
      return try TaskDefinition(name: name, files: files)
    } catch {
      guard let task = try? TaskDefinition(name: name, files: files, reading: .first) else { throw error }
      return task
    }
  }

  /// The copies of tasks that are what was stored, in the order in which they were: the newest of each is its last.
  private func readTasks() throws(RegistryError) -> [TaskRevision] {
    var revisions: [TaskRevision] = []
    for path in try copies() {
      let parts = path.split(separator: "/")
      let (name, digest, source) = (
        String(parts[parts.count - 3]), parts[parts.count - 2], String(parts[parts.count - 1])
      )
      let file = escaped("tasks/\(name)/\(digest)/\(source)")
      do throws(TaskFileError) {
        let files = try TaskFile.read(path: path)
        let task = try Self.task(name, files)
        guard task.digest.hex.hasPrefix(digest) else {
          say("not told: \(file): its content is not what was stored\n")
          continue
        }
        let status = (try? FileSystem.status(path)) ?? nil
        let added = Timestamp(milliseconds: (status?.identity.changedNanoseconds ?? 0) / 1_000_000)
        revisions.append(TaskRevision(task, files, path: path, source: source, added: added))
      } catch {
        say("not told: \(file): \(error)\n")
      }
    }
    return revisions.sorted { ($0.added, $0.path) < ($1.added, $1.path) }
  }

  private func copies() throws(RegistryError) -> [String] {
    try files { () throws(SystemCallError) in
      var paths = [store.tasks]
      for _ in 0..<3 {
        var below: [String] = []
        for path in paths where try FileSystem.status(path)?.kind == .directory {
          below += try FileSystem.entries(path).compactMap(\.text).sorted().map { "\(path)/\($0)" }
        }
        paths = below
      }
      return paths
    }
  }

  private func files<Value>(_ body: () throws(SystemCallError) -> Value) throws(RegistryError) -> Value {
    do throws(SystemCallError) { return try body() } catch { throw .files(error) }
  }
}
