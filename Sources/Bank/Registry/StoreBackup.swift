import Digests
import Glibc
import StrictJSON
package import SystemSupport

/// What a backup of the store holds, as the catalogue stood at one moment: a tar archive of
///
///     catalogue.sqlite           a copy of the database
///     blobs/ab/cdef…             every blob that it names
///     tasks/NAME/DIGEST/SOURCE   every task's copy that it names
///     t2d-backup.json            what it is, and what is damaged and therefore not in it
///     SHA256SUMS                 the digest of each file before it, for 'sha256sum -c' and for 'restore'
///
/// It is made on the catalogue's thread and written on any other: what it names is never changed, and `gc` removes nothing
/// while a backup is written.
package struct StoreBackup: Sendable {
  /// A file that is not what was stored, so that it is not in the backup.
  package struct Damaged: Sendable, Equatable {
    /// Below the store's directory.
    package var path: String
    package var subject: String
    package var message: String
  }

  package struct Written: Sendable, Equatable {
    package var files = 0
    /// Of the archive.
    package var bytes = 0
    package var damaged: [Damaged] = []
  }

  package enum Failure: Error {
    /// Of a file of the store, which says nothing of its content.
    case store(SystemCallError)
    /// Of the archive.
    case archive(SystemCallError)
    case stopped
  }

  private struct TaskCopy: Sendable {
    var place: String
    var subject: String
    /// The digests of its files, by their paths below the place; empty where they are not known.
    var digests: [String: String]
  }

  static let form = 1
  static let catalogueName = "catalogue.sqlite"
  static let manifestName = "t2d-backup.json"
  static let sumsName = "SHA256SUMS"

  /// The copy of the catalogue: whoever has made this removes it at the end.
  package let copy: String
  /// The last event in it.
  package let event: Int64
  package let time: Timestamp
  private let store: BlobStore
  private let blobs: [(blob: BlobReference, subject: String)]
  private let tasks: [TaskCopy]

  /// Copies the catalogue to `copy`, and notes what it names. On the catalogue's thread.
  package init(of catalogue: Catalogue, copy: String, now: Timestamp) throws(RegistryError) {
    self.copy = copy
    store = catalogue.store
    time = now
    event = try catalogue.lastSequence()
    var blobs: [String: (blob: BlobReference, subject: String)] = [:]
    for named in try catalogue.namedBlobs() where blobs[named.blob.hex] == nil { blobs[named.blob.hex] = named }
    self.blobs = blobs.values.sorted { $0.blob.hex < $1.blob.hex }
    var digests: [String: [String: String]] = [:]
    for (place, files) in try catalogue.filesOfTasks() { digests[place] = files }
    var tasks: [String: TaskCopy] = [:]
    for (path, subject) in try catalogue.namedTasks() {
      // The directory that holds the file, or the directory, that was dropped.
      let place = FileSystem.split(path).directory
      tasks[place] = TaskCopy(place: place, subject: subject, digests: digests[place] ?? [:])
    }
    self.tasks = tasks.values.sorted { $0.place < $1.place }
    try catalogue.backUp(to: copy)
  }

  // MARK: - Writing

  /// Writes the archive from its first byte and makes it durable. Every file is compared with its digest on the way; one
  /// that differs is left out, and is named in the archive and here. `goesOn` is asked between any two pieces.
  package func write(to archive: FileDescriptor, while goesOn: () -> Bool) throws(Failure) -> Written {
    var writer = Writer(archive: archive, modified: time.milliseconds / 1000)
    if let problem = try writer.add(copy, as: Self.catalogueName, mode: 0o600, expected: nil, while: goesOn) {
      throw .store(SystemCallError("back up", copy, number: EIO, hint: "the copy of the catalogue: \(problem)"))
    }
    for (blob, subject) in blobs {
      try writer.add(store.path(blob), blob.file, subject, expected: blob.hex, while: goesOn)
    }
    for task in tasks { try add(task, to: &writer, while: goesOn) }
    try writer.add(manifest(writer.written.damaged), as: Self.manifestName)
    try writer.add(Array(writer.sums.utf8), as: Self.sumsName)
    try writer.end()
    return writer.written
  }

  private func add(_ task: TaskCopy, to writer: inout Writer, while goesOn: () -> Bool) throws(Failure) {
    let below = "tasks/" + task.place.split(separator: "/").suffix(2).joined(separator: "/")
    let found: [String]
    do throws(SystemCallError) { found = try Self.files(below: task.place) } catch {
      throw .store(error)
    }
    if found.isEmpty, task.digests.isEmpty {
      writer.written.damaged.append(Damaged(path: below, subject: task.subject, message: "it is missing"))
    }
    for name in Set(found).union(task.digests.keys).sorted() {
      try writer.add(
        "\(task.place)/\(name)", "\(below)/\(name)", task.subject, expected: task.digests[name], while: goesOn)
    }
  }

  /// The regular files of a task's copy: a file, or those of one directory.
  private static func files(below place: String) throws(SystemCallError) -> [String] {
    guard try FileSystem.status(place)?.kind == .directory else { return [] }
    var files: [String] = []
    for name in try FileSystem.entries(place).compactMap(\.text) {
      switch try FileSystem.status("\(place)/\(name)")?.kind {
      case .regular?: files.append(name)
      case .directory?:
        for inner in try FileSystem.entries("\(place)/\(name)").compactMap(\.text)
        where try FileSystem.status("\(place)/\(name)/\(inner)")?.kind == .regular {
          files.append("\(name)/\(inner)")
        }
      case .symbolicLink?, .fifo?, .socket?, .device?, nil: break
      }
    }
    return files
  }

  private func manifest(_ damaged: [Damaged]) -> [UInt8] {
    let manifest: JSONValue = [
      "t2d_backup": JSONValue(Self.form), "program": .string(programVersion),
      "schema": JSONValue(Catalogue.migrations.count), "time": .string(time.description), "event": .integer(event),
      "state": .string(store.root),
      "damaged": .array(
        damaged.map {
          ["path": .string($0.path), "subject": .string($0.subject), "message": .string($0.message)]
        }),
    ]
    return Array((manifest.jsonText + "\n").utf8)
  }

  /// Puts files into the archive, one behind the other.
  private struct Writer {
    let archive: FileDescriptor
    let modified: Int64
    var written = Written()
    /// A line for each file.
    private(set) var sums = ""

    init(archive: FileDescriptor, modified: Int64) {
      self.archive = archive
      self.modified = modified
    }

    /// A file of the store; what is damaged of it is noted.
    mutating func add(
      _ source: String, _ path: String, _ subject: String, expected: String?, while goesOn: () -> Bool
    ) throws(Failure) {
      guard let problem = try add(source, as: path, mode: 0o444, expected: expected, while: goesOn) else { return }
      written.damaged.append(Damaged(path: path, subject: subject, message: problem))
    }

    /// Returns what is wrong with the file, which then is not in the archive.
    mutating func add(
      _ source: String, as path: String, mode: Int, expected: String?, while goesOn: () -> Bool
    ) throws(Failure) -> String? {
      guard goesOn() else { throw .stopped }
      let start = written.bytes
      let problem = try copy(source, as: path, mode: mode, expected: expected, while: goesOn)
      if problem == nil { written.files += 1 } else { written.bytes = start }
      return problem
    }

    private mutating func copy(
      _ source: String, as path: String, mode: Int, expected: String?, while goesOn: () -> Bool
    ) throws(Failure) -> String? {
      guard
        let file = try read(
          source,
          { () throws(SystemCallError) in
            try FileDescriptor.open(source, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
          }), let status = try read(source, { () throws(SystemCallError) in try file.status() })
      else {
        return "it is missing or cannot be read"
      }
      guard status.kind == .regular else { return "it is \(status.kind.phrase)" }
      try put(TarEntry(path: path, size: status.size, mode: mode, modified: modified).header)
      var hash = SHA256()
      var offset = 0
      while offset < status.size {
        guard goesOn() else { throw .stopped }
        let (place, count) = (offset, min(1 << 18, status.size - offset))
        guard let bytes = try read(source, { () throws(SystemCallError) in try file.bytes(at: place, count: count) })
        else { return "it cannot be read" }
        guard bytes.count == count else { return "it has changed while it was read" }
        hash.update(bytes)
        try put(bytes)
        offset += count
      }
      try put([UInt8](repeating: 0, count: TarEntry.padding(status.size)))
      let digest = hash.finish()
      if let expected, let problem = BlobStore.problem(of: digest, expected) { return problem }
      sums += "\(digest.hex)  \(path)\n"
      return nil
    }

    /// Nil where the file is at fault.
    private func read<Value>(_ path: String, _ body: () throws(SystemCallError) -> Value) throws(Failure) -> Value? {
      do throws(SystemCallError) { return try FileSystem.naming(path, body) } catch {
        if error.isOfTheFile { return nil }
        throw .store(error)
      }
    }

    mutating func add(_ bytes: [UInt8], as path: String) throws(Failure) {
      try put(TarEntry(path: path, size: bytes.count, mode: 0o444, modified: modified).header)
      try put(bytes)
      try put([UInt8](repeating: 0, count: TarEntry.padding(bytes.count)))
      sums += "\(SHA256.digest(bytes).hex)  \(path)\n"
      written.files += 1
    }

    mutating func end() throws(Failure) {
      try put(TarEntry.end)
      do throws(SystemCallError) {
        // What was left out may have reached further.
        try archive.truncate(to: written.bytes)
        try archive.synchronize()
      } catch {
        throw .archive(error)
      }
    }

    private mutating func put(_ bytes: [UInt8]) throws(Failure) {
      do throws(SystemCallError) { try archive.write(all: bytes, at: written.bytes) } catch { throw .archive(error) }
      written.bytes += bytes.count
    }
  }
}

extension Catalogue {
  /// The digests of the files of every task's copy that has them, by the directory that holds the copy.
  fileprivate func filesOfTasks() throws(RegistryError) -> [(place: String, digests: [String: String])] {
    try rows("SELECT path, files FROM task_revisions WHERE files IS NOT NULL") { (row) throws(RegistryError) in
      let files = try storedJSON(row.text(1), table: "task_revisions").arrayValue ?? []
      let digests = files.compactMap { file -> (String, String)? in
        guard let name = file["name"]?.stringValue,
          let digest = file["digest"]?.stringValue.flatMap({ Digest(description: $0) })
        else { return nil }
        return (name, digest.hex)
      }
      return (FileSystem.split(row.text(0)).directory, Dictionary(digests, uniquingKeysWith: { first, _ in first }))
    }
  }
}
