import Glibc

/// A block of floats of its own, 64-byte aligned, zero at first, unmapped when the last reference goes.
///
/// The memory is mapped, not allocated: a page that nobody writes costs nothing, and a freed buffer goes back to the
/// system at once. Below a page use an array.
///
/// `@unchecked Sendable`: the address and count never change. What lies there is the users' to order: a buffer is
/// written by one tile or one phase at a time (see ``ComputePool``). `@safe`: what is unsafe is `pointer`, and its users say so.
@safe package final class FloatBuffer: @unchecked Sendable {
  package let pointer: UnsafeMutablePointer<Float>
  package let count: Int

  /// Traps where the system has no memory left: nothing can be computed then, and the daemon starts the worker anew.
  package init(count: Int) {
    precondition(count >= 0, "a buffer cannot hold \(count) floats")
    self.count = count
    unsafe pointer = FloatBuffer.map(byteCount: Self.byteCount(count)).assumingMemoryBound(to: Float.self)
  }

  deinit {
    unsafe munmap(pointer, Self.byteCount(count))
  }

  package var buffer: UnsafeMutableBufferPointer<Float> {
    unsafe UnsafeMutableBufferPointer(start: pointer, count: count)
  }

  private static func byteCount(_ count: Int) -> Int { max(count, 1) * MemoryLayout<Float>.stride }

  static func map(byteCount: Int) -> UnsafeMutableRawPointer {
    let address = unsafe mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      // As everywhere in Swift, no memory is the end of the process: of the worker, whose job the daemon queues again. A
      // file cannot ask for more than it holds, since its header is checked against its length before anything is mapped.
      fatalError("cannot map \(byteCount) bytes of memory: \(unsafe String(cString: strerror(errno)))")
    }
    if byteCount >= 4 << 20 {
      // Best effort: large pages spare the products most of their TLB misses.
      unsafe madvise(address, byteCount, 14 /* MADV_HUGEPAGE */)
    }
    return unsafe address
  }
}
