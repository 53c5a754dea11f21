import Engines
import LinearAlgebra
import Sandbox
import StrictJSON
import struct Synchronization.Atomic
import SystemSupport
import WorkerProtocol

/// A kind of job that the worker does.
protocol RunnableJob: JobSpec {
  /// In the thread of jobs.
  func run(as job: RunningJob) throws(WorkerFault) -> Result
}

/// The job that runs: what it was asked, what it may use, whether it is still wanted, and its voice.
final class RunningJob: Sendable {
  let id: Int64
  let spec: any JobSpec
  let journal: [JSONValue]
  /// Where programs of code rows are run; nil where the configuration does not want that.
  let sandbox: Sandbox?
  let models: ModelStore
  private let connection: Connection
  private let stopping = Atomic<Bool>(false)
  private let started = MonotonicInstant.now
  private let pace = Mutex(Pace())
  private let engine = Mutex<EngineTag?>(nil)
  /// When progress was last said; more often than a person can read is noise.
  private let said = Mutex<MonotonicInstant?>(nil)

  /// Of the job's progress, what loading the model takes, and where its own work ends: what comes after that is short.
  private static let loading = 0.05
  private static let end = 0.99

  init(_ start: JobStart, models: ModelStore, connection: Connection, sandbox: Sandbox?) {
    id = start.job
    spec = start.spec
    journal = start.journal
    self.models = models
    self.connection = connection
    self.sandbox = sandbox
  }

  func cancel() { stopping.store(true, ordering: .relaxed) }
  var isCancelled: Bool { stopping.load(ordering: .relaxed) }

  /// Called between batches.
  func checkCancelled() throws(WorkerFault) {
    if isCancelled { throw .jobCancelled }
  }

  /// What computed, for results: the engine where it is elsewhere, or the kernel of the products here.
  var kernel: String { engine.withLock { $0 }.map(\.description) ?? BLAS.kernel.running }

  /// Since the job began in this process.
  var seconds: Double { (MonotonicInstant.now - started).inSeconds }

  // MARK: - its model

  /// Runs `body` with the job's model.
  func using<Result>(
    _ model: ModelReference, _ body: (LoadedModel) throws(WorkerFault) -> Result
  ) throws(WorkerFault) -> Result {
    // A job computes for long, and what it finds is kept.
    try models.using(
      model, thoroughly: true, shouldStop: { self.isCancelled }, progress: loadingProgress(of: Self.loading)
    ) { (model) throws(WorkerFault) in
      try checkCancelled()
      if model.isElsewhere { engine.withLock { $0 = model.model.facts.tag } }
      return try body(model)
    }
  }

  /// Loading takes up this share of the job's progress.
  func loadingProgress(of share: Double) -> @Sendable (LoadingStep) -> Void {
    let factorizing = Mutex(Pace(hasWorked: true))
    return { [self] step in
      switch step {
      case .reading: send(JobProgress(fraction: 0, phase: "loading", detail: "reading the model"))
      case .starting(let part, let what):
        send(JobProgress(fraction: 0.3 * (part ?? 0) * share, phase: "starting", detail: what))
      case .digesting: send(JobProgress(fraction: 0.2 * share, phase: "loading", detail: "digesting the model"))
      case .factorizing(let done, let count, let found, let part):
        let left = factorizing.withLock { $0.left(at: part, seconds) }
        // What an ended computation left is not done again.
        let before = found > 0 ? ", \(found) from before" : ""
        send(
          JobProgress(
            fraction: (0.3 + 0.7 * part) * share, phase: "factorizing", detail: "matrix \(done) of \(count)" + before,
            etaSeconds: left))
      }
    }
  }

  // MARK: - its voice

  /// Journals what was just done, so that a job that goes on after an interruption need not do it again.
  func record(_ entry: JSONValue) {
    pace.withLock { $0.worked() }
    connection.send(.event(.journal(job: id, entry: entry)))
  }

  /// Says how much of the job's own work is done, from 0 to 1: what comes after its model is loaded.
  func report(_ done: Double, _ phase: String, _ detail: String, best: Double? = nil) {
    let left = pace.withLock { $0.left(at: done, seconds) }
    send(
      JobProgress(
        fraction: Self.loading + (Self.end - Self.loading) * done, phase: phase, detail: detail, best: best,
        etaSeconds: left))
  }

  /// Says that a state that it was to go on from is damaged.
  func remade(_ path: String, _ problem: String) {
    connection.send(.event(.remade(.training, of: path, problem: problem)))
  }

  private func send(_ progress: JobProgress) {
    let now = MonotonicInstant.now
    let isDue = said.withLock { last in
      if let last, now - last < .milliseconds(100), progress.fraction < 1 { return false }
      last = now
      return true
    }
    if isDue { connection.send(.event(.progress(job: id, progress))) }
  }
}

extension WorkerFault {
  static let jobCancelled = WorkerFault(.cancelled, "the job was cancelled")
}

extension InspectSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> ModelFacts {
    try job.models.inspect(reference, shouldStop: { job.isCancelled }, progress: job.loadingProgress(of: 1))
  }
}
