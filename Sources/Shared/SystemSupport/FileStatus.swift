import CLinux
import Glibc

/// What `stat` says of a file at one moment.
package struct FileStatus: Equatable, Sendable {
  package enum Kind: Sendable, Equatable {
    case regular, directory, symbolicLink, fifo, socket, device

    /// For messages: "a directory".
    package var phrase: String {
      switch self {
      case .regular: "a regular file"
      case .directory: "a directory"
      case .symbolicLink: "a symbolic link"
      case .fifo: "a FIFO"
      case .socket: "a socket"
      case .device: "a device"
      }
    }
  }

  package var kind: Kind
  /// Permission bits, without the kind.
  package var mode: UInt32
  package var links: Int
  package var owner: UInt32
  package var group: UInt32
  package var identity: FileIdentity

  package var size: Int { identity.size }

  fileprivate init(_ status: stat) {
    kind =
      switch status.st_mode & S_IFMT {
      case S_IFREG: .regular
      case S_IFDIR: .directory
      case S_IFLNK: .symbolicLink
      case S_IFIFO: .fifo
      case S_IFSOCK: .socket
      default: .device
      }
    mode = status.st_mode & 0o7777
    links = Int(status.st_nlink)
    owner = status.st_uid
    group = status.st_gid
    identity = FileIdentity(
      device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int(status.st_size),
      modifiedNanoseconds: Self.nanoseconds(status.st_mtim), changedNanoseconds: Self.nanoseconds(status.st_ctim))
  }

  /// Wraps for dates centuries away; it serves to compare, not to show.
  private static func nanoseconds(_ time: timespec) -> Int64 {
    Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }
}

/// "The same file, unchanged": the change time sees what a copied modification time hides (`cp -p`, `touch -d`).
package struct FileIdentity: Hashable, Sendable {
  package var device: UInt64
  package var inode: UInt64
  package var size: Int
  package var modifiedNanoseconds: Int64
  package var changedNanoseconds: Int64

  package init(device: UInt64, inode: UInt64, size: Int, modifiedNanoseconds: Int64, changedNanoseconds: Int64) {
    self.device = device
    self.inode = inode
    self.size = size
    self.modifiedNanoseconds = modifiedNanoseconds
    self.changedNanoseconds = changedNanoseconds
  }
}

extension FileDescriptor {
  package func status() throws(SystemCallError) -> FileStatus {
    var status = stat()
    try systemCall("stat") { unsafe fstat(number, &status) }
    return FileStatus(status)
  }
}

extension FileSystem {
  /// The status of a path, nil where nothing is there. A last component that is a symbolic link is followed only on
  /// request.
  package static func status(
    _ path: String, in directory: FileDescriptor? = nil, followingLinks: Bool = false
  ) throws(SystemCallError) -> FileStatus? {
    try status(name: Array(path.utf8), in: directory, followingLinks: followingLinks)
  }

  /// The same for a name that need not be UTF-8.
  package static func status(
    name: [UInt8], in directory: FileDescriptor?, followingLinks: Bool = false
  ) throws(SystemCallError) -> FileStatus? {
    var status = stat()
    let base = directory?.number ?? AT_FDCWD
    let terminated = name.map { CChar(bitPattern: $0) } + [0]
    do {
      try systemCall("stat", escaped(bytes: name)) {
        unsafe t2_stat(base, terminated, followingLinks ? 1 : 0, &status)
      }
    } catch  where error.number == ENOENT || error.number == ENOTDIR {
      return nil
    }
    return FileStatus(status)
  }
}
