import Glibc

/// What this thread computes for while `body` runs: a limit on it does not depend on what runs beside it, as one on the
/// clock does.
package func processorTime(_ body: () throws -> Void) rethrows -> Duration {
  let start = processorTime()
  try body()
  return processorTime() - start
}

/// What this thread has computed for so far.
func processorTime() -> Duration {
  var time = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
}
