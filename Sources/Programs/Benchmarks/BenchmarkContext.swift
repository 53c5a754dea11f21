import Glibc
import LinearAlgebra
import SystemSupport

/// What every benchmark gets: the options, the compute threads, a voice, and a clock.
struct BenchmarkContext: ~Copyable, Sendable {
  let options: BenchmarkOptions
  var pool: ComputePool { .shared }

  /// Prose for stderr: what is being measured now.
  func say(_ text: String) {
    Self.printError(text + "\n")
  }

  /// Seconds that `body` takes.
  func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = MonotonicInstant.now
    try body()
    return (MonotonicInstant.now - start).inSeconds
  }

  /// The least of several measurements: what disturbs a measurement only ever makes it longer.
  func bestSeconds(_ body: () throws -> Void) rethrows -> Double {
    var best = Double.infinity
    for _ in 0..<options.repetitions { best = min(best, try seconds(body)) }
    return best
  }

  static func printError(_ text: String) {
    let bytes = Array(text.utf8)
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)  // Prose: where it cannot be said, nothing is lost.
  }
}
