package import SystemSupport

/// Watches the directories into which users drop files and says when a name is due, gone or not wanted.
///
/// inotify is a hint, the scan is the truth: events only mark names, and whatever loses events (overflow, a replaced
/// directory, a network file system) ends in a scan. One thread of its own drains the kernel's queue, keeps the waiting
/// times and calls `onEvent`; it reads no file and must not be held up. Whoever takes an item does so on another
/// thread and tells the item that it is `finished`.
///
///     write or rename ──> inotify ──> Settling ──> .due ──> stageCopy ──> finished
///                  scan (start, overflow, poll) ──^                          │
///     sync: a cookie file through the same queue, then all that waits ──<────┘
package final class DirectoryWatcher: Sendable {
  package struct Settings: Sendable {
    package enum Mode: String, Sendable, CaseIterable { case auto, inotify, poll }

    package var mode = Mode.auto
    package var periods = SettlePeriods()
    /// A scan though nothing was heard.
    package var safetyRescan = Duration.seconds(300)
    package var overlayRescan = Duration.seconds(30)
    package var pollPeriod = Duration.seconds(10)
    /// Names tracked in one directory; further ones are left alone, with a warning.
    package var maximumNames = 100_000

    package init() {}
  }

  package enum SyncResult: Sendable, Equatable { case done, timedOut, stopped }

  package struct Status: Sendable, Equatable {
    package var conditions: [String: DirectoryCondition] = [:]
    package var overflows = 0
    package var scans = 0
    package var pending = 0
    /// At most `maximumNames` of them, in order.
    package var incomplete: [String] = []
    static let maximumNames = 100
    package init() {}
  }

  /// What other threads ask of the watcher's. It ends when the mailbox is closed.
  enum Command {
    case finished(DropKey, DropOutcome)
    case sync(Deadline, @Sendable (SyncResult) -> Void)
    case scan
    case again(DropKey)
  }

  /// What other threads may know of the watcher's.
  final class SharedStatus: Sendable {
    let status = Mutex(Status())
  }

  private let mailbox: Mailbox<Command>
  private let shared = SharedStatus()
  private let thread: OwnedThread

  /// Starts the thread, which opens the directories, watches and then scans them. `cookieDirectory` is private to this
  /// watcher, lies outside the watched ones, exists, and is emptied of old cookies.
  package init(
    _ directories: [DropDirectory], cookieDirectory: String, settings: Settings = .init(), log: Logger = .silent,
    onEvent: @escaping @Sendable (DropEvent) -> Void
  ) throws(SystemCallError) {
    let mailbox = try Mailbox<Command>()
    self.mailbox = mailbox
    thread = try OwnedThread(name: "watcher") { [shared] in
      WatchLoop(directories, cookieDirectory, settings, mailbox, shared, log, onEvent).run()
    }
  }

  deinit { mailbox.close() }

  /// Calls back, from the watcher's thread, once everything that was complete in the directories before this call has
  /// been attempted and reported. Waiting times are cut short for it. After `stop` it calls back at once.
  package func sync(until deadline: Deadline, _ completion: @escaping @Sendable (SyncResult) -> Void) {
    if !mailbox.put(.sync(deadline, completion)) { completion(.stopped) }
  }

  /// Tells once more what stands under a name, as after its first event: what was told could not be kept.
  package func tellAgain(label: String, name: String) { mailbox.put(.again(DropKey(label: label, name: name))) }

  /// Scans now, and tries all that waits: SIGHUP.
  package func rescan() { mailbox.put(.scan) }

  package var status: Status { shared.status.withLock { $0 } }

  /// Ends the thread and waits for it; open `sync` calls get `.stopped`. Not from `onEvent`.
  package func stop() {
    mailbox.close()
    thread.join()
  }
}

/// A name in a watched directory, escaped where it is not plain.
struct DropKey: Hashable, Sendable {
  var label: String
  var name: String
}
