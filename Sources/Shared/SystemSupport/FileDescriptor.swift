import CLinux
import Glibc
import Synchronization

/// The one owner of an open descriptor: it closes when the last reference goes, or at `close()`.
///
/// A class, because descriptors lie in collections and go from thread to thread; what it guards is an integer.
/// All operations retry where a signal interrupted them.
package final class FileDescriptor: Sendable {
  private let storage: Atomic<Int32>

  package init(takingOwnershipOf number: Int32) {
    precondition(number >= 0, "a descriptor is not negative, got \(number)")
    storage = Atomic(number)
  }

  deinit {
    let number = storage.load(ordering: .relaxed)
    if number >= 0 { _ = Glibc.close(number) }
  }

  /// The number for a call that is made while this object lives. Traps after `close()`.
  package var number: Int32 {
    let number = storage.load(ordering: .relaxed)
    precondition(number >= 0, "the descriptor is closed already")
    return number
  }

  package var isOpen: Bool { storage.load(ordering: .relaxed) >= 0 }

  /// Closes now and reports what a delayed write says only here. A second call does nothing.
  package func close() throws(SystemCallError) {
    let number = storage.exchange(-1, ordering: .relaxed)
    guard number >= 0 else { return }
    // Never retried: on Linux the number is free even where close reports EINTR (man 2 close).
    if Glibc.close(number) < 0, errno != EINTR { throw SystemCallError("close") }
  }

  /// Gives the number away; the caller closes it.
  package func release() -> Int32 {
    let number = storage.exchange(-1, ordering: .relaxed)
    precondition(number >= 0, "the descriptor is closed already")
    return number
  }

  package func duplicate() throws(SystemCallError) -> FileDescriptor {
    FileDescriptor(takingOwnershipOf: try systemCall("duplicate a descriptor") { fcntl(number, F_DUPFD_CLOEXEC, 0) })
  }

  package func setNonBlocking(_ on: Bool) throws(SystemCallError) {
    let flags = try systemCall("read the flags of a descriptor") { fcntl(number, F_GETFL) }
    try systemCall("set the flags of a descriptor") {
      fcntl(number, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
    }
  }
}

extension FileDescriptor {
  /// Opens a path, close-on-exec, never as the controlling terminal. `directory` is where a relative path begins.
  package static func open(
    _ path: String, _ flags: Int32 = O_RDONLY, mode: UInt32 = 0o600, in directory: FileDescriptor? = nil
  ) throws(SystemCallError) -> FileDescriptor {
    let base = directory?.number ?? AT_FDCWD
    let number = try systemCall("open", path) { unsafe openat(base, path, flags | O_CLOEXEC | O_NOCTTY, mode) }
    return FileDescriptor(takingOwnershipOf: number)
  }

  /// Reads at most `buffer.count` bytes at the file's own position; 0 at the end.
  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemCallError) -> Int {
    try systemCall("read") { unsafe Glibc.read(number, buffer.baseAddress, buffer.count) }
  }

  /// Reads at most `buffer.count` bytes at an offset; 0 at the end.
  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(SystemCallError) -> Int {
    try systemCall("read") { unsafe pread(number, buffer.baseAddress, buffer.count, off_t(offset)) }
  }

  /// At most `count` bytes from the file's own position; none at the end.
  package func read(upTo count: Int) throws(SystemCallError) -> [UInt8] {
    try unsafe filling(count) { (buffer) throws(SystemCallError) in try unsafe read(into: buffer) }
  }

  /// An array of `count` bytes, cut to what `body` filled.
  func filling(
    _ count: Int, _ body: (UnsafeMutableRawBufferPointer) throws(SystemCallError) -> Int
  ) throws(SystemCallError) -> [UInt8] {
    // Of no bytes the library makes the one empty array of the process, and writes its count into it: a race.
    guard count > 0 else { return [] }
    var failure: SystemCallError?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      do throws(SystemCallError) {
        filled = try unsafe body(UnsafeMutableRawBufferPointer(buffer))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Up to `count` bytes at an offset; fewer only at the end of the file.
  package func bytes(at offset: Int, count: Int) throws(SystemCallError) -> [UInt8] {
    try unsafe filling(count) { (buffer) throws(SystemCallError) in
      var filled = 0
      while filled < count {
        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
        let read = try unsafe read(into: rest, at: offset + filled)
        if read == 0 { break }
        filled += read
      }
      return filled
    }
  }

  /// Writes everything; blocks where the descriptor does.
  package func write(all buffer: UnsafeRawBufferPointer) throws(SystemCallError) {
    var done = 0
    while done < buffer.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[done...])
      done += try systemCall("write") { unsafe Glibc.write(number, rest.baseAddress, rest.count) }
    }
  }

  package func write(all bytes: [UInt8]) throws(SystemCallError) {
    var failure: SystemCallError?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(SystemCallError) { try unsafe write(all: buffer) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Writes everything at an offset.
  package func write(all bytes: [UInt8], at offset: Int) throws(SystemCallError) {
    var failure: SystemCallError?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(SystemCallError) { try unsafe write(all: buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  package func write(all buffer: UnsafeRawBufferPointer, at offset: Int) throws(SystemCallError) {
    var done = 0
    while done < buffer.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[done...])
      done += try systemCall("write") { unsafe pwrite(number, rest.baseAddress, rest.count, off_t(offset + done)) }
    }
  }

  /// Cuts the file, or extends it with zeros.
  package func truncate(to size: Int) throws(SystemCallError) {
    try systemCall("set the size") { ftruncate(number, off_t(size)) }
  }

  /// Gives the file this size and the room on the disk for it, where its file system can.
  package func reserve(_ byteCount: Int) throws(SystemCallError) {
    try systemCall("reserve \(byteCount) bytes") { t2_reserve(number, Int64(byteCount)) }
  }

  /// Makes content and size durable, and no times. A failure is as final as that of `synchronize`.
  package func synchronizeData() throws(SystemCallError) {
    try systemCall("fdatasync") { fdatasync(number) }
  }

  /// Makes content and metadata durable. A failure is final for this file: the kernel may have dropped the pages.
  package func synchronize() throws(SystemCallError) {
    try systemCall("fsync") { fsync(number) }
  }
}
