import Glibc

/// An instant of CLOCK_MONOTONIC in nanoseconds: what timers, deadlines and invented instants of tests are made of.
package struct MonotonicInstant: Comparable, Hashable, Sendable {
  package var nanoseconds: Int64

  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  package static var now: MonotonicInstant {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return MonotonicInstant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  package static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

  /// Saturates: an instant far in the future stays there.
  package static func + (instant: Self, duration: Duration) -> Self {
    let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(duration.inNanoseconds)
    return Self(nanoseconds: overflow ? (duration < .zero ? .min : .max) : sum)
  }

  package static func - (left: Self, right: Self) -> Duration { .nanoseconds(left.nanoseconds - right.nanoseconds) }
}

extension Duration {
  /// Whole nanoseconds, saturating at about 292 years.
  package var inNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    guard !overflow else { return seconds < 0 ? .min : .max }
    let (sum, overflow2) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
    return overflow2 ? (seconds < 0 ? .min : .max) : sum
  }

  package var inSeconds: Double { Double(inNanoseconds) / 1e9 }
}

/// Until when something may take; `never` has no end.
package struct Deadline: Sendable, Equatable {
  package var instant: MonotonicInstant

  package static let never = Deadline(instant: MonotonicInstant(nanoseconds: .max))

  package init(instant: MonotonicInstant) { self.instant = instant }

  package static func after(_ duration: Duration) -> Deadline { Deadline(instant: .now + duration) }

  package var hasPassed: Bool { self != .never && MonotonicInstant.now >= instant }

  /// What is left, not below zero; nil for `never`.
  package var remaining: Duration? {
    self == .never ? nil : max(.zero, instant - .now)
  }

  /// For poll and epoll: milliseconds rounded up, -1 for `never`.
  package var pollMilliseconds: Int32 {
    guard let remaining else { return -1 }
    return Int32(clamping: (remaining.inNanoseconds + 999_999) / 1_000_000)
  }
}
