import Glibc
import SystemSupport

extension WatchLoop {
  /// Puts a cookie behind all that is queued: when it comes out of the queue, what was before it has come too.
  ///
  /// In a private directory and not in the user's, though the order holds across directories and file systems because
  /// the queue is one.
  func beginSync(_ deadline: Deadline, _ completion: @escaping @Sendable (DirectoryWatcher.SyncResult) -> Void) {
    var sync = Sync(deadline: deadline, completion: completion)
    if cookiesWork {
      cookieCount += 1
      let name = "cookie-\(cookieCount)"
      let path = "\(cookieDirectory)/\(name)"
      do throws(SystemCallError) {
        _ = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW)
        try FileSystem.remove(path)
        sync.cookie = name
      } catch {
        log.warning("sync goes by a scan", ["error": error])
        scanAt = .now
      }
    } else {
      scanAt = .now
    }
    syncs.append(sync)
  }

  /// Finds out what the syncs whose cookie was seen still wait for, and makes that due.
  func advanceSyncs() {
    guard !syncs.isEmpty else { return }
    let isScanWaiting = scanAt != nil
    // The names that wait, found at most once for all syncs of this turn; marked ones were looked at before.
    var attempts: [DropKey: Int]?
    for position in syncs.indices where syncs[position].waiting == nil {
      guard syncs[position].cookie == nil, !isScanWaiting, marked.isEmpty else { continue }
      if attempts == nil {
        for index in directories.indices {
          if directories[index].watch == nil { scanAgain(index) } else { reopenIfReplaced(index) }
        }
        lookAtOtherForms()
        // A directory that was opened just now may have left names to look at: in the next turn, which comes at once.
        guard marked.isEmpty else { return }
        attempts = settling.expedite(at: .now)
      }
      syncs[position].waiting = attempts
    }
    if attempts?.isEmpty == false { announceDue() }
  }

  /// Answers the syncs whose names were all attempted, and those that have waited long enough.
  func answerSyncs() {
    var open: [Sync] = []
    for sync in syncs {
      if sync.waiting?.isEmpty == true {
        sync.completion(.done)
      } else if sync.deadline.hasPassed {
        sync.completion(.timedOut)
      } else {
        open.append(sync)
      }
    }
    syncs = open
  }

  func publishStatus() {
    counters.pending = settling.pendingCount
    if settling.incompleteChanges != shownIncompleteChanges {
      shownIncompleteChanges = settling.incompleteChanges
      let some = settling.incomplete.prefix(DirectoryWatcher.Status.maximumNames)
      counters.incomplete = some.map { "\($0.label)/\($0.name)" }.sorted()
    }
    counters.conditions = [:]
    for directory in directories { counters.conditions[directory.label] = directory.condition }
    let counters = self.counters
    shared.status.withLock { $0 = counters }
  }
}

extension WatchLoop.Sync {
  mutating func attempted(_ key: DropKey) {
    guard let left = waiting?[key] else { return }
    waiting?[key] = left > 1 ? left - 1 : nil
  }
}
