import Glibc

/// Hands things from any thread to the one that takes them, in the order in which they were put.
///
/// A mutex guards the elements, an eventfd says that there are some. Its descriptor is for threads that wait for other
/// descriptors too (sockets, inotify, a process): it is readable exactly while something waits or the mailbox is
/// closed, because both the write and the read that change it are made under the mutex. Many puts before a take are one
/// write. A thread that waits for nothing else calls `take` or `wait`; for those a condition would do, and a second
/// kind of mailbox would cost more than their descriptor.
package final class Mailbox<Element: Sendable>: Sendable {
  private struct State {
    var elements: [Element] = []
    var isClosed = false
  }

  private let state = Mutex(State())
  private let event: EventDescriptor

  package init() throws(SystemCallError) { event = try EventDescriptor() }

  /// For an `Epoll`, level-triggered; nothing but this type reads it.
  package var descriptor: FileDescriptor { event.descriptor }

  // MARK: - Any thread

  /// False, and nothing is put, where the mailbox is closed. Never blocks for longer than a take.
  @discardableResult
  package func put(_ element: Element) -> Bool {
    state.withLock { state in
      guard !state.isClosed else { return false }
      state.elements.append(element)
      if state.elements.count == 1 { event.signal() }
      return true
    }
  }

  /// Nothing is taken in any more; what was put before can still be taken.
  package func close() {
    state.withLock { state in
      guard !state.isClosed else { return }
      state.isClosed = true
      event.signal()
    }
  }

  package var isClosed: Bool { state.withLock { $0.isClosed } }

  // MARK: - The thread that takes

  /// Swaps all that waits for the empty array, so that the two keep their memory. False where the mailbox is closed:
  /// then these were the last. Never blocks.
  package func takeAll(into elements: inout [Element]) -> Bool {
    precondition(elements.isEmpty, "\(elements.count) elements would be put back into the mailbox")
    return state.withLock { state in
      if !state.elements.isEmpty {
        swap(&state.elements, &elements)
        if !state.isClosed { event.drain() }
      }
      return !state.isClosed
    }
  }

  /// All that waits. Never blocks.
  package func takeAll() -> [Element] {
    var elements: [Element] = []
    _ = takeAll(into: &elements)
    return elements
  }

  /// The first of what waits; blocks until there is one. Nil where the mailbox is closed and empty.
  package func take() -> Element? {
    while true {
      let (element, isClosed) = state.withLock { state -> (Element?, Bool) in
        guard !state.elements.isEmpty else { return (nil, state.isClosed) }
        let first = state.elements.removeFirst()
        if state.elements.isEmpty, !state.isClosed { event.drain() }
        return (first, state.isClosed)
      }
      if element != nil || isClosed { return element }
      wait()
    }
  }

  /// Whether `take` would block.
  package var wouldBlock: Bool { state.withLock { $0.elements.isEmpty && !$0.isClosed } }

  /// Blocks until something waits, the mailbox is closed, or the deadline has passed; a signal may end it earlier.
  package func wait(until deadline: Deadline = .never) {
    var waited = pollfd(fd: event.descriptor.number, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&waited, 1, deadline.pollMilliseconds)
  }
}
