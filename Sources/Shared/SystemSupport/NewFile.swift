import CLinux
import Glibc

/// A file that comes into being whole or not at all, and never takes the place of another: it has no name before `publish`,
/// so that whatever ends its maker leaves nothing. Where the file system has no such files, it has a temporary name beside.
package final class NewFile {
  /// For reading and writing.
  package let descriptor: FileDescriptor
  private let path: String
  private let name: String
  private let directory: FileDescriptor
  /// Nil for a file without a name.
  private var temporary: String?

  /// Fails (EEXIST) where there is something already.
  package init(at path: String, mode: UInt32) throws(SystemCallError) {
    let (directoryPath, name) = FileSystem.split(path)
    if try FileSystem.status(path) != nil { throw SystemCallError("create", path, number: EEXIST) }
    let directory = try FileDescriptor.open(directoryPath, O_RDONLY | O_DIRECTORY)
    do {
      let number = try systemCall("create", path) { t2_open_unnamed(directory.number, mode) }
      descriptor = FileDescriptor(takingOwnershipOf: number)
    } catch  where [EOPNOTSUPP, EISDIR, EINVAL, ENOENT].contains(error.number) {
      let temporary = ".\(name).\(String(UInt64.random(in: 0 ... .max), radix: 36)).tmp"
      descriptor = try FileDescriptor.open(temporary, O_RDWR | O_CREAT | O_EXCL, mode: mode, in: directory)
      self.temporary = temporary
    }
    (self.path, self.name, self.directory) = (path, name, directory)
  }

  deinit {
    if let temporary { _ = unsafe unlinkat(directory.number, temporary, 0) }
  }

  /// Gives the file its name, durably; its content must be durable. Fails (EEXIST) where the name was taken meanwhile.
  package func publish() throws(SystemCallError) {
    try systemCall("create", path) {
      guard let temporary else { return unsafe t2_link_descriptor(descriptor.number, directory.number, name) }
      return unsafe linkat(directory.number, temporary, directory.number, name, 0)
    }
    try systemCall("fsync the directory", FileSystem.split(path).directory) { fsync(directory.number) }
  }
}
