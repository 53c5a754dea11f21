import Glibc
import SystemSupport

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
    do throws(SystemCallError) {
      // O_NONBLOCK: opening a FIFO must not wait for a writer.
      let file = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK)
      let status = try file.status()
      guard status.kind == .regular else {
        throw SystemCallError("read", path, number: EINVAL, hint: "it is \(status.kind.phrase)")
      }
      guard status.size > 0 else {
        unsafe bytes = UnsafeRawBufferPointer(start: nil, count: 0)
        return
      }
      let address = unsafe mmap(nil, status.size, PROT_READ, MAP_PRIVATE, file.number, 0)
      guard let address = unsafe address, unsafe address != MAP_FAILED else { throw SystemCallError("map", path) }
      unsafe bytes = UnsafeRawBufferPointer(start: address, count: status.size)
    } catch {
      throw .system(error)
    }
  }

  deinit {
    if let base = unsafe bytes.baseAddress { unsafe munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
  }

  package var count: Int { unsafe bytes.count }

  /// A copy of the first bytes. Of a file that is nobody's any more once this returns, `bytes` would be gone.
  package func copy(first count: Int = .max) -> [UInt8] {
    withExtendedLifetime(self) { unsafe Array(bytes.prefix(count)) }
  }

  /// Tells the kernel that the pages are not needed soon. They come back by themselves.
  package func adviseUnused() {
    if let base = unsafe bytes.baseAddress {
      unsafe madvise(UnsafeMutableRawPointer(mutating: base), bytes.count, MADV_DONTNEED)
    }
  }
}
