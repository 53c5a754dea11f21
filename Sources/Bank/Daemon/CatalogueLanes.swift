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

  /// The requests of one connection.
  private final class Line {
    let user: UInt32
    let connection: UInt64
    var requests = FIFO<Request>()

    init(user: UInt32, connection: UInt64) {
      self.user = user
      self.connection = connection
    }
  }

  private enum FileWork {
    case event(DropEvent)
    case request(Request)
  }

  static let patience = Duration.milliseconds(100)

  private var own = FIFO<Work>()
  private var turns = FairTurns<Line>()
  private var lines: [UInt64: Line] = [:]
  private var users: [UInt32: FairTurns<Line>.User] = [:]
  private var files = FIFO<FileWork>()
  /// When files were taken last, or began to wait.
  private var filesWait = MonotonicInstant.now
  private(set) var isEnding = false

  var isEmpty: Bool { own.isEmpty && turns.isEmpty && files.isEmpty }

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
    let line = lines[request.connection] ?? Line(user: request.user, connection: request.connection)
    if line.requests.isEmpty {
      lines[request.connection] = line
      turns.put(line, of: user(request.user))
    }
    line.requests.append(request)
  }

  private mutating func user(_ number: UInt32) -> FairTurns<Line>.User {
    if let user = users[number] { return user }
    let user = FairTurns<Line>.User()
    users[number] = user
    return user
  }

  mutating func next(at now: MonotonicInstant) -> Next? {
    if let work = own.popFirst() { return .run(work) }
    let filesAreDue = !files.isEmpty && now - filesWait >= Self.patience
    if !filesAreDue, let request = nextRequest() { return isEnding ? .refuse(request) : .run(request.run) }
    guard let first = files.first else { return nil }
    filesWait = now
    if case .event = first { return .files }
    guard case .request(let request)? = files.popFirst() else { return nil }
    return .run(request.run)
  }

  private mutating func nextRequest() -> Request? {
    guard let line = turns.next(), let request = line.requests.popFirst() else { return nil }
    let user = user(line.user)
    if line.requests.isEmpty {
      lines[line.connection] = nil
      if !user.isWaiting { users[line.user] = nil }
    } else {
      turns.put(line, of: user)
    }
    return request
  }

  /// Takes the next event of a file out; nil where there is none, or a request stands before it.
  mutating func nextFile() -> DropEvent? {
    guard case .event(let event)? = files.first else { return nil }
    _ = files.popFirst()
    return event
  }

  /// Whether anything is to be done before a further file.
  var somethingIsMoreUrgent: Bool { !own.isEmpty || !turns.isEmpty }
}
