import SystemSupport

/// How long to wait before a process that ended is started again: at once the first time, then longer and longer, until
/// one has run for a while. A pure struct.
package struct RestartBackoff: Sendable {
  package var first: Duration = .milliseconds(200)
  package var longest: Duration = .seconds(30)
  /// One that ran for this long starts over without a past.
  package var healthyTime: Duration = .seconds(60)
  private var failures = 0

  package init() {}

  /// The process has ended after this time.
  package mutating func ended(afterRunning time: Duration) -> Duration {
    if time >= healthyTime { failures = 0 }
    defer { failures += 1 }
    guard failures > 0 else { return .zero }
    var wait = first
    for _ in 1..<min(failures, 32) where wait < longest { wait = wait * 2 }
    return min(wait, longest)
  }
}
