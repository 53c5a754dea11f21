import CLinux
import Glibc
package import SystemSupport

package struct StagingLimits: Sendable {
  package var maximumBytes = 64 << 20
  /// How long a file must have been left alone where no lease can be had: another's file, a network file system.
  package var quietWithoutLease = Duration.milliseconds(500)
  /// Whether the copy is on the disk when `stageCopy` returns.
  package var isDurable = true

  package init() {}
}

/// Copies a dropped file into the private staging directory, if nobody is writing it.
///
/// Completeness is five tests together: nothing beside it says that its download goes on; nobody has it open or mapped for
/// writing (a read lease is granted, which also sees writers that come through another hard link); device, inode, size and
/// times are the same before and after the copy; exactly `size` bytes can be read. The fifth, that the content accounts for
/// all its bytes, is the reader's of the copy. Only the copy is used from here on.
///
/// `each` gets the bytes in order as they were written to the copy, so that nobody has to read it. Blocks for as long as
/// the file system takes; any thread but the watcher's. The copy is on the disk when this returns, unless the limits say
/// that its owner sees to that; its name is not (fsync the directory after renaming it).
package func stageCopy(
  _ name: String, from directory: FileDescriptor, into stagingDirectory: String, limits: StagingLimits = .init(),
  each: (Span<UInt8>) -> Void = { _ in }
) throws(StagingError) -> StagedFile {
  _ = leaseBreaksAreIgnored
  try checkDownload(name, in: directory)
  let source = try openSource(name, in: directory)
  let before = try status(of: source, name)
  guard before.kind == .regular else { throw .rejected(name: name, reason: "it is \(before.kind.phrase), not a file") }
  guard before.size > 0 else { throw .incomplete(name: name, reason: "it is empty") }
  guard before.size <= limits.maximumBytes else {
    throw .rejected(
      name: name, reason: "too_large: it has \(before.size) bytes, at most \(limits.maximumBytes) are allowed")
  }
  let isLeased = try lease(source, name: name, status: before, limits: limits)
  defer { if isLeased { t2_lease_release(source.number) } }

  let staged: StagedFile?
  do throws(SystemCallError) {
    staged = try copyUnchanged(
      name, source, before, wasLeased: isLeased, into: stagingDirectory, isDurable: limits.isDurable, each)
  } catch {
    throw .failed(error)
  }
  guard let staged else { throw .incomplete(name: name, reason: "it changed while it was read") }
  // A program that ends may write it only when it has closed the file.
  try checkDownload(name, in: directory)
  return staged
}

/// That nothing beside an item says that its download is not at its end.
package func checkDownload(_ name: String, in directory: FileDescriptor) throws(StagingError) {
  let sign: String?
  do throws(SystemCallError) {
    sign = try NameRules.signOfDownload(of: name, in: directory)
  } catch {
    throw .failed(error)
  }
  guard let sign else { return }
  throw .incomplete(
    name: name,
    reason:
      "'\(sign)' is beside it, so its download is not at its end; it is taken when that is gone, which you may remove")
}

/// nil where the source did not stay as it was. An error names the source or the directory of the copy and never the copy,
/// which has another name each time: a file that is tried again and again has one reason as long as it has one cause.
private func copyUnchanged(
  _ name: String, _ source: FileDescriptor, _ before: FileStatus, wasLeased: Bool, into stagingDirectory: String,
  isDurable: Bool, _ each: (Span<UInt8>) -> Void
) throws(SystemCallError) -> StagedFile? {
  let path = "\(stagingDirectory)/ingest-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
  let copy: FileDescriptor
  do throws(SystemCallError) {
    copy = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o400)
  } catch {
    throw SystemCallError("make a copy in", stagingDirectory, number: error.number)
  }
  do throws(SystemCallError) {
    let isWhole = try copyBytes(name, source, to: copy, in: stagingDirectory, count: before.size, each)
    let after = try FileSystem.naming(name) { () throws(SystemCallError) in try source.status().identity }
    if isWhole, after == before.identity {
      return try FileSystem.naming(stagingDirectory) { () throws(SystemCallError) in
        try systemCall("chmod") { fchmod(copy.number, 0o444) }
        if isDurable { try copy.synchronize() }
        let identity = try copy.status().identity
        try copy.close()
        return StagedFile(path: path, identity: identity, source: before, wasLeased: wasLeased)
      }
    }
  } catch {
    _ = try? FileSystem.remove(path)
    throw error
  }
  _ = try? FileSystem.remove(path)
  return nil
}

/// Who breaks a lease makes the kernel send SIGIO to its holder, and SIGIO kills by default.
private let leaseBreaksAreIgnored: Void = ignoreSignal(SIGIO)

private func openSource(_ name: String, in directory: FileDescriptor) throws(StagingError) -> FileDescriptor {
  do throws(SystemCallError) {
    // O_NONBLOCK: a FIFO does not hang, and a writer's lease is not waited for.
    return try FileDescriptor.open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, in: directory)
  } catch {
    switch error.number {
    case ENOENT: throw .vanished(name: name)
    case ELOOP: throw .rejected(name: name, reason: SymbolicLink(Array(name.utf8), in: directory).reason)
    case ENXIO: throw .rejected(name: name, reason: "it is a socket or a device")
    case EWOULDBLOCK: throw .incomplete(name: name, reason: "another process holds it")
    case EACCES, EPERM:
      throw .unreadable(
        SystemCallError("open", name, number: error.number, hint: "let the user that t2d runs as read it"))
    default: throw .failed(error)
    }
  }
}

private func status(of file: FileDescriptor, _ name: String) throws(StagingError) -> FileStatus {
  do throws(SystemCallError) {
    return try FileSystem.naming(name) { () throws(SystemCallError) in try file.status() }
  } catch {
    throw .failed(error)
  }
}

/// True where the kernel granted a read lease, false where it cannot but the file has been quiet.
private func lease(
  _ file: FileDescriptor, name: String, status: FileStatus, limits: StagingLimits
) throws(StagingError) -> Bool {
  if t2_lease_read(file.number) == 0 { return true }
  switch errno {
  case EAGAIN, EBUSY: throw .incomplete(name: name, reason: "another process has it open for writing")
  default:
    // EACCES: not our file; EINVAL and others: this file system has no leases.
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    let last = max(status.identity.modifiedNanoseconds, status.identity.changedNanoseconds)
    let quiet = Int64(now.tv_sec) &* 1_000_000_000 &+ Int64(now.tv_nsec) &- last
    // A time in the future says nothing, so it must not hold the file up forever.
    if quiet >= 0, quiet < limits.quietWithoutLease.inNanoseconds {
      throw .incomplete(name: name, reason: "it was written a moment ago")
    }
    return false
  }
}

/// False where the file is shorter or longer than `count`.
private func copyBytes(
  _ name: String, _ source: FileDescriptor, to copy: FileDescriptor, in stagingDirectory: String, count: Int,
  _ each: (Span<UInt8>) -> Void
) throws(SystemCallError) -> Bool {
  let chunk = 256 << 10
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 64)
  defer { unsafe buffer.deallocate() }
  var offset = 0
  while true {
    let read = try FileSystem.naming(name) { () throws(SystemCallError) in
      try unsafe source.read(into: buffer, at: offset)
    }
    if read == 0 { return offset == count }
    offset += read
    if offset > count { return false }
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<read])
    unsafe each(bytes.bindMemory(to: UInt8.self).span)
    try FileSystem.naming(stagingDirectory) { () throws(SystemCallError) in
      try unsafe copy.write(all: bytes)
    }
  }
}
