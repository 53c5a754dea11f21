import COpenBLAS

/// The process's own compute threads, one a core, and the work given to them.
///
/// Work is a ``ComputeRun``: phases of tiles. A tile of a phase starts when the phase before it is complete. Several runs
/// may be active at once; a free thread takes the next tile of the first run in the order (priority, arrival), so a short
/// interactive request goes in between the tiles of a long job and waits for one tile, not for one job.
///
/// Threads that find nothing spin for some 50 µs, since the next phase is often that near, and then sleep. The caller of
/// ``run(_:priority:)`` sleeps at once: it would otherwise take a core from its own work.
///
/// Which thread computes a tile, and in which order tiles of one phase are computed, is not defined; each is computed
/// once, and all that a phase wrote is visible to the next.
package final class ComputePool: Sendable {
  package enum Priority: Int, Sendable {
    case interactive, job
  }

  private let core: PoolCore

  /// A pool of one thread for each core that this process may use, made when it is first asked for, never stopped.
  package static let shared = ComputePool()

  package let threadCount: Int

  /// Starts the threads.
  /// - Parameters:
  ///   - threads: how many, at least one.
  ///   - niceness: added to the calling thread's own; 0 leaves it.
  package init(threads: Int = ComputePool.usableCores, niceness: Int = 0) {
    precondition(threads > 0, "a compute pool needs a thread, got \(threads)")
    BLAS.prepare()
    core = PoolCore()
    threadCount = core.start(threads: threads, niceness: niceness)
  }

  /// Waits for active runs to end, then for the threads.
  deinit {
    core.stop()
  }

  /// Executes the phases in order and returns when all tiles are done. Blocks; any thread but a compute thread.
  package func run(_ phases: [Phase], priority: Priority) {
    run(ComputeRun(phases), priority: priority)
  }

  /// As ``run(_:priority:)-swift.method`` for a prepared run, without allocation. A run is executed by one caller at a
  /// time: a second one traps.
  package func run(_ run: ComputeRun, priority: Priority) {
    if core.submit(run, priority: priority) { run.wait() }
  }

  /// Executes `body` for 0..<tiles.
  package func forEach(_ tiles: Int, priority: Priority, _ body: @escaping Phase.Body) {
    run([Phase(tiles: tiles, body)], priority: priority)
  }

  /// How many runs are being executed or wait for a thread.
  package var activeRuns: Int { core.activeRuns }

  /// Cores that the scheduler gave to this process when it started (OpenBLAS asks sched_getaffinity, which Glibc's
  /// overlay lacks), at least 1.
  package static var usableCores: Int { max(Int(openblas_get_num_procs()), 1) }
}
