import Glibc

/// An exclusive lock (flock) on a file, held as long as this object lives. The kernel releases it with the process,
/// so no stale lock survives a crash. The file itself stays.
package final class FileLock: Sendable {
  private let descriptor: FileDescriptor

  /// nil where another holds it.
  package static func acquire(_ path: String) throws(SystemCallError) -> FileLock? {
    let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
    do {
      try systemCall("lock", path) { flock(file.number, LOCK_EX | LOCK_NB) }
    } catch  where error.number == EWOULDBLOCK {
      return nil
    }
    return FileLock(file)
  }

  private init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }
}
