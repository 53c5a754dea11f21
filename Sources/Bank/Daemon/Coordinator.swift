import Registry
import Results
import RPCProtocol
import StrictJSON
import SystemSupport
import Watcher
import WorkerProtocol

/// Coordinates what the daemon does: what a dropped file becomes, what a job's outcome means, which mixtures are stale.
///
/// Lives on the catalogue's thread and is the only one that touches the catalogue. It has four parts, each with a state
/// of its own: `writer` through which every change goes, with those who follow the events; `calls` to the worker; `jobs`;
/// and here what waits for quiet.
final class Coordinator {
  let paths: DaemonPaths
  let configuration: Configuration
  let store: BlobStore
  let board: StatusBoard
  let log: Logger
  let writer: CatalogueWriter
  let calls: WorkerCalls
  let adapters: AdapterStore
  private(set) lazy var jobs = JobRunner(
    owner: self, writer: writer, calls: calls, board: board, stopAfter: configuration.worker.stopAfter, log: log)
  /// Pairs that need a search, until things have been quiet for a while.
  var debounce: Debounce<Pair>
  /// The digests of inputs that an earlier t2d formed otherwise, with those of today.
  var earlierInputs: [String: String] = [:]
  /// As they were when mixtures were compared with them.
  var reconciledExperts = ActiveExperts()
  /// Dropped files that are to be tried again, by slices, and what is done when all were.
  var retries = FIFO<IngestRecord>()
  var whenRetried: [(RPCError?) -> Void] = []
  /// Files of the store that are to be looked at, by their paths there.
  var suspects: ArraySlice<String> = []
  /// What is being written of the store; nil where nothing is.
  var backup: RunningBackup?
  /// Nil until the daemon has started it.
  private(set) var watcher: DirectoryWatcher?
  /// What waits until then. Whoever connects in the first moments is not told that the daemon ends.
  private var waitingForWatcher: [CatalogueThread.Request] = []

  /// `post` runs something on the catalogue's thread later; any thread may call it.
  init(
    paths: DaemonPaths, configuration: Configuration, adapterGroup: UInt32?, snapshots: CurrentSnapshot,
    board: StatusBoard, log: Logger,
    post: @escaping @Sendable (@escaping CatalogueThread.Work) -> Void
  ) throws(RegistryError) {
    self.paths = paths
    self.configuration = configuration
    self.board = board
    self.log = log
    store = paths.store
    adapters = AdapterStore(directory: paths.adapters, budget: configuration.adapterBudget, group: adapterGroup)
    debounce = Debounce(quiet: configuration.debounce.quiet, limit: configuration.debounce.limit)
    try store.prepare()
    writer = try CatalogueWriter(
      path: paths.catalogue, store: store, configuredModel: configuration.defaultModel, snapshots: snapshots,
      board: board, log: log)
    calls = WorkerCalls(board: board, log: log) { body in post { body($0.calls) } }
    try restore()
  }

  /// What the daemon starts when the socket listens already.
  func attach(_ link: WorkerLink, _ watcher: DirectoryWatcher) {
    calls.attach(link)
    self.watcher = watcher
    let waiting = waitingForWatcher
    waitingForWatcher = []
    for request in waiting { request.run(self) }
  }

  /// Gives the watcher to `use`, as soon as there is one; `refuse` is told where there will be none.
  func withWatcher(
    _ use: @escaping @Sendable (DirectoryWatcher) -> Void, refuse: @escaping @Sendable (RPCError) -> Void
  ) {
    if let watcher { return use(watcher) }
    let request = CatalogueThread.Request(user: 0, connection: 0) {
      $0.withWatcher(use, refuse: refuse)
    } refuse: {
      refuse($0)
    }
    waitingForWatcher.append(request)
  }

  var catalogue: Catalogue { writer.catalogue }
  var snapshot: Snapshot { writer.snapshot }

  // MARK: - Start and end

  /// Takes up what the last run left: jobs, blobs that must be there, models that may have changed.
  private func restore() throws(RegistryError) {
    for finding in catalogue.findings {
      log.warning("\(finding)")
      if case .redone(let first, let last) = finding {
        writer.note("catalogue.redone", "catalogue", ["first": .integer(first), "last": .integer(last)])
      }
    }
    writer.attempt("shorten the redo log") { () throws(RegistryError) in try catalogue.shortenRedoLog() }
    try jobs.restore()
    stopJobsOfRemoved()
    removeOldVersions()
    for warning in paths.warnings() where board.raise(warning) { log.warning(warning.message, ["code": warning.code]) }
    examineStore(within: Self.examinationTime)
    for model in snapshot.models { lookAgain(at: model) }
    collectTrainingStates(now: .now)
    recognizeEarlierSearches()
    reconcile()
  }

  /// How long a start reads what is served before it serves it.
  private static let examinationTime = Duration.milliseconds(200)

  /// The earliest time at which something is due by itself.
  var nextDeadline: MonotonicInstant? {
    // What waits is due since ever: a "now" of later is not reached by who compares it with an instant of before.
    let own = retries.isEmpty && suspects.isEmpty ? nil : MonotonicInstant(nanoseconds: 0)
    return [debounce.nextDeadline, jobs.nextDeadline, writer.nextDeadline, own].compactMap { $0 }.min()
  }

  func timePassed(_ now: MonotonicInstant) {
    if writer.hasRecovered(at: now, { () throws(RegistryError) in try jobs.storeFacts() }) { recovered() }
    // Before what is due: a search that came upon a damaged file is not to come upon it again.
    examineNextSuspect()
    adaptIfNeeded(debounce.takeDue(at: now))
    jobs.timePassed(now)
    if !retries.isEmpty { retrySomeExperts() }
  }

  /// Changes can be stored again: what waited for it is made up for.
  private func recovered() {
    for model in snapshot.models { lookAgain(at: model) }
    watcher?.rescan()
    reconcile()
  }

  /// The daemon is about to end: who waits for what may take long is told so.
  func endWaiting() {
    backup?.stop(CatalogueThread.ending)
    jobs.endWaiting()
    endRetries()
    for request in waitingForWatcher { request.refuse(CatalogueThread.ending) }
    waitingForWatcher = []
  }

  /// The daemon ends: the running job is marked, so that the next start takes it up.
  func end() {
    jobs.end()
    calls.end()
    backup?.waitForEnd()
    writer.close()
  }

  // MARK: - What the worker says

  func received(_ message: WorkerLink.Message) {
    switch message {
    case .started(let hello, let worker):
      board.update {
        $0.state = .ready
        $0.hello = hello
        $0.problem = nil
      }
      if hello.kernelTooOld {
        log.warning("OpenBLAS runs an old kernel", ["kernel": hello.kernel, "deserved": hello.deservedKernel])
      }
      writer.note("worker.started", "worker", ["pid": JSONValue(hello.pid), "kernel": .string(hello.kernel)])
      calls.workerStarted(worker)
      jobs.workerStarted()
    case .memory(let memory):
      board.update { $0.memory = memory }
      lookAtEngines(memory)
    case .ended(let reason, let retryAfter):
      let wasReady = board.worker.state == .ready
      board.update {
        $0.state = wasReady ? .starting : .failed
        $0.hello = nil
        $0.memory = nil
        $0.problem = reason
        $0.restarts += 1
      }
      writer.note(
        "worker.ended", "worker", ["reason": .string(reason), "retry_seconds": .number(retryAfter.inSeconds)])
      jobs.workerEnded(reason)
      calls.workerEnded(reason)
    case .reply(.result(let id, let result)): calls.answered(id, .success(result))
    case .reply(.fault(let id, let fault)):
      if fault.kind == .damaged { suspect(path: fault.file) }
      calls.answered(id, .failure(RPCError(fault)))
    case .reply(.event(let event)):
      switch event {
      case .progress(let job, let progress): jobs.progressed(job, progress)
      case .journal(let job, let entry): jobs.journalled(job, entry)
      case .done(let job, let result): jobs.done(job, result)
      case .failed(let job, let fault): jobs.failed(job, fault)
      case .cancelled(let job): jobs.cancelled(job)
      case .remade(let what, let of, let problem):
        log.warning(
          "what was kept is damaged, and is made anew", ["what": what.rawValue, "of": of, "problem": problem])
        writer.note("\(what.rawValue).remade", of, ["reason": .string(problem)])
      case .token(let id, _, let token, let text): calls.generated(id, token: token, text)
      case .decided(let id, _, let decision): calls.decided(id, decision)
      }
    }
  }
}

// MARK: - What the ends of jobs mean

extension Coordinator: JobOwner {
  func spec(of job: JobRecord) throws -> any JobSpec {
    func whole<Spec: HandledJob>(_ spec: Spec) throws -> any JobSpec { try spec.whole(for: job, on: self) }
    return try whole(try handled(job))
  }

  func finished(_ job: JobRecord, _ result: JSONValue) throws -> JSONValue {
    func finish<Spec: HandledJob>(_ spec: Spec) throws -> JSONValue {
      try spec.finished(job, try Spec.result(of: result), on: self)
    }
    return try finish(try handled(job))
  }

  func failed(_ job: JobRecord, _ fault: WorkerFault) throws(RegistryError) {
    try (try? handled(job))?.failed(job, fault, on: self)
    if fault.kind == .damaged { suspect(path: fault.file) }
    if fault.kind == .modelChanged, let model = job.model.flatMap({ snapshot.model($0) }) { lookAgain(at: model) }
  }

  func remains(of job: JobRecord) throws(RegistryError) -> JSONValue? {
    guard let handled = job.kind.declaration as? any HandledJob.Type else { return nil }
    return try handled.remains(of: job, on: self)
  }

  private func handled(_ job: JobRecord) throws -> any HandledJob {
    guard let spec = try job.kind.decode(job.spec) as? any HandledJob else {
      throw RegistryError.conflict("'\(job.kind)' is in the table and has no handler")
    }
    return spec
  }

  func ended(_ job: Int64) {
    writer.attempt("shorten the redo log") { () throws(RegistryError) in try catalogue.shortenRedoLog() }
    if let record = try? catalogue.job(job), let spec = try? handled(record) { spec.ended() }
    collectTrainingStates(now: .now)
  }

  func settled() { reconcile() }
}
