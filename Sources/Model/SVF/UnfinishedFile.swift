import Glibc
import SystemSupport

/// A cache file while it is written: under another name in the same directory, locked, with a header that says so. It stays
/// where its process ends before it, and the next one goes on with it.
///
/// Its writes may come from several threads at once, each to its own range.
final class UnfinishedFile: Sendable {
  private let finalPath: String
  private let path: String
  private let descriptor: FileDescriptor
  /// Whether it holds what an earlier process wrote.
  let isContinued: Bool
  private let lastSynchronized = Mutex(MonotonicInstant.now)

  /// A process that has just been killed may hold the lock for a moment.
  private static let patience: Duration = .seconds(5)
  /// Work that a loss of power may cost beside what is being computed.
  private static let synchronizingInterval: Duration = .seconds(2)

  /// Opens what there is of this content, or begins anew.
  init(of file: FactorizationFile, at finalPath: String) throws(SystemCallError) {
    self.finalPath = finalPath
    path = finalPath + ".partial"
    Self.removeAbandoned(beside: finalPath)
    descriptor = try Self.openLocked(path)
    let beginning = try descriptor.bytes(at: 0, count: file.unfinishedHeader.count)
    isContinued = try descriptor.status().size == file.byteCount && beginning == file.unfinishedHeader
    guard !isContinued else { return }
    let number = descriptor.number
    try systemCall("cut", path) { ftruncate(number, 0) }
    // A disk that is too full says so now, and not after an hour.
    do throws(SystemCallError) {
      try FileSystem.naming(path) { () throws(SystemCallError) in try descriptor.reserve(file.byteCount) }
    } catch {
      remove()
      throw error
    }
    try write(file.unfinishedHeader, at: 0)
  }

  /// The file of that name, whoever has renamed one while its lock was waited for.
  private static func openLocked(_ path: String) throws(SystemCallError) -> FileDescriptor {
    let deadline = Deadline.after(patience)
    while true {
      let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
      do {
        try systemCall("lock", path) { flock(file.number, LOCK_EX | LOCK_NB) }
        let (mine, other) = (try file.status().identity, try FileSystem.status(path)?.identity)
        if mine.device == other?.device, mine.inode == other?.inode { return file }
      } catch  where error.number == EWOULDBLOCK && !deadline.hasPassed {
        _ = poll(nil, 0, 20)
      } catch  where error.number == EWOULDBLOCK {
        throw SystemCallError("lock", path, number: EWOULDBLOCK, hint: "another process factors the same model")
      }
    }
  }

  func remove() { unsafe unlink(path) }

  func write(_ values: UnsafeBufferPointer<Float>, at offset: Int) throws(SystemCallError) {
    try unsafe write(UnsafeRawBufferPointer(values), at: offset)
  }

  func write(_ sum: UInt64, at offset: Int) throws(SystemCallError) {
    var sum = sum
    try unsafe writing(&sum, count: MemoryLayout<UInt64>.size, at: offset)
  }

  /// Makes what was written so far durable, now and then.
  func synchronizeSometimes() throws(SystemCallError) {
    let isDue = lastSynchronized.withLock { last in
      guard MonotonicInstant.now - last >= Self.synchronizingInterval else { return false }
      last = .now
      return true
    }
    if isDue { try descriptor.synchronize() }
  }

  /// The file's memory while it is written.
  func map(byteCount: Int) throws(SystemCallError) -> MappedFile {
    try MappedFile(mapping: descriptor, byteCount: byteCount)
  }

  /// Makes the content durable, then the header, then the name; and maps the file.
  func commit(header: [UInt8], byteCount: Int) throws(SystemCallError) -> MappedFile {
    try descriptor.synchronize()
    try write(header, at: 0)
    try descriptor.synchronize()
    let memory = try map(byteCount: byteCount)
    try FileSystem.rename(path, to: finalPath)
    try FileSystem.synchronizeDirectory(FileSystem.split(finalPath).directory)
    return memory
  }

  private func write(_ bytes: [UInt8], at offset: Int) throws(SystemCallError) {
    var failure: SystemCallError?
    unsafe bytes.withUnsafeBytes { bytes in
      do throws(SystemCallError) { try unsafe write(bytes, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  private func writing(_ value: UnsafeRawPointer, count: Int, at offset: Int) throws(SystemCallError) {
    try unsafe write(UnsafeRawBufferPointer(start: value, count: count), at: offset)
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SystemCallError) {
    var done = 0
    while done < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      done += try systemCall("write", path) {
        unsafe pwrite(descriptor.number, rest.baseAddress, rest.count, off_t(offset + done))
      }
    }
  }

  /// Version 0.1 left files that have a process id in their names. Best effort: what cannot be listed or removed is in
  /// nobody's way.
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
