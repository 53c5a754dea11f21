import CLinux
import Glibc

/// An eventfd: any thread signals, the thread that waits on the descriptor drains.
package final class EventDescriptor: Sendable {
  package let descriptor: FileDescriptor

  package init() throws(SystemCallError) {
    descriptor = FileDescriptor(takingOwnershipOf: try systemCall("create an eventfd") { t2_eventfd() })
  }

  /// Makes the descriptor readable. Never blocks; many signals before a drain are one.
  package func signal() {
    var one: UInt64 = 1
    // EAGAIN means that the counter is full, so the reader is woken anyway.
    _ = unsafe write(descriptor.number, &one, 8)
  }

  /// Makes it unreadable again; true where a signal was there.
  @discardableResult
  package func drain() -> Bool {
    var count: UInt64 = 0
    return unsafe read(descriptor.number, &count, 8) == 8
  }
}

/// Signals as events. Made before the first thread starts: threads inherit the mask that it sets.
package final class SignalDescriptor: Sendable {
  package let descriptor: FileDescriptor

  package init(_ signals: [Int32]) throws(SystemCallError) {
    let number = try systemCall("create a signalfd") { unsafe t2_signalfd(signals, Int32(signals.count)) }
    descriptor = FileDescriptor(takingOwnershipOf: number)
  }

  /// The next pending signal, nil where none is.
  package func next() throws(SystemCallError) -> Int32? {
    let signal = try systemCall("read a signal") { t2_signalfd_read(descriptor.number) }
    return signal == 0 ? nil : signal
  }
}

/// Sets a signal to be ignored by the whole process: SIGPIPE, SIGXFSZ, and SIGIO before the first file lease.
package func ignoreSignal(_ signal: Int32) {
  _ = Glibc.signal(signal, SIG_IGN)
}
