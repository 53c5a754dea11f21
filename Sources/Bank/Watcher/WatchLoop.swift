import Glibc
import SystemSupport

/// What the watcher's thread does and keeps; nothing here is seen by another thread.
///
/// Each turn: wait; drain the queue, which only marks names; take commands; reopen and scan what needs it; look at the
/// marked names; announce what is due; answer the syncs that are served.
final class WatchLoop {
  typealias Settings = DirectoryWatcher.Settings

  enum Role: Hashable {
    case directory(Int)
    case parent(Int)
    /// A directory that counts as one item, by the index of its directory and its name.
    case inside(Int, [UInt8])
    case cookies
  }

  struct Sync {
    var deadline: Deadline
    var completion: @Sendable (DirectoryWatcher.SyncResult) -> Void
    /// nil where no cookie is waited for any more.
    var cookie: String?
    /// Attempts still to be reported, once the cookie was seen.
    var waiting: [DropKey: Int]?
  }

  let settings: Settings
  let mailbox: Mailbox<DirectoryWatcher.Command>
  let shared: DirectoryWatcher.SharedStatus
  let log: Logger
  let onEvent: @Sendable (DropEvent) -> Void
  let cookieDirectory: String
  var directories: [WatchedDirectory]
  var queue: InotifyQueue?
  /// Why there is no queue, where there is none.
  var queueProblem = ""
  var roles: [Int32: Set<Role>] = [:]
  /// Watches that we gave up, until the kernel says that they are gone.
  var retired: Set<Int32> = []
  var settling: Settling<DropKey>
  var pacer = RescanPacer()
  var scanAt: MonotonicInstant?
  /// Names that something happened to in this turn, with the strongest hint.
  var marked: [Int: [[UInt8]: DropHint]] = [:]
  var syncs: [Sync] = []
  var cookieCount = 0
  var cookiesWork = false
  var counters = DirectoryWatcher.Status()
  /// Those whose names `counters` has.
  var shownIncompleteChanges = 0
  var isStopping = false

  private static let mountsToken: UInt64 = 2

  init(
    _ directories: [DropDirectory], _ cookieDirectory: String, _ settings: Settings,
    _ mailbox: Mailbox<DirectoryWatcher.Command>, _ shared: DirectoryWatcher.SharedStatus, _ log: Logger,
    _ onEvent: @escaping @Sendable (DropEvent) -> Void
  ) {
    self.directories = directories.map(WatchedDirectory.init)
    self.cookieDirectory = cookieDirectory
    self.settings = settings
    self.mailbox = mailbox
    self.shared = shared
    self.log = log
    self.onEvent = onEvent
    settling = Settling(settings.periods)
  }

  func run() {
    do {
      let epoll = try Epoll()
      try epoll.add(mailbox.descriptor, .read, token: 0)
      openQueue()
      if let queue { try epoll.add(queue.descriptor, .read, token: 1) }
      // It reports an error, which is always waited for, when something was mounted or unmounted (man 5 proc_pid_mounts).
      let mounts = try? FileDescriptor.open("/proc/self/mounts")
      if let mounts { try? epoll.add(mounts, [], token: Self.mountsToken) }
      for index in directories.indices { open(index) }
      while !isStopping { try turn(epoll) }
    } catch {
      // Only the wait itself can get here, and it does not fail for a set of two descriptors that are open.
      log.error("the watcher stopped", ["error": error])
    }
    mailbox.close()
    for sync in syncs { sync.completion(.stopped) }
    for case .sync(_, let completion) in mailbox.takeAll() { completion(.stopped) }
  }

  private func turn(_ epoll: Epoll) throws(SystemCallError) {
    // Work of this turn may have made more due at once.
    try epoll.wait(until: Deadline(instant: nextInstant())) { token, _ in
      guard token == Self.mountsToken else { return }
      for index in directories.indices { directories[index].mayHaveChanged = true }
    }
    takeCommands()
    drainQueue()
    for index in directories.indices where directories[index].mayHaveChanged { reopenIfReplaced(index) }
    scanWhereDue()
    lookAtMarked()
    lookAtOtherForms()
    announceDue()
    advanceSyncs()
    // Before the answers, so that who was answered finds what it waited for.
    publishStatus()
    answerSyncs()
  }

  /// When something happens by itself.
  private func nextInstant() -> MonotonicInstant {
    if !marked.isEmpty || directories.contains(where: { !$0.goneStems.isEmpty }) { return .now }
    var instants = directories.compactMap(\.nextScan) + syncs.map(\.deadline.instant)
    if let scanAt { instants.append(scanAt) }
    if let due = settling.nextDue { instants.append(due) }
    return instants.min() ?? Deadline.never.instant
  }

  private func takeCommands() {
    isStopping = mailbox.isClosed
    for command in mailbox.takeAll() {
      switch command {
      case .finished(let key, let outcome):
        finished(key, outcome)
      case .sync(let deadline, let completion):
        beginSync(deadline, completion)
      case .scan:
        scanAt = .now
        _ = settling.expedite(at: .now)
      case .again(let key):
        tellAgain(key)
      }
    }
  }

  func finished(_ key: DropKey, _ outcome: DropOutcome) {
    let now = MonotonicInstant.now
    settling.finished(key, outcome, at: now)
    for position in syncs.indices { syncs[position].attempted(key) }
    for key in settling.takeOverdue(at: now) { onEvent(.incomplete(label: key.label, name: key.name)) }
  }

  func index(of label: String) -> Int? { directories.firstIndex { $0.label == label } }

  // MARK: - The queue

  private func openQueue() {
    guard settings.mode != .poll else {
      queueProblem = "asked for by the configuration"
      return
    }
    do throws(SystemCallError) {
      let queue = try InotifyQueue()
      self.queue = queue
      for entry in try FileSystem.entries(cookieDirectory) {
        if let name = entry.text, name.hasPrefix("cookie-") { try FileSystem.remove("\(cookieDirectory)/\(name)") }
      }
      let cookies = try FileDescriptor.open(cookieDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
      add(.cookies, try queue.watch(cookies, [.create], path: cookieDirectory))
      cookiesWork = true
    } catch {
      if queue == nil { queueProblem = "\(error)" }
      log.warning("sync goes by scans", ["error": error])
    }
  }

  func add(_ role: Role, _ watch: Int32) {
    roles[watch, default: []].insert(role)
    retired.remove(watch)
  }

  func remove(_ role: Role, _ watch: Int32) {
    roles[watch]?.remove(role)
    guard roles[watch]?.isEmpty == true else { return }
    roles[watch] = nil
    retired.insert(watch)
    queue?.remove(watch)
  }

  private func drainQueue() {
    guard let queue else { return }
    do throws(SystemCallError) {
      try queue.drain { event in note(event) }
    } catch {
      log.error("events are lost", ["error": error])
      requestScan()
    }
  }

  private func note(_ event: InotifyQueue.Event) {
    if event.mask.contains(.overflow) {
      counters.overflows += 1
      requestScan()
      return
    }
    guard let roles = roles[event.watch] else {
      if event.mask.contains(.ignored) {
        retired.remove(event.watch)
      } else if !retired.contains(event.watch) {
        requestScan()
      }
      return
    }
    for role in roles {
      switch role {
      case .cookies:
        for position in syncs.indices where syncs[position].cookie?.utf8.elementsEqual(event.name) == true {
          syncs[position].cookie = nil
        }
      case .parent(let index):
        // Without a name it happened to the parent, or to one above it.
        if event.name.isEmpty || event.name == directories[index].ownName { directories[index].mayHaveChanged = true }
      case .inside(let index, let name):
        // One item: whatever moves inside it is a change of it.
        if !event.mask.contains(.ignored) {
          mark(index, name, event.mask.contains(.closeWrite) ? .closed : hint(event))
        }
      case .directory(let index):
        if event.name.isEmpty {
          if !event.mask.isDisjoint(with: [.deleteSelf, .moveSelf, .unmount, .ignored]) {
            directories[index].mayHaveChanged = true
          }
        } else {
          mark(index, event.name, hint(event))
        }
      }
    }
    if event.mask.contains(.ignored) { self.roles[event.watch] = nil }
  }

  private func hint(_ event: InotifyQueue.Event) -> DropHint {
    if event.mask.contains(.movedTo) { return .movedIn }
    if event.mask.contains(.closeWrite) { return .closed }
    if event.mask.contains(.create) { return .created }
    if event.mask.contains(.modify) { return .modified }
    return .attributes
  }

  /// The last hint wins, but for a change of attributes, which `cp` and `install` make after the close.
  private func mark(_ index: Int, _ name: [UInt8], _ hint: DropHint) {
    if hint == .attributes, marked[index]?[name] != nil { return }
    marked[index, default: [:]][name] = hint
  }

  /// One request stands for all until it is served.
  func requestScan() {
    if scanAt == nil { scanAt = pacer.request(at: .now) }
  }
}
