import CLinux
import Glibc
import SystemSupport

/// The bound socket and its name in the file system. Whoever opens one holds the daemon's lock file already, so two
/// daemons cannot both find a stale socket and take it over.
final class ListeningSocket: Sendable {
  let descriptor: FileDescriptor
  private let path: String
  private let mode: mode_t
  private let backlog: Int32
  private let identity: Identity

  private struct Identity: Equatable {
    let device: dev_t
    let inode: ino_t

    init?(_ path: String) {
      var status = stat()
      guard unsafe lstat(path, &status) == 0 else { return nil }
      device = status.st_dev
      inode = status.st_ino
    }
  }

  init(path: String, mode: mode_t, backlog: Int32) throws(RPCServerError) {
    guard path.utf8.count <= RPCServerError.maximumPathBytes else {
      throw .pathTooLong(path: path, bytes: path.utf8.count)
    }
    // The address of an abstract socket begins with '@' in CLinux; ours are all in the file system.
    let path = path.utf8.first == UInt8(ascii: "@") ? "./" + path : path
    try Self.removeStale(path)
    do throws(SystemCallError) {
      let socket = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(1) })
      // The name appears with the socket's own mode less the umask, so that at no time it admits more than `mode`.
      try systemCall("set the mode of a socket") { fchmod(socket.number, mode) }
      try systemCall("bind a socket to", path) { unsafe t2_unix_bind(socket.number, path) }
      try systemCall("set the mode of the socket", path) { unsafe chmod(path, mode) }
      try systemCall("listen on", path) { listen(socket.number, backlog) }
      guard let identity = Identity(path) else { throw SystemCallError("look at the socket", path) }
      descriptor = socket
      self.path = path
      self.mode = mode
      self.backlog = backlog
      self.identity = identity
    } catch {
      throw .system(error)
    }
  }

  /// Whether the name still leads to this socket, and not to nothing, or to something that took its place.
  var isThere: Bool { Identity(path) == identity }

  /// Another one of the same name and mode, its directory too where that is gone: clients find the daemon again. What somebody
  /// has put there stays where it is in use, or no socket.
  func again() throws(RPCServerError) -> ListeningSocket {
    do throws(SystemCallError) {
      try FileSystem.createDirectories(FileSystem.split(path).directory, mode: 0o755)
    } catch {
      throw .system(error)
    }
    return try ListeningSocket(path: path, mode: mode, backlog: backlog)
  }

  /// Removes the name, unless somebody has put another socket there.
  func unlinkIfOurs() {
    if Identity(path) == identity { _ = unsafe unlink(path) }
  }

  private static func removeStale(_ path: String) throws(RPCServerError) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path: path) }
    do throws(SystemCallError) {
      let probe = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(1) })
      let answered = unsafe t2_unix_connect(probe.number, path) == 0 ? 0 : errno
      // EAGAIN: somebody listens, and its backlog is full.
      if answered != 0, answered != EAGAIN {
        guard answered == ECONNREFUSED else {
          throw SystemCallError("see whether a daemon answers at", path, number: answered)
        }
        try systemCall("remove the stale socket", path) { unsafe unlink(path) }
        return
      }
    } catch {
      throw .system(error)
    }
    throw .inUse(path: path)
  }
}
