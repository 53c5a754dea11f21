import Digests
import Glibc
import StrictJSON
package import SystemSupport

/// Makes a store again from what `StoreBackup` has written.
///
/// All of the backup is read and compared before anything is written. It goes into an empty store, below a mark that says
/// that it is not at its end: while that is there, nothing else takes the store for one. What cannot be restored whole is
/// removed again. With the daemon's lock; no daemon runs.
package struct StoreRestore {
  package struct Restored {
    package var files = 0
    package var bytes = 0
    /// The last event of the backup, and when it was made.
    package var event: Int64 = 0
    package var time = ""
    /// What was damaged when the backup was made, so that it is not there.
    package var damaged: [StoreBackup.Damaged] = []
  }

  package enum Failure: Error {
    case registry(RegistryError)
    case notEmpty(String)
    /// The file is not, byte for byte, what was written.
    case damaged(String)
    case backup(SystemCallError)
  }

  private let store: BlobStore
  private let catalogue: String
  private var mark: String { store.unfinishedRestore }

  package init(into store: BlobStore, catalogue: String) {
    self.store = store
    self.catalogue = catalogue
  }

  /// Returns the store's catalogue, open, with what was restored.
  package func run(from backup: FileDescriptor, now: Timestamp) throws(Failure) -> (Catalogue, Restored) {
    try refuseAStore()
    _ = try read(backup, extracts: false)
    try begin()
    do throws(Failure) {
      try registry { () throws(RegistryError) in try store.makeDirectories() }
      let (restored, state) = try read(backup, extracts: true)
      let opened = try open(restored, movedFrom: state, now)
      try end()
      return (opened, restored)
    } catch {
      // The error that led here is the one to report; while the mark is there, nothing takes this for a store.
      if (try? empty()) != nil { _ = try? FileSystem.remove(mark) }
      throw error
    }
  }

  // MARK: - Before and after

  private func refuseAStore() throws(Failure) {
    let found = try registry { () throws(RegistryError) -> String? in
      // What a kill has left of another restore is no store.
      if try RedoLog.files({ () throws(SystemCallError) in try FileSystem.status(mark) }) != nil { return nil }
      return try whatIsThere()
    }
    if let found { throw .notEmpty(found) }
  }

  private func begin() throws(Failure) {
    try files { () throws(SystemCallError) in
      try FileSystem.writeAtomically(mark, Array("a restore began here and has not ended\n".utf8))
      try empty()
    }
  }

  /// What makes the place a store; nil where it is none.
  private func whatIsThere() throws(RegistryError) -> String? {
    if try Catalogue.exists(path: catalogue, store: store) { return "a catalogue" }
    if try store.holdsBlobs() { return "stored files" }
    let tasks = try RedoLog.files { () throws(SystemCallError) in
      try FileSystem.status(store.tasks) == nil ? [] : try FileSystem.entries(store.tasks, limit: 1)
    }
    return tasks.isEmpty ? nil : "copies of tasks"
  }

  private func empty() throws(SystemCallError) {
    for path in [catalogue, catalogue + "-wal", store.versionNotes, store.blobs, store.tasks, store.redo] {
      try FileSystem.removeTree(path)
    }
  }

  private func end() throws(Failure) {
    try files { () throws(SystemCallError) in
      try FileSystem.synchronizeAll(holding: store.root)
      try FileSystem.remove(mark)
      try FileSystem.synchronizeDirectory(store.root)
    }
  }

  // MARK: - Files

  /// Reads all of the backup and compares it with what it says of itself; `extracts` writes its files too. Gives what it
  /// is, and the state directory that it is of.
  private func read(_ backup: FileDescriptor, extracts: Bool) throws(Failure) -> (Restored, state: String) {
    var restored = Restored()
    var reader = TarReader(backup)
    var sums = ""
    var manifest: [UInt8] = []
    var said: [UInt8]?
    do throws(TarReader.Problem) {
      while let entry = try reader.next() {
        guard said == nil else { throw .damaged("'\(escaped(entry.path))' follows its last file") }
        switch entry.path {
        case StoreBackup.sumsName: said = try Self.text(of: entry, &reader)
        case StoreBackup.manifestName:
          manifest = try Self.text(of: entry, &reader)
          sums += "\(SHA256.digest(manifest).hex)  \(entry.path)\n"
        default:
          sums += "\(try read(entry, &reader, extracts: extracts).hex)  \(entry.path)\n"
          restored.files += 1
          restored.bytes += entry.size
        }
      }
    } catch {
      switch error {
      case .files(let error): throw .backup(error)
      case .damaged(let problem): throw .damaged(problem)
      }
    }
    guard let said else { throw .damaged("it has no '\(StoreBackup.sumsName)'; is it a backup of t2d?") }
    try Self.compare(sums, with: said)
    let state = try Self.read(manifest, &restored)
    return (restored, state)
  }

  private static func text(of entry: TarEntry, _ reader: inout TarReader) throws(TarReader.Problem) -> [UInt8] {
    guard entry.size <= 1 << 30 else { throw .damaged("'\(escaped(entry.path))' is too long") }
    var text: [UInt8] = []
    try reader.content(of: entry) { text += $0 }
    return text
  }

  /// Returns the digest of what was read.
  private func read(
    _ entry: TarEntry, _ reader: inout TarReader, extracts: Bool
  ) throws(TarReader.Problem) -> Digest {
    guard Self.isOfAStore(entry.path) else {
      throw .damaged("it holds '\(escaped(entry.path, limit: 256))', which is no file of a store")
    }
    let path = entry.path == StoreBackup.catalogueName ? catalogue : store.path(ofFile: entry.path)
    func files<Value>(_ body: () throws(SystemCallError) -> Value) throws(TarReader.Problem) -> Value {
      do throws(SystemCallError) { return try FileSystem.naming(path, body) } catch { throw .files(error) }
    }
    let file = try files { () throws(SystemCallError) -> FileDescriptor? in
      guard extracts else { return nil }
      if entry.path.hasPrefix("tasks/") {
        try FileSystem.createDirectories(FileSystem.split(path).directory, mode: 0o700)
      }
      let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
      try file.setMode(entry.path == StoreBackup.catalogueName ? 0o600 : 0o444)
      return file
    }
    var hash = SHA256()
    var offset = 0
    try reader.content(of: entry) { (bytes) throws(TarReader.Problem) in
      hash.update(bytes)
      try files { () throws(SystemCallError) in try file?.write(all: bytes, at: offset) }
      offset += bytes.count
    }
    let digest = hash.finish()
    if let hex = BlobReference.hex(ofFile: entry.path), hex != digest.hex {
      throw .damaged("the content of '\(entry.path)' is not what was stored")
    }
    return digest
  }

  /// Whether a path is one that a backup has: below the store, and nowhere else.
  static func isOfAStore(_ path: String) -> Bool {
    if path == StoreBackup.catalogueName { return true }
    if let hex = BlobReference.hex(ofFile: path) { return Digest(hex: hex) != nil }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    return (4...5).contains(parts.count) && parts[0] == "tasks"
      && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
  }

  private static func compare(_ found: String, with said: [UInt8]) throws(Failure) {
    guard !found.utf8.elementsEqual(said) else { return }
    let lines = String(decoding: said, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    let own = found.split(separator: "\n", omittingEmptySubsequences: false)
    let differing = zip(own, lines).first { $0 != $1 }?.0 ?? own.last ?? ""
    throw .damaged("'\(escaped(String(differing.dropFirst(66))))' is not what \(StoreBackup.sumsName) says of it")
  }

  /// Returns the state directory.
  private static func read(_ manifest: [UInt8], _ restored: inout Restored) throws(Failure) -> String {
    let json = try? parseJSON(manifest, limits: .ofOurOwn)
    guard let json, let form = json["t2d_backup"]?.intValue, let event = json["event"]?.integerValue,
      let time = json["time"]?.stringValue, let root = json["state"]?.stringValue
    else { throw .damaged("'\(StoreBackup.manifestName)' is not what t2d writes") }
    guard form == StoreBackup.form else {
      throw .registry(.newerRow(table: StoreBackup.manifestName, found: form, known: StoreBackup.form))
    }
    (restored.event, restored.time) = (event, time)
    for damaged in json["damaged"]?.arrayValue ?? [] {
      restored.damaged.append(
        StoreBackup.Damaged(
          path: damaged["path"]?.stringValue ?? "", subject: damaged["subject"]?.stringValue ?? "",
          message: damaged["message"]?.stringValue ?? ""))
    }
    return root
  }

  // MARK: - The catalogue

  /// Opens the catalogue, which begins its redo log, and makes it that of this place.
  private func open(_ restored: Restored, movedFrom state: String, _ now: Timestamp) throws(Failure) -> Catalogue {
    try registry { () throws(RegistryError) in
      guard try RedoLog.files({ () throws(SystemCallError) in try FileSystem.status(catalogue) }) != nil else {
        throw .missingCatalogue(path: catalogue, rest: "the backup has none")
      }
      let opened = try Catalogue(path: catalogue, store: store, now: now)
      do throws(RegistryError) {
        try opened.check(thorough: true)
        try opened.transaction { () throws(RegistryError) in
          if state != store.root { try opened.relocate(from: state, to: store.root) }
          try opened.record(
            "store.restored", "store",
            [
              "time": .string(restored.time), "last_event": .integer(restored.event),
              "files": JSONValue(restored.files),
            ],
            now: now)
        }
      } catch {
        opened.close()
        throw error
      }
      return opened
    }
  }

  private func files(_ body: () throws(SystemCallError) -> Void) throws(Failure) {
    do throws(SystemCallError) { try body() } catch { throw .registry(.files(error)) }
  }

  private func registry<Value>(_ body: () throws(RegistryError) -> Value) throws(Failure) -> Value {
    do throws(RegistryError) { return try body() } catch { throw .registry(error) }
  }
}

extension Catalogue {
  /// Names what lies below one state directory by another: the copies of tasks, and what jobs that have not ended read
  /// and write.
  func relocate(from old: String, to new: String) throws(RegistryError) {
    try run(
      "UPDATE task_revisions SET path = ?2 || substr(path, length(?1) + 1) WHERE substr(path, 1, length(?1)) = ?1",
      old + "/", new + "/")
    try run(
      """
      UPDATE jobs SET spec = replace(spec, ?1, ?2)
      WHERE instr(spec, ?1) > 0 AND state IN ('queued', 'running', 'interrupted')
      """, Self.opening(old + "/"), Self.opening(new + "/"))
    changes = .everything
  }

  /// How a text of JSON begins that begins with this.
  private static func opening(_ text: String) -> String { String(JSONValue.string(text).jsonText.dropLast()) }
}
