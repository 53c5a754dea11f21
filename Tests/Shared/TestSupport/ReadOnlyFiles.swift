import Glibc
import SystemSupport

/// Takes from this process the right to write into files that it has open, so that writing fails as on a broken disk, and
/// gives it back. A file that is opened again meanwhile can be written.
package final class ReadOnlyFiles {
  private var kept: [(number: Int32, original: Int32)] = []

  /// The open files of exactly this path.
  package init(_ path: String) throws {
    let numbers = try FileSystem.entries("/proc/self/fd").compactMap { $0.text.flatMap { Int32($0) } }
    // All are found before the first is replaced, which takes new numbers.
    for number in numbers.filter({ Self.leads($0, to: path) }) {
      let original = try systemCall("duplicate") { fcntl(number, F_DUPFD_CLOEXEC, 0) }
      let readable = try FileDescriptor.open(path)
      try systemCall("replace") { dup2(readable.number, number) }
      _ = fcntl(number, F_SETFD, FD_CLOEXEC)
      kept.append((number, original))
    }
    if kept.isEmpty { throw SystemCallError("find an open file", path, number: ENOENT) }
  }

  private static func leads(_ number: Int32, to path: String) -> Bool {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink("/proc/self/fd/\(number)", &buffer, buffer.count)
    guard count > 0 else { return false }
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) == path
  }

  /// Those that are still open can be written again.
  package func mend() {
    for (number, original) in kept {
      // One that was closed meanwhile may have left its number to another.
      let isOurs = Self.inode(number) == Self.inode(original) && fcntl(number, F_GETFL) & O_ACCMODE == O_RDONLY
      if isOurs, dup2(original, number) >= 0 {
        _ = fcntl(number, F_SETFD, FD_CLOEXEC)
      }
      close(original)
    }
    kept = []
  }

  private static func inode(_ number: Int32) -> UInt64? {
    var status = stat()
    return unsafe fstat(number, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  deinit { mend() }
}
