import Glibc
import SystemSupport

/// The kernel's queue of events for watched directories. One thread reads it.
final class InotifyQueue {
  struct Mask: OptionSet {
    let rawValue: UInt32
    // man 7 inotify
    static let modify = Mask(rawValue: 0x2)
    static let attributes = Mask(rawValue: 0x4)
    static let closeWrite = Mask(rawValue: 0x8)
    static let movedFrom = Mask(rawValue: 0x40)
    static let movedTo = Mask(rawValue: 0x80)
    static let create = Mask(rawValue: 0x100)
    static let delete = Mask(rawValue: 0x200)
    static let deleteSelf = Mask(rawValue: 0x400)
    static let moveSelf = Mask(rawValue: 0x800)
    static let unmount = Mask(rawValue: 0x2000)
    static let overflow = Mask(rawValue: 0x4000)
    static let ignored = Mask(rawValue: 0x8000)
    static let onlyDirectory = Mask(rawValue: 0x100_0000)
    static let excludeUnlinked = Mask(rawValue: 0x400_0000)
    static let addToMask = Mask(rawValue: 0x2000_0000)
    static let isDirectory = Mask(rawValue: 0x4000_0000)

    static let items: Mask = [
      .create, .modify, .attributes, .closeWrite, .movedTo, .movedFrom, .delete, .deleteSelf, .moveSelf,
    ]
    static let parent: Mask = [.create, .movedTo, .movedFrom, .delete, .deleteSelf, .moveSelf]
    static let ancestor: Mask = [.deleteSelf, .moveSelf]
  }

  struct Event {
    /// -1 where the queue overflowed.
    var watch: Int32
    var mask: Mask
    var name: [UInt8]
  }

  let descriptor: FileDescriptor
  private var buffer = [UInt8](repeating: 0, count: 64 << 10)

  init() throws(SystemCallError) {
    do {
      let number = try systemCall("create an inotify queue") { inotify_init1(Int32(O_CLOEXEC | O_NONBLOCK)) }
      descriptor = FileDescriptor(takingOwnershipOf: number)
    } catch  where error.number == EMFILE {
      var explained = error
      explained.hint = "raise fs.inotify.max_user_instances"
      throw explained
    }
  }

  /// Watches the directory behind a descriptor, whatever its path leads to by now. Bits are added to those that the
  /// same directory is watched for already.
  func watch(_ directory: FileDescriptor, _ mask: Mask, path: String) throws(SystemCallError) -> Int32 {
    // IN_DONT_FOLLOW would refuse this path, which is a symbolic link itself; whoever opened the descriptor decided
    // about links.
    let link = "/proc/self/fd/\(directory.number)"
    let bits = mask.union([.onlyDirectory, .excludeUnlinked, .addToMask]).rawValue
    do {
      return try systemCall("watch", path) { unsafe inotify_add_watch(descriptor.number, link, bits) }
    } catch  where error.number == ENOSPC {
      throw SystemCallError(
        "watch", path, number: ENOSPC,
        hint: "the limit of inotify watches is reached: raise fs.inotify.max_user_watches")
    }
  }

  func remove(_ watch: Int32) { _ = inotify_rm_watch(descriptor.number, watch) }

  /// Calls `body` for what is queued. After 64 buffers it returns, so that a writer that never stops cannot keep its
  /// caller here; what is left keeps the descriptor readable.
  func drain(_ body: (Event) -> Void) throws(SystemCallError) {
    for _ in 0..<64 {
      let count: Int
      do {
        count = try systemCall("read the inotify queue") {
          unsafe read(descriptor.number, &buffer, buffer.count)
        }
      } catch  where error.number == EAGAIN {
        return
      }
      // struct inotify_event: wd, mask, cookie, len (4 bytes each), then `len` bytes of name padded with NUL.
      var offset = 0
      while offset + 16 <= count {
        let watch = Int32(bitPattern: word(offset))
        let mask = Mask(rawValue: word(offset + 4))
        let length = Int(word(offset + 12))
        let end = offset + 16 + length
        guard end <= count else { break }
        body(Event(watch: watch, mask: mask, name: Array(buffer[(offset + 16)..<end].prefix { $0 != 0 })))
        offset = end
      }
    }
  }

  private func word(_ offset: Int) -> UInt32 {
    unsafe buffer.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
  }
}
