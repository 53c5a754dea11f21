import SystemSupport

/// When a rescan that something asks for may run: a burst of lost events must not become a burst of scans.
///
/// Three in quick succession are free; then each waits twice as long as the one before, from 100 ms up to 10 s. One that
/// is asked for more than 10 s after the last is not in succession.
struct RescanPacer {
  private var rapid = 0
  private var last: MonotonicInstant?

  /// The instant at which a scan that is asked for now runs.
  mutating func request(at now: MonotonicInstant) -> MonotonicInstant {
    if let last, now - last <= .seconds(10) { rapid += 1 } else { rapid = 0 }
    var instant = now
    if rapid >= 3 {
      var delay = Duration.milliseconds(100)
      for _ in 3..<min(rapid, 12) { delay *= 2 }
      instant = now + min(delay, .seconds(10))
    }
    last = instant
    return instant
  }
}
