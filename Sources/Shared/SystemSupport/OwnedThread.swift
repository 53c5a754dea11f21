import CLinux
import Glibc
import Synchronization

/// A thread that somebody owns: named, with a stack of its own size, and joined.
///
/// Asynchronous signals are blocked in it; they go to the thread that reads them from a `SignalDescriptor`.
/// The system's pool of threads is not for code that blocks or computes for long: that runs here.
package final class OwnedThread: Sendable {
  private let thread: pthread_t
  private let joined = Atomic<Bool>(false)

  /// Starts at once. `name` shows in `top -H`, cut to 15 bytes.
  package init(
    name: String, stackBytes: Int = 8 << 20, _ body: @escaping @Sendable () -> Void
  ) throws(SystemCallError) {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    unsafe pthread_attr_setstacksize(&attributes, max(stackBytes, 1 << 20))

    let start = unsafe Unmanaged.passRetained(Start(name: String(decoding: name.utf8.prefix(15), as: UTF8.self), body))
    var saved = sigset_t()
    unsafe t2_mask_signals(1, &saved)
    var thread = pthread_t()
    let failure = unsafe pthread_create(
      &thread, &attributes,
      { pointer in
        // The argument is the reference retained above; this is its one release.
        guard let pointer = unsafe pointer else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(pointer).takeRetainedValue()
        unsafe t2_set_thread_name(start.name)
        start.body()
        return nil
      }, start.toOpaque())
    unsafe t2_mask_signals(0, &saved)
    if failure != 0 {
      unsafe start.release()
      throw SystemCallError("start the thread '\(name)'", number: failure)
    }
    self.thread = thread
  }

  deinit {
    // Not joined: its resources are returned when it ends.
    if !joined.load(ordering: .relaxed) { pthread_detach(thread) }
  }

  /// Waits for its end. Once only; traps when called from the thread itself.
  package func join() {
    precondition(pthread_equal(thread, pthread_self()) == 0, "a thread cannot join itself")
    guard !joined.exchange(true, ordering: .relaxed) else { return }
    pthread_join(thread, nil)
  }

  /// Of threads that want a core at the same time: who answers soon and for a moment has a short slice, and is let in; who
  /// works on for long has a long one, and lets in who comes. It changes no share. Kernels before 6.12 know none of it.
  package enum Slice: UInt64 {
    case short = 100_000
    case long = 20_000_000
  }

  /// Of the calling thread.
  package static func setSlice(_ slice: Slice) { _ = t2_set_time_slice(slice.rawValue) }

  private final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
}
