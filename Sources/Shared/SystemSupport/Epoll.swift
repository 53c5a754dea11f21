import CLinux
import Glibc

/// A set of descriptors to wait on. One thread waits; any thread may add, change and remove.
///
/// It does not own what is added: remove a descriptor before it closes.
package final class Epoll: Sendable {
  package struct Events: OptionSet, Sendable {
    package var rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let read = Events(rawValue: UInt32(T2_EPOLL_IN))
    package static let write = Events(rawValue: UInt32(T2_EPOLL_OUT))
    /// Reported without being asked for, as is `hangup`.
    package static let error = Events(rawValue: UInt32(T2_EPOLL_ERROR))
    package static let hangup = Events(rawValue: UInt32(T2_EPOLL_HANGUP))
  }

  private let descriptor: FileDescriptor

  package init() throws(SystemCallError) {
    descriptor = FileDescriptor(takingOwnershipOf: try systemCall("create an epoll set") { t2_epoll_create() })
  }

  /// Level-triggered; `token` comes back with each event.
  package func add(_ fd: FileDescriptor, _ events: Events, token: UInt64) throws(SystemCallError) {
    try systemCall("add a descriptor to an epoll set") {
      t2_epoll_control(descriptor.number, 1, fd.number, events.rawValue, token)
    }
  }

  package func change(_ fd: FileDescriptor, _ events: Events, token: UInt64) throws(SystemCallError) {
    try systemCall("change a descriptor of an epoll set") {
      t2_epoll_control(descriptor.number, 3, fd.number, events.rawValue, token)
    }
  }

  package func remove(_ fd: FileDescriptor) throws(SystemCallError) {
    try systemCall("remove a descriptor from an epoll set") {
      t2_epoll_control(descriptor.number, 2, fd.number, 0, 0)
    }
  }

  /// Waits until something is ready or the deadline passes and calls `body` for each event. Returns how many there
  /// were. A signal that interrupts ends the wait with 0.
  @discardableResult
  package func wait(
    until deadline: Deadline = .never, _ body: (_ token: UInt64, _ events: Events) -> Void
  ) throws(SystemCallError) -> Int {
    try wait(milliseconds: deadline.pollMilliseconds, body)
  }

  /// The same by a time-out; negative waits for ever, 0 not at all.
  @discardableResult
  package func wait(
    milliseconds: Int32, _ body: (_ token: UInt64, _ events: Events) -> Void
  ) throws(SystemCallError) -> Int {
    let capacity = 128
    let found = unsafe withUnsafeTemporaryAllocation(of: t2_epoll_event.self, capacity: capacity) { events -> Int32 in
      let count = unsafe t2_epoll_wait(descriptor.number, events.baseAddress, Int32(capacity), milliseconds)
      for index in 0..<max(0, Int(count)) {
        unsafe body(events[index].token, Events(rawValue: events[index].events))
      }
      return count < 0 ? -errno : count
    }
    if found == -EINTR { return 0 }
    if found < 0 { throw SystemCallError("wait on an epoll set", number: -found) }
    return Int(found)
  }
}
