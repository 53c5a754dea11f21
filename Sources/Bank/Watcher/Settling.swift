package import SystemSupport

/// How an attempt to take a dropped item ended.
package enum DropOutcome: Sendable, Equatable {
  /// Accepted, duplicate or rejected for good.
  case settled
  /// Someone still writes it, or it ends too early.
  case incomplete
  /// The system's fault and not the file's (no space, too many files open, an error of the disk, no permission): it is
  /// tried again by itself, for as long as it is there.
  case retryLater
}

/// What was seen of a name.
package enum DropHint: Sendable, Equatable {
  /// Renamed into the directory: whole, if the writer did it right.
  case movedIn
  case closed
  case created
  case modified
  /// Mode, owner or times changed, so that it may have become readable.
  case attributes
  /// Found by a scan.
  case scanned
}

/// How long to wait for what.
package struct SettlePeriods: Sendable {
  /// Quiet after a writer closed the file.
  package var afterClose = Duration.milliseconds(100)
  /// Quiet where no close was seen: a hard link, a slow writer.
  package var afterCreate = Duration.seconds(1)
  package var firstRetry = Duration.seconds(1)
  package var longestRetry = Duration.seconds(30)
  /// From when on an incomplete file is reported as such and only tried again when something happens to it, by a scan,
  /// and by a sync.
  package var incompleteTimeout = Duration.seconds(60)

  package init() {}
}

/// When a name is due: the waiting between the first sign of a file and the attempt to take it.
///
/// No clock, no lock, no I/O: it is told what was seen and the instant, and says what is due. A hint is never proof
/// that a file is complete; the attempt finds that out (`stageCopy`) and its outcome comes back through `finished`.
/// Whatever is asked for each event or each turn costs O(log n) for n names; only `expedite` looks at all of them.
package struct Settling<Name: Hashable & Sendable>: Sendable {
  private struct Entry: Sendable {
    /// nil while an attempt runs, and after the retries are used up.
    var due: MonotonicInstant?
    var inFlight = false
    /// Something happened during the attempt: due again, then.
    var again: MonotonicInstant?
    var attempts = 0
    var incompleteSince: MonotonicInstant?
    var reported = false

    var isPending: Bool { inFlight || due != nil }
  }

  private let periods: SettlePeriods
  private var entries: [Name: Entry] = [:]
  /// Names by `due`, and by when they will have been incomplete for too long. What does not agree with the name's entry any
  /// more is passed over.
  private var dueQueue = InstantQueue<Name>()
  private var overdueQueue = InstantQueue<Name>()
  package private(set) var pendingCount = 0
  /// Those that `takeOverdue` has reported, until they change.
  package private(set) var incomplete: Set<Name> = []
  /// Another number for each change of `incomplete`.
  private(set) var incompleteChanges = 0

  package init(_ periods: SettlePeriods = SettlePeriods()) { self.periods = periods }

  package mutating func saw(_ name: Name, _ hint: DropHint, at now: MonotonicInstant) {
    var entry = entries[name] ?? Entry()
    let due: MonotonicInstant
    switch hint {
    case .movedIn: due = now
    case .closed, .attributes: due = now + periods.afterClose
    case .created, .modified: due = now + periods.afterCreate
    case .scanned:
      // What is waited for already comes in its own time.
      if entry.due != nil || entry.again != nil { return }
      due = now
    }
    if hint != .scanned { entry.attempts = 0 }
    if entry.inFlight { entry.again = due } else { entry.due = due }
    set(name, entry)
  }

  /// The name is gone, and with it all that was waited for. An attempt that runs may still report.
  package mutating func vanished(_ name: Name) { set(name, nil) }

  /// The names to attempt now. Each is in flight until `finished` or `vanished`.
  package mutating func takeDue(at now: MonotonicInstant) -> [Name] {
    var due: [Name] = []
    while let (instant, name) = dueQueue.first, instant <= now {
      var entry = entries[name] ?? Entry()
      entry.due = nil
      entry.inFlight = true
      set(name, entry)
      due.append(name)
    }
    return due
  }

  /// How an attempt ended.
  package mutating func finished(_ name: Name, _ outcome: DropOutcome, at now: MonotonicInstant) {
    guard var entry = entries[name], entry.inFlight else { return }
    entry.inFlight = false
    entry.due = entry.again
    entry.again = nil
    switch outcome {
    case .settled:
      guard entry.due != nil else { return set(name, nil) }
      entry.incompleteSince = nil
      entry.reported = false
    case .retryLater:
      entry.incompleteSince = nil
      entry.reported = false
      if entry.due == nil { retry(&entry, after: now) }
    case .incomplete:
      let since = entry.incompleteSince ?? now
      entry.incompleteSince = since
      if entry.due == nil, now - since < periods.incompleteTimeout { retry(&entry, after: now) }
    }
    set(name, entry)
  }

  /// Each retry waits twice as long as the one before.
  private func retry(_ entry: inout Entry, after now: MonotonicInstant) {
    var delay = periods.firstRetry
    for _ in 0..<min(entry.attempts, 16) where delay < periods.longestRetry { delay *= 2 }
    entry.due = now + min(delay, periods.longestRetry)
    entry.attempts += 1
  }

  /// When `takeDue` has something next; nil where nothing is waited for.
  package var nextDue: MonotonicInstant? { dueQueue.first?.0 }

  /// Makes all that waits due now, what is overdue too, and says how many attempts each name still needs before what
  /// happened to it so far is reflected: one, or two where it changed during the attempt that runs.
  package mutating func expedite(at now: MonotonicInstant) -> [Name: Int] {
    var attempts: [Name: Int] = [:]
    for (name, var entry) in entries {
      if entry.inFlight {
        attempts[name] = entry.again == nil ? 1 : 2
        if entry.again == nil { continue }
        entry.again = now
      } else {
        attempts[name] = 1
        entry.due = now
      }
      set(name, entry)
    }
    return attempts
  }

  /// Whether an attempt runs or is waited for.
  package func isPending(_ name: Name) -> Bool { entries[name]?.isPending ?? false }

  /// Whether its retries are used up.
  package func isOverdue(_ name: Name) -> Bool {
    guard let entry = entries[name] else { return false }
    return !entry.isPending
  }

  /// Names that have been incomplete for longer than the time-out, each reported once until it changes.
  package mutating func takeOverdue(at now: MonotonicInstant) -> [Name] {
    var overdue: [Name] = []
    while let (instant, name) = overdueQueue.first, instant <= now {
      overdueQueue.removeFirst()
      guard var entry = entries[name], let since = entry.incompleteSince, since + periods.incompleteTimeout == instant,
        !entry.reported
      else { continue }
      entry.reported = true
      set(name, entry)
      overdue.append(name)
    }
    return overdue
  }

  // MARK: - The one way in which an entry changes

  /// Nil: nothing is known of the name any more.
  private mutating func set(_ name: Name, _ entry: Entry?) {
    let before = entries[name]
    entries[name] = entry
    // A dictionary keeps the place of what is taken out of it.
    if entries.isEmpty { entries = [:] }
    pendingCount += (entry?.isPending ?? false ? 1 : 0) - (before?.isPending ?? false ? 1 : 0)
    if let due = entry?.due, due != before?.due { dueQueue.insert(due, name) }
    if let since = entry?.incompleteSince, since != before?.incompleteSince {
      overdueQueue.insert(since + periods.incompleteTimeout, name)
    }
    let (isReported, wasReported) = (entry?.reported ?? false, before?.reported ?? false)
    if isReported != wasReported {
      if isReported { incomplete.insert(name) } else { incomplete.remove(name) }
      incompleteChanges += 1
    }
    clearQueues()
  }

  /// Keeps what is passed over from the front of the queue of what is due, and from becoming more than what is not: a name
  /// that changes again and again leaves much of it behind.
  private mutating func clearQueues() {
    while let (instant, name) = dueQueue.first, entries[name]?.due != instant { dueQueue.removeFirst() }
    let limit = 2 * entries.count + 64
    if dueQueue.count > limit { dueQueue.keep { entries[$1]?.due == $0 } }
    if overdueQueue.count > limit {
      overdueQueue.keep { entries[$1]?.incompleteSince.map { $0 + periods.incompleteTimeout } == $0 }
    }
  }
}
