package import SystemSupport

/// Holds back work on a thing that keeps changing: it is due once it was quiet for a while, and at the latest some time
/// after its first change, so that a stream of changes cannot put it off forever.
///
/// A pure struct: the caller brings the time and sleeps until `nextDeadline`.
package struct Debounce<Key: Hashable & Sendable>: Sendable {
  private struct Pending: Sendable {
    var first: MonotonicInstant
    var last: MonotonicInstant
  }

  /// How long a thing must be quiet.
  package let quiet: Duration
  /// How long it may be put off.
  package let limit: Duration
  private var pending: [Key: Pending] = [:]

  package init(quiet: Duration, limit: Duration) {
    self.quiet = quiet
    self.limit = limit
  }

  package var isEmpty: Bool { pending.isEmpty }

  package func contains(_ key: Key) -> Bool { pending[key] != nil }

  package mutating func changed(_ key: Key, at now: MonotonicInstant) {
    pending[key, default: Pending(first: now, last: now)].last = now
  }

  /// The thing needs no work any more.
  package mutating func settle(_ key: Key) { pending[key] = nil }

  /// The earliest time at which something is due.
  package var nextDeadline: MonotonicInstant? { pending.values.map(deadline).min() }

  /// Takes out what is due.
  package mutating func takeDue(at now: MonotonicInstant) -> Set<Key> {
    let due = Set(pending.filter { deadline($0.value) <= now }.keys)
    for key in due { pending[key] = nil }
    return due
  }

  private func deadline(_ pending: Pending) -> MonotonicInstant {
    min(pending.last + quiet, pending.first + limit)
  }
}
