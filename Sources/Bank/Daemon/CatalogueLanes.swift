import RPCProtocol
import RPCServer
import SystemSupport
import Watcher

/// The work that waits for the catalogue's thread, and what of it is next.
///
/// The daemon's own work goes first. Requests follow, users in turn, so that who asks much waits by himself. Dropped files
/// come last: there may be thousands, and whoever asks is not to wait for them. But a flood of requests does not stop them
/// for ever: while requests wait too, a file is taken every ``patience``. Within each lane, and within the requests of one
/// connection, the order is that of posting.
///
/// A pure struct: it is told the time and runs nothing.
struct CatalogueLanes {
  typealias Work = @Sendable (Coordinator) -> Void

  struct Request: Sendable {
    var user: UInt32
    var connection: UInt64
    var run: Work
    /// Answers it in the place of `run`.
    var refuse: @Sendable (RPCError) -> Void
  }

  enum Posted: Sendable {
    case own(Work)
    case request(Request)
    case file(DropEvent)
    /// A request that is answered when the files that were posted before it have been taken.
    case afterFiles(Request)
    /// The daemon ends: files are left to the scan of the next start, requests are refused.
    case ending
  }

  enum Next {
    case run(Work)
    /// Call ``nextFile()`` once at least.
    case files
    /// To be refused, since the daemon ends.
    case refuse(Request)
  }

  private enum FileWork {
    case event(DropEvent)
    case request(Request)
  }

  static let patience = Duration.milliseconds(100)

  private var own = FIFO<Work>()
  private var requests = FairQueue<Request>()
  private var files = FIFO<FileWork>()
  /// When files were taken last, or began to wait.
  private var filesWait = MonotonicInstant.now
  private(set) var isEnding = false

  var isEmpty: Bool { own.isEmpty && requests.isEmpty && files.isEmpty }

  mutating func put(_ posted: Posted, at now: MonotonicInstant) {
    switch posted {
    case .own(let work): own.append(work)
    case .request(let request): put(request)
    case .file(let event): if !isEnding { line(up: .event(event), at: now) }
    case .afterFiles(let request): if isEnding { put(request) } else { line(up: .request(request), at: now) }
    case .ending:
      isEnding = true
      while let work = files.popFirst() { if case .request(let request) = work { put(request) } }
    }
  }

  private mutating func line(up work: FileWork, at now: MonotonicInstant) {
    if files.isEmpty { filesWait = now }
    files.append(work)
  }

  private mutating func put(_ request: Request) {
    requests.put(request, user: request.user, connection: request.connection)
  }

  mutating func next(at now: MonotonicInstant) -> Next? {
    if let work = own.popFirst() { return .run(work) }
    let filesAreDue = !files.isEmpty && now - filesWait >= Self.patience
    if !filesAreDue, let request = requests.next() { return isEnding ? .refuse(request) : .run(request.run) }
    guard let first = files.first else { return nil }
    filesWait = now
    if case .event = first { return .files }
    guard case .request(let request)? = files.popFirst() else { return nil }
    return .run(request.run)
  }

  /// Takes the next event of a file out; nil where there is none, or a request stands before it.
  mutating func nextFile() -> DropEvent? {
    guard case .event(let event)? = files.first else { return nil }
    _ = files.popFirst()
    return event
  }

  /// Whether anything is to be done before a further file.
  var somethingIsMoreUrgent: Bool { !own.isEmpty || !requests.isEmpty }
}
