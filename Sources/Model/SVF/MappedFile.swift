import Glibc
import SystemSupport

/// A whole file, mapped read-only and shared, or as much anonymous memory; unmapped when the last reference goes.
///
/// `@unchecked Sendable`, `@safe`: the address never changes; a mapped file is never written through it, and anonymous
/// memory is written only while it is filled, each byte by one tile.
@safe final class MappedFile: @unchecked Sendable {
  let address: UnsafeMutableRawPointer
  let byteCount: Int
  /// Nil for anonymous memory.
  private let file: FileDescriptor?

  /// The file may be replaced (a rename gives a new file) but must not be cut short while it is mapped.
  init(mapping file: FileDescriptor, byteCount: Int) throws(SystemCallError) {
    self.byteCount = byteCount
    self.file = file
    unsafe address = try Self.map(byteCount, PROT_READ, MAP_SHARED, file.number)
  }

  init(anonymous byteCount: Int) throws(SystemCallError) {
    self.byteCount = byteCount
    file = nil
    unsafe address = try Self.map(
      byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1)
  }

  deinit {
    unsafe munmap(address, byteCount)
  }

  func floats(at offset: Int) -> UnsafeMutablePointer<Float> {
    unsafe (address + offset).assumingMemoryBound(to: Float.self)
  }

  func sums(at offset: Int) -> UnsafePointer<UInt64> {
    unsafe UnsafePointer((address + offset).assumingMemoryBound(to: UInt64.self))
  }

  /// Of the file, now; nil for anonymous memory, and where the kernel does not say.
  var identity: FileIdentity? { (try? file?.status())?.identity }

  private static func map(
    _ byteCount: Int, _ protection: Int32, _ flags: Int32, _ file: Int32
  ) throws(SystemCallError) -> UnsafeMutableRawPointer {
    let address = unsafe mmap(nil, byteCount, protection, flags, file, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw SystemCallError("map \(byteCount) bytes of a factorization")
    }
    return unsafe address
  }
}
