package import Digests
import Glibc
package import SystemSupport

/// A file of the store, named by the SHA-256 of its bytes.
package struct BlobReference: Sendable, Hashable {
  package var hex: String
  package var bytes: Int

  package init(hex: String, bytes: Int) {
    self.hex = hex
    self.bytes = bytes
  }
}

/// A file of `staging` whose bytes are known, so that the store need not read it to publish it.
package struct StagedContent: Sendable {
  package let path: String
  /// Of the bytes.
  package let digest: Digest
  /// Of the file when the bytes were known. One that was touched or replaced since is not published.
  package let identity: FileIdentity

  package init(path: String, digest: Digest, identity: FileIdentity) {
    self.path = path
    self.digest = digest
    self.identity = identity
  }
}

/// The private directory of everything that is served: read-only files under the names of their digests.
///
///     blobs/ab/cdef…   0444, never changed, never replaced
///     staging/         what is being copied, hashed or computed; emptied at start and at a clean end
///     tasks/NAME/…     read-only copies of task files and directories
///     factorizations/  the worker's caches by model digest
///     trainings/       states of trainings that are not at their end
///     backups/         copies of the catalogue
///     redo/            the catalogue's second copy (see `RedoLog`)
///     quarantine/      what was damaged and has been replaced
///     versions.jsonl   which version of which expert each blob is (see `VersionNotes`)
///     rebuilding       the same while the catalogue is made again from it
///     restoring        a file that is there while a backup is being restored
///
/// A file is durable before a row names it: fsync of the file, a link that never replaces, fsync of the directory, and
/// only then the caller's transaction. So a crash leaves at most a blob that no row names. Rename is not used, because
/// it would silently replace. What does not hash to its name is set aside first. All calls block; the catalogue's thread
/// makes them, but for those that only read.
package struct BlobStore: Sendable {
  package let root: String

  package var blobs: String { root + "/blobs" }
  package var staging: String { root + "/staging" }
  package var tasks: String { root + "/tasks" }
  package var factorizations: String { root + "/factorizations" }
  package var trainings: String { root + "/trainings" }
  package var backups: String { root + "/backups" }
  package var redo: String { root + "/redo" }
  package var quarantine: String { root + "/quarantine" }
  /// See `VersionNotes`.
  var versionNotes: String { root + "/versions.jsonl" }
  /// The notes while the catalogue is made again from them.
  var unfinishedRebuild: String { root + "/rebuilding" }
  /// Is there while what else is there is a part of a backup.
  package var unfinishedRestore: String { root + "/restoring" }

  package init(root: String) { self.root = root }

  /// Makes the directories, and empties what an earlier run left in `staging`. All 256 directories of blobs are made
  /// and synchronised here, so that publishing never has to make one durable.
  package func prepare(goesOnRebuilding: Bool = false) throws(RegistryError) {
    try refuseUnfinishedRestore()
    if !goesOnRebuilding, try isPartlyRebuilt() {
      throw .unfinished(directory: root, command: "t2d fsck --rebuild")
    }
    try makeDirectories()
    try files(removeUnfinished)
  }

  /// Removes what nobody comes back for: all of `staging`, and files that were being written when their process was
  /// killed. To be called where no worker of this store runs.
  package func removeUnfinished() throws(SystemCallError) {
    for entry in try FileSystem.entries(staging) {
      guard let name = entry.text else { continue }
      try FileSystem.removeTree(staging + "/" + name)
    }
    for directory in [root, redo, trainings] { try FileSystem.removeTemporaries(in: directory) }
  }

  package func refuseUnfinishedRestore() throws(RegistryError) {
    if try files({ () throws(SystemCallError) in try FileSystem.status(unfinishedRestore) }) != nil {
      throw .unfinished(directory: root, command: "t2d restore FILE")
    }
  }

  /// Whether the catalogue was being made again from the stored files, and that has not ended.
  package func isPartlyRebuilt() throws(RegistryError) -> Bool {
    try files { () throws(SystemCallError) in try FileSystem.status(unfinishedRebuild) } != nil
  }

  /// Makes the directories that are not there.
  func makeDirectories() throws(RegistryError) {
    try files { () throws(SystemCallError) in
      for path in [blobs, staging, tasks, factorizations, trainings, backups, redo, quarantine] {
        try FileSystem.createDirectories(path, mode: 0o700)
      }
      var isNew = false
      for number in 0..<256 {
        let path = blobs + "/" + Self.prefix(number)
        if try FileSystem.status(path) == nil {
          try FileSystem.createDirectories(path, mode: 0o700)
          isNew = true
        }
      }
      if isNew { try FileSystem.synchronizeDirectory(blobs) }
      try FileSystem.synchronizeDirectory(root)
    }
  }

  package func path(_ blob: BlobReference) -> String {
    path(ofFile: blob.file)
  }

  /// `file` is a path below the store's directory.
  package func path(ofFile file: String) -> String { "\(root)/\(file)" }

  /// The path below the store's directory; nil for what does not lie there.
  package func file(ofPath path: String) -> String? {
    path.hasPrefix(root + "/") ? String(path.dropFirst(root.utf8.count + 1)) : nil
  }

  /// A name in `staging` that nothing has yet.
  package func stagingPath(_ stem: String) -> String {
    "\(staging)/\(stem).\(String(UInt64.random(in: 0 ... .max), radix: 36))"
  }

  /// Reads a file of `staging` that another process has made, such as a worker: its bytes, which are to be checked, and
  /// what to publish after that.
  package func read(
    staged path: String, maximumBytes: Int
  ) throws(RegistryError) -> (bytes: [UInt8], content: StagedContent) {
    if try files({ () throws(SystemCallError) in try FileSystem.status(path) }) == nil {
      throw .lostStagedFile(path: path)
    }
    return try files { () throws(SystemCallError) in
      let file = try FileDescriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      let status = try file.status()
      guard status.kind == .regular, status.size <= maximumBytes else {
        throw SystemCallError(
          "read", path, number: status.kind == .regular ? EFBIG : EINVAL,
          hint: "it is \(status.kind.phrase) of \(status.size) bytes; at most \(maximumBytes) are read")
      }
      let bytes = try FileSystem.naming(path) { () throws(SystemCallError) in
        try file.bytes(at: 0, count: status.size)
      }
      guard bytes.count == status.size, try file.status().identity == status.identity else {
        throw Self.changed(path)
      }
      return (bytes, StagedContent(path: path, digest: SHA256.digest(bytes), identity: status.identity))
    }
  }

  private static func changed(_ path: String) -> SystemCallError {
    SystemCallError("publish", path, number: ESTALE, hint: "it changed since it was read, and is read again")
  }

  /// Publishes a file of `staging` under its digest and removes it there. Returns when it is durable. Content that is in
  /// the store already is compared and not stored again; where what lies there is damaged, this takes its place and
  /// `replaced` is told how. The file itself is not read: it must be the one whose bytes were read or written before.
  /// After an error it is there for another try, unless its bytes are lost.
  package func publish(
    _ staged: StagedContent, replaced: (_ problem: String) -> Void = { _ in }
  ) throws(RegistryError) -> BlobReference {
    let file = try files { () throws(SystemCallError) in
      let file = try FileDescriptor.open(staged.path, O_RDONLY | O_NOFOLLOW)
      guard try file.status().identity == staged.identity else { throw Self.changed(staged.path) }
      try file.setMode(0o444)
      return file
    }
    do throws(SystemCallError) { try file.synchronize() } catch {
      // The kernel may have dropped the pages.
      _ = try? FileSystem.remove(staged.path)
      throw .files(error)
    }
    let blob = BlobReference(hex: staged.digest.hex, bytes: staged.identity.size)
    do throws(SystemCallError) {
      try link(staged, as: blob)
    } catch {
      guard error.isExisting else { throw .files(error) }
      // The same content was published before, or by a run that crashed before its row was written.
      if let problem = try problem(of: blob) {
        try setAside(blob.file)
        try files { () throws(SystemCallError) in try link(staged, as: blob) }
        replaced(problem)
      }
    }
    _ = try? FileSystem.remove(staged.path)
    return blob
  }

  /// Publishes several, each as if alone, side by side: nearly all of it is waiting for the disk, and a file system's
  /// journal makes many changes durable in the time of one.
  package func publish(_ staged: [StagedContent]) -> [Result<BlobReference, RegistryError>] {
    let next = Mutex(0)
    let results = Mutex([Result<BlobReference, RegistryError>?](repeating: nil, count: staged.count))
    let work: @Sendable () -> Void = {
      while true {
        let index = next.withLock { next in
          defer { next += 1 }
          return next
        }
        guard index < staged.count else { return }
        let result = Result { () throws(RegistryError) in try publish(staged[index]) }
        results.withLock { $0[index] = result }
      }
    }
    // Without a single one of them it only takes longer.
    let helpers = (1..<max(1, min(staged.count, Self.publishers))).compactMap { _ in
      try? OwnedThread(name: "publish", work)
    }
    work()
    for helper in helpers { helper.join() }
    return results.withLock { $0.compactMap { $0 } }
  }

  private static let publishers = 8

  private func link(_ staged: StagedContent, as blob: BlobReference) throws(SystemCallError) {
    let target = path(blob)
    try FileSystem.link(staged.path, as: target)
    try FileSystem.synchronizeDirectory(FileSystem.split(target).directory)
  }

  /// That the blob is there, whole, and hashes to its name.
  package func check(_ blob: BlobReference) throws(RegistryError) {
    if let problem = try problem(of: blob) { throw .damagedBlob(path: path(blob), problem: problem) }
  }

  /// How a blob differs from what was stored, in words; nil where it does not. Reads all of it. What is not the file's
  /// fault, such as too many open files, is an error.
  package func problem(of blob: BlobReference) throws(RegistryError) -> String? {
    try problem(of: StoredFile(file: blob.file, path: path(blob), hex: blob.hex))
  }

  package func problem(of file: StoredFile) throws(RegistryError) -> String? {
    func look() throws(SystemCallError) -> String? {
      Self.problem(of: try Self.digest(try FileDescriptor.open(file.path, O_RDONLY | O_NONBLOCK)).0, file.hex)
    }
    do throws(SystemCallError) {
      // A disk that fails once is asked again.
      do throws(SystemCallError) { return try look() } catch  where error.number == EIO { return try look() }
    } catch {
      return try Self.problem(error)
    }
  }

  /// What a file's content says of it.
  package static func problem(of digest: Digest, _ expected: String) -> String? {
    digest.hex == expected ? nil : "its content is not what was stored, but hashes to \(digest.hex)"
  }

  /// What an error says of the file; thrown where it says nothing.
  package static func problem(_ error: SystemCallError) throws(RegistryError) -> String {
    guard error.isOfTheFile else { throw .files(error) }
    return error.number == ENOENT ? "it is missing" : "it cannot be read: \(error)"
  }

  /// Moves what lies under a name of the store to the quarantine, durably; what is not there is passed over.
  package func setAside(_ file: String) throws(RegistryError) {
    try files { () throws(SystemCallError) in
      let path = path(ofFile: file)
      guard try FileSystem.status(path) != nil else { return }
      let name = file.replacing("/", with: "-") + "." + String(UInt64.random(in: 0 ... .max), radix: 36)
      try FileSystem.rename(path, to: "\(quarantine)/\(name)")
      try FileSystem.synchronizeDirectory(quarantine)
      try FileSystem.synchronizeDirectory(FileSystem.split(path).directory)
    }
  }

  /// The cheap form of `check`, for every blob at start: that a file of that size is there.
  package func isPresent(_ blob: BlobReference) -> Bool {
    (try? FileSystem.status(path(blob)))??.size == blob.bytes
  }

  /// Whether there is any blob at all.
  package func holdsBlobs() throws(RegistryError) -> Bool {
    try files { () throws(SystemCallError) in
      for number in 0..<256 {
        let path = blobs + "/" + Self.prefix(number)
        if try FileSystem.status(path) != nil, try !FileSystem.entries(path, limit: 1).isEmpty { return true }
      }
      return false
    }
  }

  /// Moves a staged task file or directory to its place, durably. One that is there is left over from a crash.
  package func publishTask(staged: String, as path: String) throws(RegistryError) {
    try files { () throws(SystemCallError) in
      let directory = FileSystem.split(path).directory
      try FileSystem.createDirectories(directory, mode: 0o700)
      try FileSystem.removeTree(path)
      try FileSystem.rename(staged, to: path)
      try FileSystem.synchronizeDirectory(directory)
      try FileSystem.synchronizeDirectory(FileSystem.split(directory).directory)
      try FileSystem.synchronizeDirectory(tasks)
    }
  }

  /// The digest of an open file's content, and its size; reads by offsets.
  package static func digest(_ file: FileDescriptor) throws(SystemCallError) -> (Digest, Int) {
    var hash = SHA256()
    var offset = 0
    while true {
      let bytes = try file.bytes(at: offset, count: 1 << 18)
      if bytes.isEmpty { return (hash.finish(), offset) }
      hash.update(bytes)
      offset += bytes.count
    }
  }

  private static func prefix(_ number: Int) -> String {
    let digits = String(number, radix: 16)
    return digits.utf8.count == 1 ? "0" + digits : digits
  }

  private func files<Value>(_ body: () throws(SystemCallError) -> Value) throws(RegistryError) -> Value {
    do throws(SystemCallError) { return try body() } catch { throw .files(error) }
  }
}
