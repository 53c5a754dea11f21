import Registry
import RPCProtocol
import SystemSupport
import Watcher

/// The one thread that owns the catalogue: it takes work from a mailbox and runs it by the order of ``CatalogueLanes``.
///
/// Whatever changes something is posted here: the daemon's own work (the worker's messages, the passing of time), requests,
/// dropped files. So no two changes ever meet, and the store needs no lock. Work may block on files, never on another
/// process.
final class CatalogueThread: Sendable {
  typealias Work = CatalogueLanes.Work
  typealias Request = CatalogueLanes.Request

  private let mailbox: Mailbox<CatalogueLanes.Posted>
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

  // MARK: - Any thread

  /// The daemon's own work, which goes first. What is posted after `stop` is dropped.
  func post(_ work: @escaping Work) { mailbox.put(.own(work)) }

  /// A client's request; refused, by the thread or here, once the daemon ends.
  func post(_ request: Request) { put(.request(request), of: request) }

  /// A request that is answered when the files that were posted before have been taken.
  func postAfterFiles(_ request: Request) { put(.afterFiles(request), of: request) }

  /// What the watcher says of a file: last.
  func post(_ event: DropEvent) { mailbox.put(.file(event)) }

  private func put(_ posted: CatalogueLanes.Posted, of request: Request) {
    if !mailbox.put(posted) { request.refuse(Self.ending) }
  }

  static var ending: RPCError {
    RPCError(.shuttingDown, "t2d is ending", hint: "try again when it has started")
  }

  // MARK: - The end

  /// From now on requests are refused, those that wait and those that are waited for too, and files are left to the next
  /// start; the daemon's own work goes on.
  func refuseRequests() {
    mailbox.put(.ending)
    post { $0.endWaiting() }
  }

  /// Runs what the daemon has posted itself, lets the coordinator end, and waits for the thread.
  func stop() {
    refuseRequests()
    mailbox.close()
    thread.withLock { $0 }?.join()
  }

  // MARK: - The thread

  private func run(
    _ make: @Sendable () throws(DaemonError) -> Coordinator, _ outcome: Mailbox<Result<Void, DaemonError>>
  ) {
    OwnedThread.setSlice(.long)
    let coordinator: Coordinator
    do throws(DaemonError) {
      coordinator = try make()
      outcome.put(.success(()))
    } catch {
      outcome.put(.failure(error))
      return
    }
    var lanes = CatalogueLanes()
    var isOpen = true
    while isOpen || !lanes.isEmpty {
      isOpen = receive(&lanes)
      // Between any two pieces of work, as it is the daemon's own too.
      let now = MonotonicInstant.now
      if let due = coordinator.nextDeadline, due <= now { coordinator.timePassed(now) }
      switch lanes.next(at: now) {
      case .run(let work): work(coordinator)
      case .refuse(let request): request.refuse(Self.ending)
      case .files: takeFiles(coordinator, &lanes)
      case nil: if isOpen { mailbox.wait(until: coordinator.nextDeadline.map { Deadline(instant: $0) } ?? .never) }
      }
    }
    coordinator.end()
  }

  /// Puts what was posted into its lanes. False where nothing more can come.
  private func receive(_ lanes: inout CatalogueLanes) -> Bool {
    var posted: [CatalogueLanes.Posted] = []
    let isOpen = mailbox.takeAll(into: &posted)
    guard !posted.isEmpty else { return isOpen }
    let now = MonotonicInstant.now
    for item in posted { lanes.put(item, at: now) }
    return isOpen
  }

  /// Lets the coordinator take one file, and further ones as long as nothing else waits.
  private func takeFiles(_ coordinator: Coordinator, _ lanes: inout CatalogueLanes) {
    var taken = 0
    coordinator.dropped {
      if taken > 0 {
        _ = receive(&lanes)
        if lanes.somethingIsMoreUrgent || coordinator.nextDeadline.map({ $0 <= .now }) ?? false { return nil }
      }
      taken += 1
      return lanes.nextFile()
    }
  }
}
