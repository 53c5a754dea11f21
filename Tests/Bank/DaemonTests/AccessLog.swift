import Glibc
import SystemSupport

/// What the kernel says of the files in some directories: which were opened, and which were read. See man 7 inotify.
final class AccessLog {
  struct Access: Equatable {
    var directory: String
    var file: String
    /// False: it was opened.
    var isRead: Bool
  }

  private let queue: FileDescriptor
  private var directories: [Int32: String] = [:]

  init(_ paths: [String]) throws {
    queue = FileDescriptor(
      takingOwnershipOf: try systemCall("create an inotify queue") { inotify_init1(Int32(O_CLOEXEC | O_NONBLOCK)) })
    for path in paths {
      let watch = try systemCall("watch", path) {
        unsafe inotify_add_watch(queue.number, path, UInt32(IN_OPEN) | UInt32(IN_ACCESS))
      }
      directories[watch] = path
    }
  }

  /// All since the last call.
  func take() throws -> [Access] {
    var accesses: [Access] = []
    while true {
      let bytes: [UInt8]
      do throws(SystemCallError) { bytes = try queue.read(upTo: 64 << 10) } catch {
        if error.number == EAGAIN { return accesses }
        throw error
      }
      var rest = bytes[...]
      // watch, mask, cookie, the name's length with its padding, the name
      while rest.count >= 16 {
        let words = (0..<4).map { word in
          (0..<4).reduce(UInt32(0)) { $0 | UInt32(rest[rest.startIndex + 4 * word + $1]) << UInt32(8 * $1) }
        }
        let name = rest.dropFirst(16).prefix(Int(words[3])).prefix { $0 != 0 }
        accesses.append(
          Access(
            directory: directories[Int32(bitPattern: words[0])] ?? "", file: String(decoding: name, as: UTF8.self),
            isRead: words[1] & UInt32(IN_ACCESS) != 0))
        rest = rest.dropFirst(16 + Int(words[3]))
      }
    }
  }
}
