import Glibc

/// One phase of a run: `tiles` independent pieces of work.
package struct Phase: Sendable {
  package typealias Body = @Sendable (_ tile: Int, _ scratch: Scratch) -> Void

  package var tiles: Int
  package var body: Body

  /// The body is called once for each tile, on a compute thread. Tiles are cut by the work's shape, never by the number
  /// of threads, so that results do not depend on the machine.
  package init(tiles: Int, _ body: @escaping Body) {
    self.tiles = tiles
    self.body = body
  }
}

/// Work prepared once and executed as often as wanted: phases in order, each begun when the one before is complete.
///
/// Decoding runs some 150 phases for every token; their closures are built once.
///
/// `@unchecked Sendable`: the cursor belongs to the caller while the run is idle and is guarded by the
/// pool's lock while it is active; `active` is checked under that lock. `@safe`: the semaphore never leaves.
@safe package final class ComputeRun: @unchecked Sendable {
  let phases: [Phase]

  // The cursor, guarded by the pool's lock.
  var active = false
  var priority = ComputePool.Priority.job
  var phase = 0
  /// The next tile of the phase to be handed out, and how many have come back.
  var next = 0
  var completed = 0

  /// Posted once at the end of each execution.
  private let finished: UnsafeMutablePointer<sem_t>

  package init(_ phases: [Phase]) {
    self.phases = phases
    unsafe finished = .allocate(capacity: 1)
    unsafe finished.initialize(to: sem_t())
    let result = unsafe sem_init(finished, 0, 0)
    precondition(result == 0, "sem_init failed: errno \(errno)")
  }

  deinit {
    unsafe sem_destroy(finished)
    unsafe finished.deinitialize(count: 1)
    unsafe finished.deallocate()
  }

  /// Moves to the first phase at or after `start` that has tiles. False where there is none: the run is complete.
  func begin(phase start: Int) -> Bool {
    phase = start
    next = 0
    completed = 0
    while phase < phases.count, phases[phase].tiles == 0 { phase += 1 }
    return phase < phases.count
  }

  func post() {
    unsafe sem_post(finished)
  }

  func wait() {
    while unsafe sem_wait(finished) != 0 {
      precondition(errno == EINTR, "sem_wait failed: errno \(errno)")
    }
  }
}
