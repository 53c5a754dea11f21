import Digests
import SystemSupport

/// A file of the store, named by the SHA-256 of its bytes.
package struct BlobReference: Sendable, Hashable {
  package var hex: String
  package var bytes: Int

  package init(hex: String, bytes: Int) {
    self.hex = hex
    self.bytes = bytes
  }
}

/// The private directory of everything that is served: read-only files under the names of their digests.
///
///     blobs/ab/cdef…   0444, never changed, never replaced
///     staging/         what is being copied, hashed or computed; emptied at start
///     tasks/NAME/…     read-only copies of task files and directories
///     factorizations/  the worker's caches by model digest
///     trainings/       states of trainings that are not at their end
///     backups/         copies of the catalogue
///
/// A file is durable before a row names it: fsync of the file, a link that never replaces, fsync of the directory, and
/// only then the caller's transaction. So a crash leaves at most a blob that no row names. Rename is not used, because
/// it would silently replace. All calls block; the catalogue's thread makes them.
package struct BlobStore: Sendable {
  package let root: String

  package var blobs: String { root + "/blobs" }
  package var staging: String { root + "/staging" }
  package var tasks: String { root + "/tasks" }
  package var factorizations: String { root + "/factorizations" }
  package var trainings: String { root + "/trainings" }
  package var backups: String { root + "/backups" }

  package init(root: String) { self.root = root }

  /// Makes the directories, and empties what an earlier run left in `staging`. All 256 directories of blobs are made
  /// and synchronised here, so that publishing never has to make one durable.
  package func prepare() throws(RegistryError) {
    try files { () throws(SystemCallError) in
      for path in [blobs, staging, tasks, factorizations, trainings, backups] {
        try FileSystem.createDirectories(path, mode: 0o700)
      }
      for entry in try FileSystem.entries(staging) {
        guard let name = entry.text else { continue }
        try FileSystem.removeTree(staging + "/" + name)
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
    "\(blobs)/\(blob.hex.prefix(2))/\(blob.hex.dropFirst(2))"
  }

  /// A name in `staging` that nothing has yet.
  package func stagingPath(_ stem: String) -> String {
    "\(staging)/\(stem).\(String(UInt64.random(in: 0 ... .max), radix: 36))"
  }

  /// Publishes a file of `staging` under its digest and removes it there. Returns when it is durable. Content that is in
  /// the store already is compared and not stored again.
  package func publish(staged: String) throws(RegistryError) -> BlobReference {
    let file: FileDescriptor
    let size: Int
    let digest: Digest
    do throws(SystemCallError) {
      file = try FileDescriptor.open(staged)
      (digest, size) = try Self.digest(file)
      try file.setMode(0o444)
      try file.synchronize()
    } catch {
      // After a failed fsync the kernel may have dropped the pages: these bytes are lost.
      _ = try? FileSystem.remove(staged)
      throw .files(error)
    }
    let blob = BlobReference(hex: digest.hex, bytes: size)
    let target = path(blob)
    defer { _ = try? FileSystem.remove(staged) }
    do throws(SystemCallError) {
      try FileSystem.link(staged, as: target)
      try FileSystem.synchronizeDirectory(FileSystem.split(target).directory)
    } catch {
      guard error.isExisting else { throw .files(error) }
      // The same content was published before, or by a run that crashed before its row was written.
      try check(blob)
    }
    return blob
  }

  /// That the blob is there, whole, and hashes to its name.
  package func check(_ blob: BlobReference) throws(RegistryError) {
    let path = path(blob)
    let (digest, size) = try files { () throws(SystemCallError) in
      try Self.digest(try FileDescriptor.open(path))
    }
    guard size == blob.bytes else {
      throw .damagedBlob(path: path, problem: "it has \(size) bytes, and should have \(blob.bytes)")
    }
    guard digest.hex == blob.hex else {
      throw .damagedBlob(path: path, problem: "its content hashes to \(digest.hex)")
    }
  }

  /// The cheap form of `check`, for every blob at start: that a file of that size is there.
  package func isPresent(_ blob: BlobReference) -> Bool {
    (try? FileSystem.status(path(blob)))??.size == blob.bytes
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

  private static func digest(_ file: FileDescriptor) throws(SystemCallError) -> (Digest, Int) {
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
