import Glibc
import LinearAlgebra
import Synchronization
import Testing

@Suite struct ComputePoolTests {
  @Test func everyTileRunsOnceAndPhasesAreInOrder() {
    let pool = ComputePool(threads: 3)
    let (phases, tiles) = (40, 7)
    let log = Mutex<[Int]>([])
    pool.run(
      (0..<phases).map { phase in
        Phase(tiles: tiles) { tile, _ in log.withLock { $0.append(phase * tiles + tile) } }
      }, priority: .job)
    let seen = log.withLock { $0 }
    #expect(seen.sorted() == Array(0..<phases * tiles))
    #expect(seen.map { $0 / tiles } == seen.map { $0 / tiles }.sorted())
  }

  @Test func emptyPhasesAndEmptyRunsEnd() {
    let pool = ComputePool(threads: 2)
    pool.run([], priority: .interactive)
    pool.run([Phase(tiles: 0) { _, _ in Issue.record("a phase without tiles has no body to run") }], priority: .job)
    let count = Mutex(0)
    let one = Phase(tiles: 1) { _, _ in count.withLock { $0 += 1 } }
    let none = Phase(tiles: 0) { _, _ in Issue.record("a phase without tiles has no body to run") }
    pool.run([none, one, none, none, one, none], priority: .job)
    #expect(count.withLock { $0 } == 2)
  }

  @Test func aPreparedRunIsExecutedAgain() {
    let pool = ComputePool(threads: 2)
    let count = Mutex(0)
    let run = ComputeRun([Phase(tiles: 3) { _, _ in count.withLock { $0 += 1 } }])
    for _ in 0..<500 { pool.run(run, priority: .interactive) }
    #expect(count.withLock { $0 } == 1500)
  }

  /// Thousands of short runs from several callers with both priorities: each phase sums what the phase before it wrote,
  /// so a tile that is lost, done twice, or done too early changes the result.
  @Test func manyCallersGetTheirOwnResults() {
    let pool = ComputePool(threads: 4)
    let failures = Mutex(0)
    let callers = (0..<6).map { caller in
      TestThread {
        let cells = FloatBuffer(count: 8)
        let total = FloatBuffer(count: 1)
        let run = ComputeRun([
          Phase(tiles: 8) { tile, _ in unsafe cells.pointer[tile] += Float(tile + caller) },
          Phase(tiles: 1) { _, scratch in
            let copy = unsafe scratch.floats(0, count: 8)
            for i in 0..<8 { unsafe copy[i] = cells.pointer[i] }
            for i in 0..<8 { unsafe total.pointer[0] += copy[i] }
          },
          Phase(tiles: 8) { tile, _ in unsafe cells.pointer[tile] = 0 },
        ])
        for round in 1...700 {
          pool.run(run, priority: (round + caller) % 3 == 0 ? .interactive : .job)
          let expected = Float(round * (28 + 8 * caller))
          if unsafe total.pointer[0] != expected { failures.withLock { $0 += 1 } }
        }
      }
    }
    for caller in callers { caller.join() }
    #expect(failures.withLock { $0 } == 0)
  }

  /// A job of two tiles on one thread: the request that comes during the first goes before the second.
  @Test func aRequestGoesInBetweenTheTilesOfAJob() {
    let pool = ComputePool(threads: 1)
    let log = Mutex<[String]>([])
    let jobHasBegun = Gate()
    let requestIsThere = Gate()
    let job = TestThread {
      pool.forEach(2, priority: .job) { tile, _ in
        log.withLock { $0.append("job \(tile)") }
        if tile == 0 {
          jobHasBegun.open()
          requestIsThere.wait()
        }
      }
    }
    jobHasBegun.wait()
    let request = TestThread {
      pool.forEach(1, priority: .interactive) { _, _ in log.withLock { $0.append("request") } }
    }
    // The request's thread is inside `run` once it counts as waiting: its run is in the list before it sleeps.
    while pool.activeRuns < 2 { sched_yield() }
    requestIsThere.open()
    request.join()
    job.join()
    #expect(log.withLock { $0 } == ["job 0", "request", "job 1"])
  }

  @Test func aPoolThatIsDroppedStopsItsThreads() {
    final class Marker: Sendable {}
    weak var weakMarker: Marker?
    for _ in 0..<50 {
      let marker = Marker()
      weakMarker = marker
      let pool = ComputePool(threads: 3)
      pool.forEach(3, priority: .job) { _, _ in withExtendedLifetime(marker) {} }
    }
    // A thread that still held its run would hold the marker; one that did not stop would hang the pool's end.
    #expect(weakMarker == nil)
  }

  @Test func scratchGrowsAndKeepsItsMemory() {
    let scratch = Scratch()
    let small = unsafe scratch.floats(3, count: 10)
    #expect(unsafe scratch.floats(3, count: 5) == small)
    let large = unsafe scratch.doubles(3, count: 100_000)
    unsafe large[99_999] = 1
    #expect(UInt(bitPattern: large) % 64 == 0)
  }
}

/// A flag that threads wait for.
final class Gate: Sendable {
  private let isOpen = Atomic<Bool>(false)
  func open() { isOpen.store(true, ordering: .releasing) }
  func wait() { while !isOpen.load(ordering: .acquiring) { sched_yield() } }
}

/// A thread outside Swift's cooperative pool, which a blocking call must not occupy.
final class TestThread {
  private var thread = pthread_t()

  init(_ body: @escaping @Sendable () -> Void) {
    final class Start: Sendable {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let start = unsafe Unmanaged.passRetained(Start(body))
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, start.toOpaque())
    precondition(result == 0)
  }

  func join() { pthread_join(thread, nil) }
}
