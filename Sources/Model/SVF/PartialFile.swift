import Glibc
import SystemSupport

/// A cache file while it is written: under another name in the same directory, locked, and removed unless committed.
///
/// Its writes may come from several threads at once, each to its own range.
final class PartialFile: Sendable {
  private let finalPath: String
  private let path: String
  private let descriptor: FileDescriptor

  /// Creates the file, after removing those that crashed processes left.
  init(replacing finalPath: String) throws(SystemCallError) {
    self.finalPath = finalPath
    Self.removeAbandoned(beside: finalPath)
    path = "\(finalPath).partial-\(getpid())"
    // A file of our own process id can only be abandoned too, or another thread's: then this fails and says so.
    descriptor = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
    let (number, path) = (descriptor.number, path)
    try systemCall("lock", path) { flock(number, LOCK_EX | LOCK_NB) }
  }

  deinit {
    unsafe unlink(path)
  }

  func write(_ values: UnsafeBufferPointer<Float>, at offset: Int) throws(SystemCallError) {
    try unsafe write(UnsafeRawBufferPointer(values), at: offset)
  }

  func write(_ sums: [UInt64], at offset: Int) throws(SystemCallError) {
    var failure: SystemCallError?
    unsafe sums.withUnsafeBytes { bytes in
      do throws(SystemCallError) { try unsafe write(bytes, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SystemCallError) {
    var done = 0
    while done < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      done += try systemCall("write", path) {
        unsafe pwrite(descriptor.number, rest.baseAddress, rest.count, off_t(offset + done))
      }
    }
  }

  /// Makes the content durable, then the header, then the name; and maps the file.
  func commit(header: [UInt8], byteCount: Int) throws(SystemCallError) -> MappedFile {
    try systemCall("extend", path) { ftruncate(descriptor.number, off_t(byteCount)) }
    try descriptor.synchronize()
    var failure: SystemCallError?
    unsafe header.withUnsafeBytes { bytes in
      do throws(SystemCallError) { try unsafe write(bytes, at: 0) } catch { failure = error }
    }
    if let failure { throw failure }
    try descriptor.synchronize()
    let memory = try MappedFile(mapping: descriptor, byteCount: byteCount)
    try FileSystem.rename(path, to: finalPath)
    try FileSystem.synchronizeDirectory(FileSystem.split(finalPath).directory)
    return memory
  }

  /// Best effort: what cannot be listed or removed is in nobody's way.
  private static func removeAbandoned(beside finalPath: String) {
    let (directory, name) = FileSystem.split(finalPath)
    for entry in (try? FileSystem.entries(directory)) ?? [] where entry.name.starts(with: "\(name).partial-".utf8) {
      guard let found = entry.text else { continue }
      let path = "\(directory)/\(found)"
      guard let file = try? FileDescriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) else { continue }
      // Whoever still writes it holds the lock.
      if flock(file.number, LOCK_EX | LOCK_NB) == 0 { unsafe unlink(path) }
    }
  }
}
