import Glibc

/// A file of the user's, mapped read-only for as long as this object lives.
///
/// For base models only, which are gigabytes and stay where they are; what is dropped into a watched directory is copied
/// and never mapped. The size is taken once. Cutting the file off while it is in use ends the process with SIGBUS: a
/// model in use must be replaced by renaming another over it.
// @unchecked Sendable, @safe: the mapping is read-only and unmapped only in deinit; `bytes` must not outlive the object.
@safe
package final class MappedFile: @unchecked Sendable {
  package let path: String
  package let bytes: UnsafeRawBufferPointer

  package init(path: String) throws(ModelFormatError) {
    self.path = path
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard descriptor >= 0 else { throw .unreadable(path: path, reason: systemErrorText()) }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw .unreadable(path: path, reason: systemErrorText()) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .unreadable(path: path, reason: "it is not a regular file") }
    guard let size = Int(exactly: status.st_size), size > 0 else {
      unsafe bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    let address = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .unreadable(path: path, reason: systemErrorText())
    }
    unsafe bytes = UnsafeRawBufferPointer(start: address, count: size)
  }

  deinit {
    if let base = unsafe bytes.baseAddress { unsafe munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
  }

  package var count: Int { unsafe bytes.count }

  /// Tells the kernel that the pages are not needed soon. They come back by themselves.
  package func adviseUnused() {
    if let base = unsafe bytes.baseAddress {
      unsafe madvise(UnsafeMutableRawPointer(mutating: base), bytes.count, MADV_DONTNEED)
    }
  }
}

/// The text of the current `errno`.
func systemErrorText() -> String {
  let number = errno
  guard let text = unsafe strerror(number) else { return "error \(number)" }
  return unsafe String(cString: text)
}
