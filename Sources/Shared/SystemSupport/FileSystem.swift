import CLinux
import Glibc

/// Files by path: whole reads under a bound, durable writes, directories.
package enum FileSystem {
  /// The whole content of a regular file. One longer than `maximumBytes` is an error (EFBIG) before anything is read.
  package static func readAll(
    _ path: String, maximumBytes: Int, in directory: FileDescriptor? = nil
  ) throws(SystemCallError) -> [UInt8] {
    let file = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK, in: directory)
    let status = try file.status()
    guard status.kind == .regular else {
      throw SystemCallError(
        "read", path, number: status.kind == .directory ? EISDIR : EINVAL, hint: "it is \(status.kind.phrase)")
    }
    let tooLong = SystemCallError("read", path, number: EFBIG, hint: "at most \(maximumBytes) bytes are read")
    guard status.size <= maximumBytes else { throw tooLong }
    let bytes = try naming(path) { () throws(SystemCallError) in try file.bytes(at: 0, count: status.size) }
    return bytes
  }

  /// A file of the kernel's (/proc, /sys), whose size is not known before it is read.
  package static func readVirtual(_ path: String, maximumBytes: Int = 1 << 16) throws(SystemCallError) -> [UInt8] {
    let file = try FileDescriptor.open(path)
    return try naming(path) { () throws(SystemCallError) in try file.bytes(at: 0, count: maximumBytes) }
  }

  /// Replaces a file so that after a crash it has its old content or its new one: a temporary file beside it, fsync,
  /// rename, fsync of the directory.
  package static func writeAtomically(
    _ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600
  ) throws(SystemCallError) {
    let (directoryPath, name) = split(path)
    let directory = try FileDescriptor.open(directoryPath, O_RDONLY | O_DIRECTORY)
    let temporary = ".\(name).\(String(UInt64.random(in: 0 ... .max), radix: 36)).tmp"
    let file = try FileDescriptor.open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode, in: directory)
    do {
      try naming(path) { () throws(SystemCallError) in
        try file.write(all: bytes)
        // The umask must not decide what the caller asked for.
        try systemCall("chmod") { fchmod(file.number, mode) }
        try file.synchronize()
        try file.close()
        try systemCall("rename to") { unsafe renameat(directory.number, temporary, directory.number, name) }
      }
    } catch {
      _ = unsafe unlinkat(directory.number, temporary, 0)
      throw error
    }
    try synchronizeDirectory(directory, path: directoryPath)
  }

  /// Removes what `writeAtomically` has left in a directory of ours where its process was killed within it.
  package static func removeTemporaries(in directory: String) throws(SystemCallError) {
    for entry in try entries(directory) {
      guard let name = entry.text, name.hasPrefix("."), name.hasSuffix(".tmp") else { continue }
      try remove("\(directory)/\(name)")
    }
  }

  /// Makes the names in a directory durable.
  package static func synchronizeDirectory(_ path: String) throws(SystemCallError) {
    try synchronizeDirectory(try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY), path: path)
  }

  /// Makes all files of the file system durable that holds this directory: for many that were just written.
  package static func synchronizeAll(holding path: String) throws(SystemCallError) {
    let directory = try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY)
    try systemCall("make durable", path) { t2_synchronize_file_system(directory.number) }
  }

  private static func synchronizeDirectory(_ directory: FileDescriptor, path: String) throws(SystemCallError) {
    try systemCall("fsync the directory", path) { fsync(directory.number) }
  }

  /// mkdir -p. Directories that it makes have `mode` whatever the umask says; those that exist stay as they are.
  package static func createDirectories(_ path: String, mode: UInt32 = 0o755) throws(SystemCallError) {
    if unsafe mkdir(path, mode) == 0 {
      try systemCall("chmod", path) { unsafe chmod(path, mode) }
      return
    }
    let number = errno
    switch number {
    case EEXIST:
      guard let status = try status(path, followingLinks: true), status.kind == .directory else {
        throw SystemCallError("create the directory", path, number: ENOTDIR, hint: "something else has that name")
      }
    case ENOENT:
      let parent = split(path).directory
      guard parent != path, !path.isEmpty else { fallthrough }
      try createDirectories(parent, mode: mode)
      try createDirectories(path, mode: mode)
    default:
      throw SystemCallError("create the directory", path, number: number)
    }
  }

  /// Gives a file or a directory to a group, and follows no symbolic link.
  package static func setGroup(_ path: String, _ group: UInt32) throws(SystemCallError) {
    // The highest number leaves the owner (man 2 chown).
    guard unsafe lchown(path, .max, group) == 0 else {
      throw SystemCallError(
        "give to group \(group)", path,
        hint: errno == EPERM ? "who runs this must be a member of the group, or root" : nil)
    }
  }

  /// Removes a file; one that is not there is no error. Returns whether it was.
  @discardableResult
  package static func remove(_ path: String) throws(SystemCallError) -> Bool {
    do {
      try systemCall("remove", path) { unsafe unlink(path) }
      return true
    } catch  where error.number == ENOENT {
      return false
    }
  }

  package static func rename(_ from: String, to: String) throws(SystemCallError) {
    try systemCall("rename", "\(from)' to '\(to)") { unsafe Glibc.rename(from, to) }
  }

  /// Swaps two names in one step.
  package static func exchange(_ first: String, _ second: String) throws(SystemCallError) {
    try systemCall("exchange", "\(first)' and '\(second)") {
      unsafe t2_rename_exchange(AT_FDCWD, first, AT_FDCWD, second)
    }
  }

  /// Removes a directory and all below it, following no symbolic link. One that is not there is no error.
  package static func removeTree(_ path: String) throws(SystemCallError) {
    guard let status = try status(path) else { return }
    guard status.kind == .directory else {
      try remove(path)
      return
    }
    try removeContents(of: try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), path: path)
    try systemCall("remove the directory", path) { unsafe rmdir(path) }
  }

  /// By descriptors, so that a name that is no UTF-8 goes too and nobody can put a link in the way.
  private static func removeContents(of directory: FileDescriptor, path: String) throws(SystemCallError) {
    for entry in try entries(in: directory, path: path) {
      let name = entry.name.map { CChar(bitPattern: $0) } + [0]
      if unsafe unlinkat(directory.number, name, 0) == 0 || errno == ENOENT { continue }
      let number = errno
      let shown = "\(path)/\(escaped(bytes: entry.name))"
      guard number == EISDIR || number == EPERM else { throw SystemCallError("remove", shown, number: number) }
      // Its maker may have closed it to himself. EISDIR says that it is no link, which fchmodat would follow.
      if number == EISDIR { _ = unsafe fchmodat(directory.number, name, 0o700, 0) }
      let child = try systemCall("open", shown) {
        unsafe openat(directory.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      }
      try removeContents(of: FileDescriptor(takingOwnershipOf: child), path: shown)
      try systemCall("remove the directory", shown) { unsafe unlinkat(directory.number, name, AT_REMOVEDIR) }
    }
  }

  /// "/a/b" is ("/a", "b"); "b" is (".", "b"); "/b" is ("/", "b").
  package static func split(_ path: String) -> (directory: String, name: String) {
    var bytes = Array(path.utf8)
    while bytes.count > 1, bytes.last == 0x2F { bytes.removeLast() }
    guard let slash = bytes.lastIndex(of: 0x2F) else { return (".", String(decoding: bytes, as: UTF8.self)) }
    let name = String(decoding: bytes[(slash + 1)...], as: UTF8.self)
    return (slash == 0 ? "/" : String(decoding: bytes[..<slash], as: UTF8.self), name)
  }

  /// Where a symbolic link leads to, as it is written in it.
  package static func linkTarget(_ name: [UInt8], in directory: FileDescriptor) throws(SystemCallError) -> [UInt8] {
    let terminated = name.map { CChar(bitPattern: $0) } + [0]
    // PATH_MAX; a longer one cannot be made.
    var buffer = [CChar](repeating: 0, count: 4096)
    let capacity = buffer.count
    let count = try systemCall("read the link", escaped(bytes: name)) {
      unsafe readlinkat(directory.number, terminated, &buffer, capacity)
    }
    return buffer.prefix(count).map { UInt8(bitPattern: $0) }
  }

  /// Where the running program's file is, by /proc.
  package static func ownExecutable() throws(SystemCallError) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let capacity = buffer.count
    let count = try systemCall("read the link", "/proc/self/exe") {
      unsafe readlink("/proc/self/exe", &buffer, capacity)
    }
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Adds the path to an error of a call on a descriptor.
  package static func naming<Value>(
    _ path: String, _ body: () throws(SystemCallError) -> Value
  ) throws(SystemCallError) -> Value {
    do throws(SystemCallError) {
      return try body()
    } catch {
      var named = error
      if named.path == nil { named.path = path }
      throw named
    }
  }
}

/// A name in a directory, as the bytes that it is: it need not be UTF-8.
package struct DirectoryEntry: Equatable, Sendable {
  package var name: [UInt8]
  /// False also where the file system does not say.
  package var isDirectory: Bool

  /// The name as text; nil where it is no UTF-8.
  package var text: String? { String(validating: name, as: UTF8.self) }
}

extension FileSystem {
  /// All names but "." and "..", in no order. At most `limit` are returned.
  package static func entries(
    in directory: FileDescriptor, path: String, limit: Int = .max
  ) throws(SystemCallError) -> [DirectoryEntry] {
    // Opened anew, because the position of a duplicate would be shared.
    let own = try FileDescriptor.open(".", O_RDONLY | O_DIRECTORY, in: directory)
    let number = own.release()
    guard let stream = unsafe fdopendir(number) else {
      let error = SystemCallError("list", path)
      close(number)
      throw error
    }
    defer { unsafe closedir(stream) }
    var result: [DirectoryEntry] = []
    while result.count < limit {
      var type: UInt8 = 0
      guard let name = unsafe t2_next_entry(stream, &type) else {
        if errno != 0 { throw SystemCallError("list", path) }
        break
      }
      let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: name, count: strlen(name)))
      if bytes == [0x2E] || bytes == [0x2E, 0x2E] { continue }
      result.append(DirectoryEntry(name: bytes, isDirectory: type == 4 /* DT_DIR */))
    }
    return result
  }

  package static func entries(_ path: String, limit: Int = .max) throws(SystemCallError) -> [DirectoryEntry] {
    try entries(in: try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY), path: path, limit: limit)
  }
}
