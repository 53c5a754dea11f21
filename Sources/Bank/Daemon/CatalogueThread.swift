import Registry
import SystemSupport

/// The one thread that owns the catalogue: it takes closures from a mailbox and runs them in the order in which they were
/// posted.
///
/// Whatever changes something is posted here: requests, dropped files, the worker's messages, the passing of time. So
/// no two changes ever meet, and the store needs no lock. A closure may block on files, never on another process.
final class CatalogueThread: Sendable {
  typealias Work = @Sendable (Coordinator) -> Void

  private let mailbox: Mailbox<Work>
  private let thread = Mutex<OwnedThread?>(nil)

  init() throws(SystemCallError) { mailbox = try Mailbox() }

  /// Makes the coordinator on the new thread and returns once it is ready, or with its error.
  func start(
    _ make: @escaping @Sendable () throws(DaemonError) -> Coordinator
  ) throws(DaemonError) {
    let outcome: Mailbox<Result<Void, DaemonError>>
    do throws(SystemCallError) {
      outcome = try Mailbox()
      let started = try OwnedThread(name: "catalogue") { [outcome] in self.run(make, outcome) }
      thread.withLock { $0 = started }
    } catch {
      throw .files(error)
    }
    if case .failure(let error)? = outcome.take() { throw error }
  }

  /// Any thread. What is posted after `stop` is dropped.
  func post(_ work: @escaping Work) { mailbox.put(work) }

  /// Runs what was posted before, lets the coordinator end, and waits for the thread.
  func stop() {
    mailbox.close()
    thread.withLock { $0 }?.join()
  }

  private func run(
    _ make: @Sendable () throws(DaemonError) -> Coordinator, _ outcome: Mailbox<Result<Void, DaemonError>>
  ) {
    let coordinator: Coordinator
    do throws(DaemonError) {
      coordinator = try make()
      outcome.put(.success(()))
    } catch {
      outcome.put(.failure(error))
      return
    }
    var work: [Work] = []
    while true {
      let isOpen = mailbox.takeAll(into: &work)
      for body in work { body(coordinator) }
      work.removeAll(keepingCapacity: true)
      guard isOpen else { break }
      coordinator.timePassed(.now)
      mailbox.wait(until: coordinator.nextDeadline.map { Deadline(instant: $0) } ?? .never)
    }
    coordinator.end()
  }
}
