import Registry
import Synchronization
import SystemSupport

/// The one thread that owns the catalogue: a mailbox of closures, run in the order in which they were posted.
///
/// Whatever changes something is posted here: requests, dropped files, the worker's messages, the passing of time. So
/// no two changes ever meet, and the store needs no lock. A closure may block on files, never on another process.
final class CatalogueThread: Sendable {
  typealias Work = @Sendable (Coordinator) -> Void

  private struct Mailbox {
    var work: [Work] = []
    var isStopping = false
  }

  private let mailbox = Mutex(Mailbox())
  private let wake: EventDescriptor
  private let epoll: Epoll
  private let thread = Mutex<OwnedThread?>(nil)

  init() throws(SystemCallError) {
    wake = try EventDescriptor()
    epoll = try Epoll()
    try epoll.add(wake.descriptor, .read, token: 1)
  }

  /// Makes the coordinator on the new thread and returns once it is ready, or with its error.
  func start(
    _ make: @escaping @Sendable () throws(DaemonError) -> Coordinator
  ) throws(DaemonError) {
    let outcome = Mutex<Result<Void, DaemonError>?>(nil)
    let isReady: EventDescriptor
    do throws(SystemCallError) {
      isReady = try EventDescriptor()
      let ready = Ready(event: isReady)
      let started = try OwnedThread(name: "catalogue") { self.run(make, ready) }
      thread.withLock { $0 = started }
      let waiting = try Epoll()
      try waiting.add(isReady.descriptor, .read, token: 1)
      while ready.outcome.withLock({ $0 == nil }) { try waiting.wait { _, _ in isReady.drain() } }
      let result = ready.outcome.withLock { $0 }
      outcome.withLock { $0 = result }
    } catch {
      throw .files(error)
    }
    if case .failure(let error)? = outcome.withLock({ $0 }) { throw error }
  }

  /// Any thread. What is posted after `stop` is dropped.
  func post(_ work: @escaping Work) {
    let isFirst = mailbox.withLock { box in
      guard !box.isStopping else { return false }
      box.work.append(work)
      return box.work.count == 1
    }
    if isFirst { wake.signal() }
  }

  /// Runs what was posted before, lets the coordinator end, and waits for the thread.
  func stop() {
    mailbox.withLock { $0.isStopping = true }
    wake.signal()
    thread.withLock { $0 }?.join()
  }

  private final class Ready: Sendable {
    let outcome = Mutex<Result<Void, DaemonError>?>(nil)
    let event: EventDescriptor
    init(event: EventDescriptor) { self.event = event }
  }

  private func run(_ make: @Sendable () throws(DaemonError) -> Coordinator, _ ready: Ready) {
    let coordinator: Coordinator
    do throws(DaemonError) {
      coordinator = try make()
      ready.outcome.withLock { $0 = .success(()) }
      ready.event.signal()
    } catch {
      ready.outcome.withLock { $0 = .failure(error) }
      ready.event.signal()
      return
    }
    while true {
      let (work, isStopping) = mailbox.withLock { box in
        defer { box.work = [] }
        return (box.work, box.isStopping)
      }
      for work in work { work(coordinator) }
      if isStopping { break }
      coordinator.timePassed(.now)
      let deadline = coordinator.nextDeadline.map { Deadline(instant: $0) } ?? .never
      if mailbox.withLock({ $0.work.isEmpty && !$0.isStopping }) {
        _ = try? epoll.wait(until: deadline) { _, _ in wake.drain() }
      }
    }
    coordinator.end()
  }
}
