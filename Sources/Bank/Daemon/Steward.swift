import Multipliers
import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import Watcher
import WorkerProtocol

/// Decides: what a dropped file becomes, which mixtures are stale, which job runs next.
///
/// Lives on the catalogue's thread and is the only one that touches the catalogue. Every change goes through `change`:
/// one transaction, then the snapshot that readers see, then whoever follows the events; only after that is a client
/// answered.
final class Steward {
  let paths: DaemonPaths
  let configuration: Configuration
  let store: BlobStore
  let catalogue: Catalogue
  let snapshots: SnapshotBox
  let board: StatusBoard
  let log: Logger

  var queue = JobQueue()
  var debounce: Debounce<Pair>
  /// Nil until the daemon has started them.
  var link: WorkerLink?
  var watcher: DirectoryWatcher?
  var waiters: [Int64: [JobWaiter]] = [:]
  var subscribers: [Subscriber] = []
  /// Requests that the worker is answering, or will when it has started.
  var calls: [Int64: WorkerAnswer] = [:]
  var heldCalls: [WorkerRequest] = []
  /// Clients that read along, by the number of their request to the worker.
  var streams: [Int64: PartStream] = [:]
  /// The running job that was told to stop, and when its worker has had enough time for it.
  var stopping: (job: Int64, deadline: MonotonicInstant)?
  /// Runs something on the catalogue's thread later; any thread may call it.
  let post: @Sendable (@escaping CatalogueThread.Work) -> Void
  var lastCall: Int64 = 0

  init(
    paths: DaemonPaths, configuration: Configuration, snapshots: SnapshotBox, board: StatusBoard, log: Logger,
    post: @escaping @Sendable (@escaping CatalogueThread.Work) -> Void
  ) throws(RegistryError) {
    self.post = post
    self.paths = paths
    self.configuration = configuration
    self.board = board
    self.log = log
    store = paths.store
    debounce = Debounce(quiet: configuration.debounce.quiet, limit: configuration.debounce.limit)
    try store.prepare()
    let store = store
    catalogue = try Catalogue(path: paths.catalogue, backups: store.backups, now: .now)
    let first = try catalogue.snapshot(after: nil, configuredModel: configuration.defaultModel) { store.path($0) }
    self.snapshots = snapshots
    snapshots.publish(first)
    try restore()
  }

  var snapshot: Snapshot { snapshots.get() }

  // MARK: - Changes

  /// One transaction; then its snapshot and its events are public.
  @discardableResult
  func change<Value>(_ body: () throws(RegistryError) -> Value) throws(RegistryError) -> Value {
    let value = try catalogue.transaction(body)
    try publish()
    return value
  }

  private func publish() throws(RegistryError) {
    let store = store
    snapshots.publish(
      try catalogue.snapshot(after: snapshot, configuredModel: configuration.defaultModel) { store.path($0) })
    for event in catalogue.takeEvents() { tell(event) }
  }

  /// A change that nobody waits for an answer of: what fails is logged, and stays as it was.
  func attempt(_ what: String, _ body: () throws(RegistryError) -> Void) {
    do throws(RegistryError) {
      try body()
    } catch {
      log.error("cannot \(what)", ["error": error])
      board.setWarnings(
        board.warnings.filter { $0.code != "store" } + [
          DaemonWarning(
            code: "store", message: "cannot \(what): \(error)", help: "see the log; free space or mend the disk")
        ])
    }
  }

  // MARK: - Start and end

  /// Takes up what the last run left: jobs, blobs that must be there, models that may have changed.
  private func restore() throws(RegistryError) {
    let left = try catalogue.liveJobs()
    try apply(queue.restore(left.map(\.ticket)))
    var warnings = paths.warnings()
    for expert in snapshot.experts {
      for version in expert.versions where !store.isPresent(version.blob) {
        warnings.append(Self.missing(store.path(version.blob), of: "expert \(version.name)@\(version.version)"))
      }
    }
    for served in snapshot.mixtures where !store.isPresent(served.mixture.blob) {
      warnings.append(Self.missing(store.path(served.mixture.blob), of: "the mixture of \(served.mixture.pair.task)"))
    }
    board.setWarnings(warnings)
    for warning in warnings { log.warning(warning.message, ["code": warning.code]) }
    for model in snapshot.models { lookAgain(at: model) }
    collectTrainingStates(now: .now)
    reconcile()
  }

  private static func missing(_ path: String, of what: String) -> DaemonWarning {
    DaemonWarning(
      code: "missing_blob", message: "\(what) is missing from the store: '\(path)'",
      help: "drop its file again, or restore the store from a backup")
  }

  /// The earliest time at which something is due by itself.
  var nextDeadline: MonotonicInstant? {
    let waiting = waiters.values.joined().map(\.deadline.instant).min()
    return [debounce.nextDeadline, waiting, stopping?.deadline].compactMap { $0 }.min()
  }

  func timePassed(_ now: MonotonicInstant) {
    for pair in debounce.takeDue(at: now) { adaptIfNeeded(pair) }
    expireWaiters()
    if let stopping, now >= stopping.deadline { giveUpStopping(stopping.job) }
  }

  /// The daemon ends: the running job is marked, so that the next start takes it up.
  func end() {
    let changes = queue.shutDown()
    attempt("mark the running job") { () throws(RegistryError) in try apply(changes) }
    for (_, answer) in calls { answer(.failure(RPCError(.shuttingDown, "t2d is ending"))) }
    calls = [:]
    streams = [:]
    for waiter in waiters.values.joined() { waiter.reply.fail(RPCError(.shuttingDown, "t2d is ending")) }
    waiters = [:]
    catalogue.close()
  }
}
