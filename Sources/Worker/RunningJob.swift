import Sandbox
import StrictJSON
import Synchronization
import SystemSupport
import Transformer
import WorkerProtocol

/// The job that runs: what it was asked, whether it is still wanted, and its voice.
final class RunningJob: Sendable {
  let id: Int64
  let work: JobWork
  let journal: [JSONValue]
  /// Where programs of code rows are run; nil where the configuration does not want that.
  let sandbox: Sandbox?
  private let connection: Connection
  private let stopping = Atomic<Bool>(false)
  private let started = MonotonicInstant.now
  /// When progress was last said; more often than a person can read is noise.
  private let said = Mutex<MonotonicInstant?>(nil)

  init(_ start: JobStart, connection: Connection, sandbox: Sandbox?) {
    id = start.job
    work = start.work
    journal = start.journal
    self.connection = connection
    self.sandbox = sandbox
  }

  func cancel() { stopping.store(true, ordering: .relaxed) }
  var isCancelled: Bool { stopping.load(ordering: .relaxed) }

  /// Called between batches.
  func checkCancelled() throws(WorkerFault) {
    if isCancelled { throw WorkerFault(.cancelled, "the job was cancelled") }
  }

  /// Since the job began in this process.
  var seconds: Double { (MonotonicInstant.now - started).inSeconds }

  func record(_ entry: JSONValue) { connection.send(.event(.journal(job: id, entry: entry))) }

  func report(_ progress: JobProgress) {
    let now = MonotonicInstant.now
    let isDue = said.withLock { last in
      if let last, now - last < .milliseconds(100), progress.fraction < 1 { return false }
      last = now
      return true
    }
    if isDue { connection.send(.event(.progress(job: id, progress))) }
  }

  /// Loading takes up this share of the job's progress.
  func loadingProgress(of share: Double) -> @Sendable (LanguageModel.LoadingStep) -> Void {
    { [self] step in
      switch step {
      case .reading: report(JobProgress(fraction: 0, phase: "loading", detail: "reading the model"))
      case .digesting: report(JobProgress(fraction: 0.2 * share, phase: "loading", detail: "digesting the model"))
      case .factorizing(let done, let count):
        let part = Double(done) / Double(max(1, count))
        report(
          JobProgress(
            fraction: (0.3 + 0.7 * part) * share, phase: "factorizing", detail: "matrix \(done) of \(count)"))
      }
    }
  }
}
