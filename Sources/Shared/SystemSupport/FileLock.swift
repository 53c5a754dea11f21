import Glibc

/// An exclusive lock (flock) on a file, held as long as this object lives. The kernel releases it with the process,
/// so no stale lock survives a crash. The file itself stays.
package final class FileLock: Sendable {
  private let descriptor: FileDescriptor
  private let path: String

  /// nil where another holds it, and still does at the deadline.
  ///
  /// Who was killed may hold it for a moment longer by a child that he was just starting: between fork and exec it has all
  /// of his descriptors, and those that close on exec close then. Therefore a restart waits.
  package static func acquire(
    _ path: String, until deadline: Deadline = .after(.zero)
  ) throws(SystemCallError) -> FileLock? {
    let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
    while true {
      do {
        try systemCall("lock", path) { flock(file.number, LOCK_EX | LOCK_NB) }
        return FileLock(file, path)
      } catch  where error.number == EWOULDBLOCK {
        if deadline.hasPassed { return nil }
      }
      // flock has no time-out of its own, and an alarm would be the whole process's.
      _ = poll(nil, 0, 20)
    }
  }

  private init(_ descriptor: FileDescriptor, _ path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  /// Whether the file is still the one of its name. Where it is not, another may hold the lock of that name.
  package var isInPlace: Bool {
    guard let mine = try? descriptor.status().identity, let other = (try? FileSystem.status(path))??.identity else {
      return false
    }
    return mine.device == other.device && mine.inode == other.inode
  }
}
