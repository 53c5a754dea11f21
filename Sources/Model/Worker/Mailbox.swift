import Glibc
import Synchronization

/// Hands things from one thread to another, in order.
///
/// `@unchecked Sendable` and `@safe`: the elements are behind the mutex, and a `sem_t` may be used from every
/// thread and lives as long as the mailbox.
@safe final class Mailbox<Element: Sendable>: @unchecked Sendable {
  /// What waits, and nil behind the last that will come.
  private let elements = Mutex<[Element?]>([])
  private let filled: UnsafeMutablePointer<sem_t>

  init() {
    unsafe filled = .allocate(capacity: 1)
    unsafe sem_init(filled, 0, 0)
  }

  deinit {
    unsafe sem_destroy(filled)
    unsafe filled.deallocate()
  }

  func put(_ element: Element) { append(element) }

  /// After what was put before, `take` gives nil.
  func close() { append(nil) }

  private func append(_ element: Element?) {
    elements.withLock { $0.append(element) }
    unsafe sem_post(filled)
  }

  /// Whether `take` would block.
  var isEmpty: Bool { elements.withLock { $0.isEmpty } }

  /// Blocks until there is one; nil once it is closed. One thread takes.
  func take() -> Element? {
    while unsafe sem_wait(filled) != 0 {}
    return elements.withLock { $0.removeFirst() }
  }
}
