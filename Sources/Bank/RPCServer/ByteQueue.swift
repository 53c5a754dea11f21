import Glibc

/// Bytes that come in at the end and leave at the front, in memory that is kept between requests.
/// @safe: `head + count <= capacity` always, and every pointer that goes out is valid until the next change only.
@safe
struct ByteQueue: ~Copyable {
  private var memory: UnsafeMutableRawPointer?
  private(set) var capacity = 0
  private var head = 0
  private(set) var count = 0

  init() { unsafe memory = nil }

  deinit { unsafe free(memory) }

  /// What is in it.
  var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: memory.map { unsafe UnsafeRawPointer($0 + head) }, count: count)
  }

  /// Room at the end for at least `room` bytes; `commit` says how many were written.
  mutating func space(_ room: Int) -> UnsafeMutableRawBufferPointer {
    if head + count + room > capacity {
      if head > 0, count + room <= capacity, count <= capacity / 2 {
        unsafe memory?.copyMemory(from: memory.unsafelyUnwrapped + head, byteCount: count)
      } else {
        var grown = max(4096, capacity)
        while grown < count + room { grown *= 2 }
        let new = unsafe malloc(grown)
        // Out of memory is the end of the process everywhere in Swift; here too.
        guard let new = unsafe new else { fatalError("no memory for \(grown) bytes of a connection") }
        if let memory = unsafe memory { unsafe new.copyMemory(from: memory + head, byteCount: count) }
        unsafe free(memory)
        unsafe memory = unsafe new
        capacity = grown
      }
      head = 0
    }
    return unsafe UnsafeMutableRawBufferPointer(
      start: memory.map { unsafe $0 + head + count }, count: capacity - head - count)
  }

  mutating func commit(_ written: Int) {
    precondition(written >= 0 && head + count + written <= capacity, "wrote \(written) bytes past the end")
    count += written
  }

  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress, bytes.count > 0 else { return }
    unsafe space(bytes.count).baseAddress?.copyMemory(from: start, byteCount: bytes.count)
    count += bytes.count
  }

  mutating func append(_ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { unsafe append($0) }
  }

  mutating func append(_ text: StaticString) {
    unsafe append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  mutating func removeFirst(_ removed: Int) {
    precondition(removed >= 0 && removed <= count, "removed \(removed) of \(count) bytes")
    head += removed
    count -= removed
    if count == 0 { head = 0 }
  }

  /// Gives memory back where a burst has left more than `kept` bytes of it behind.
  mutating func shrink(to kept: Int) {
    guard count == 0, capacity > kept else { return }
    unsafe free(memory)
    unsafe memory = nil
    capacity = 0
    head = 0
  }
}
