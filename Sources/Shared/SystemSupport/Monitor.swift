import Glibc

/// A value under a lock, and threads that wait until it has changed.
///
/// For what several threads wait for at once; where one thread takes what others put, a ``Mailbox`` is simpler.
///
/// `@unchecked Sendable`: the value is touched under the lock alone, and is given away by no method. `@safe`: the pointers are
/// allocated in `init`, freed in `deinit`, and never leave.
@safe package final class Monitor<Value: Sendable>: @unchecked Sendable {
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>
  private var value: Value

  package init(_ value: Value) {
    self.value = value
    unsafe lock = .allocate(capacity: 1)
    unsafe lock.initialize(to: pthread_mutex_t())
    unsafe changed = .allocate(capacity: 1)
    unsafe changed.initialize(to: pthread_cond_t())
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    defer { unsafe pthread_condattr_destroy(&attributes) }
    // Deadlines are instants of this clock; that of the day may be set back.
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    let results = unsafe (pthread_mutex_init(lock, nil), pthread_cond_init(changed, &attributes))
    precondition(results == (0, 0), "pthread initialisation failed: \(results)")
  }

  deinit {
    unsafe pthread_cond_destroy(changed)
    unsafe pthread_mutex_destroy(lock)
    unsafe changed.deallocate()
    unsafe lock.deallocate()
  }

  /// Reads or changes the value; never waits for longer than another thread does the same. Who waits looks again.
  package func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
    unsafe pthread_mutex_lock(lock)
    defer {
      unsafe pthread_cond_broadcast(changed)
      unsafe pthread_mutex_unlock(lock)
    }
    return body(&value)
  }

  /// Looks at the value, by which nobody is woken.
  package func read<Result>(_ body: (Value) -> Result) -> Result {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    return body(value)
  }

  /// The first result of `body` that is one. Blocks between its calls until the value was changed by another thread, and at
  /// most until the deadline: nil then. What `body` itself changes wakes nobody unless it has a result.
  package func wait<Result>(until deadline: Deadline, _ body: (inout Value) -> Result?) -> Result? {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    while true {
      if let result = body(&value) {
        unsafe pthread_cond_broadcast(changed)
        return result
      }
      if deadline.hasPassed { return nil }
      if deadline == .never {
        unsafe pthread_cond_wait(changed, lock)
      } else {
        let nanoseconds = max(0, deadline.instant.nanoseconds)
        var until = timespec(
          tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        unsafe pthread_cond_timedwait(changed, lock, &until)
      }
    }
  }
}
