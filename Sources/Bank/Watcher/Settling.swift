package import SystemSupport

/// How an attempt to take a dropped item ended.
package enum DropOutcome: Sendable, Equatable {
  /// Accepted, duplicate or rejected for good.
  case settled
  /// Someone still writes it, or it ends too early.
  case incomplete
  /// Our own trouble (no space, unreadable): the next scan tries again.
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
  /// From when on an incomplete file is reported as such and only tried again when something happens to it.
  package var incompleteTimeout = Duration.seconds(60)

  package init() {}
}

/// When a name is due: the waiting between the first sign of a file and the attempt to take it.
///
/// No clock, no lock, no I/O: it is told what was seen and the instant, and says what is due. A hint is never proof
/// that a file is complete; the attempt finds that out (`stageCopy`) and its outcome comes back through `finished`.
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
  }

  private let periods: SettlePeriods
  private var entries: [Name: Entry] = [:]

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
    entries[name] = entry
  }

  /// The name is gone, and with it all that was waited for. An attempt that runs may still report.
  package mutating func vanished(_ name: Name) { entries[name] = nil }

  /// The names to attempt now. Each is in flight until `finished` or `vanished`.
  package mutating func takeDue(at now: MonotonicInstant) -> [Name] {
    var due: [(MonotonicInstant, Name)] = []
    for (name, entry) in entries {
      if let instant = entry.due, instant <= now { due.append((instant, name)) }
    }
    for (_, name) in due {
      entries[name]?.due = nil
      entries[name]?.inFlight = true
    }
    return due.sorted { $0.0 < $1.0 }.map(\.1)
  }

  /// How an attempt ended.
  package mutating func finished(_ name: Name, _ outcome: DropOutcome, at now: MonotonicInstant) {
    guard var entry = entries[name], entry.inFlight else { return }
    entry.inFlight = false
    entry.due = entry.again
    entry.again = nil
    switch outcome {
    case .settled, .retryLater:
      guard entry.due != nil else {
        entries[name] = nil
        return
      }
      entry.incompleteSince = nil
      entry.reported = false
    case .incomplete:
      let since = entry.incompleteSince ?? now
      entry.incompleteSince = since
      if entry.due == nil, now - since < periods.incompleteTimeout {
        var delay = periods.firstRetry
        for _ in 0..<min(entry.attempts, 16) where delay < periods.longestRetry { delay *= 2 }
        entry.due = now + min(delay, periods.longestRetry)
        entry.attempts += 1
      }
    }
    entries[name] = entry
  }

  /// When `takeDue` has something next; nil where nothing is waited for.
  package var nextDue: MonotonicInstant? { entries.values.compactMap(\.due).min() }

  /// Makes all that waits due now, and says how many attempts each name still needs before what happened to it so far
  /// is reflected: one, or two where it changed during the attempt that runs.
  package mutating func expedite(at now: MonotonicInstant) -> [Name: Int] {
    var attempts: [Name: Int] = [:]
    for (name, entry) in entries {
      if entry.inFlight {
        attempts[name] = entry.again == nil ? 1 : 2
        if entry.again != nil { entries[name]?.again = now }
      } else if entry.due != nil {
        attempts[name] = 1
        entries[name]?.due = now
      }
    }
    return attempts
  }

  /// Whether an attempt runs or is waited for.
  package func isPending(_ name: Name) -> Bool {
    guard let entry = entries[name] else { return false }
    return entry.inFlight || entry.due != nil
  }

  /// Whether its retries are used up.
  package func isOverdue(_ name: Name) -> Bool {
    guard let entry = entries[name] else { return false }
    return !entry.inFlight && entry.due == nil
  }

  /// Names that have been incomplete for longer than the time-out, each reported once until it changes.
  package mutating func takeOverdue(at now: MonotonicInstant) -> [Name] {
    var overdue: [Name] = []
    for (name, entry) in entries {
      guard !entry.reported, let since = entry.incompleteSince, now - since >= periods.incompleteTimeout else {
        continue
      }
      entries[name]?.reported = true
      overdue.append(name)
    }
    return overdue
  }

  package var pendingCount: Int { entries.values.count { $0.inFlight || $0.due != nil } }
  package var incomplete: [Name] { entries.filter { $0.value.reported }.map(\.key) }
}
