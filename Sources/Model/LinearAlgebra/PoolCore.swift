import COpenBLAS
import Glibc
import Synchronization

/// What the threads of a ``ComputePool`` share. A class of its own, since threads hold it and the pool's end stops them.
///
/// `@unchecked Sendable`: `runs` and `stopping` are touched only under `lock`, as are the cursors of active runs;
/// `threads` only by `start` and `stop`, which the pool's initializer and deinit call. `@safe`: the two pointers are
/// allocated in `init`, freed in `deinit`, and never leave.
@safe final class PoolCore: @unchecked Sendable {
  private let lock = SpinLock()
  /// Active runs, by priority, then arrival.
  private var runs: [ComputeRun] = []
  private var stopping = false
  private var threads: [pthread_t] = []

  /// Counts the moments at which idle threads should look again: a new run, a new phase, the end.
  private let epoch = Atomic<UInt64>(0)
  private let sleepers = Atomic<Int>(0)
  private let sleepMutex: UnsafeMutablePointer<pthread_mutex_t>
  private let wake: UnsafeMutablePointer<pthread_cond_t>

  private static let spinNanoseconds: UInt64 = 50_000

  init() {
    unsafe sleepMutex = .allocate(capacity: 1)
    unsafe sleepMutex.initialize(to: pthread_mutex_t())
    unsafe wake = .allocate(capacity: 1)
    unsafe wake.initialize(to: pthread_cond_t())
    let results = unsafe (pthread_mutex_init(sleepMutex, nil), pthread_cond_init(wake, nil))
    precondition(results == (0, 0), "pthread initialisation failed: \(results)")
  }

  deinit {
    unsafe pthread_cond_destroy(wake)
    unsafe pthread_mutex_destroy(sleepMutex)
    unsafe wake.deallocate()
    unsafe sleepMutex.deallocate()
  }

  // MARK: Threads

  /// Starts up to `count` threads and returns how many it got; traps where the system gives none at all.
  func start(threads count: Int, niceness: Int) -> Int {
    // Signals are the business of the thread that reads the signalfd: compute threads inherit a full mask.
    var all = sigset_t()
    var old = sigset_t()
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_BLOCK, &all, &old)
    defer { _ = unsafe pthread_sigmask(SIG_SETMASK, &old, nil) }

    for index in 0..<count {
      let start = unsafe Unmanaged.passRetained(ThreadStart(core: self, index: index, niceness: niceness))
      var thread = pthread_t()
      let result = unsafe pthread_create(
        &thread, nil,
        { argument in
          guard let argument = unsafe argument else { return nil }
          let start = unsafe Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
          start.core.threadMain(start)
          return nil
        }, start.toOpaque())
      guard result == 0 else {
        unsafe start.release()
        precondition(!threads.isEmpty, "cannot start a compute thread: \(unsafe String(cString: strerror(result)))")
        break
      }
      threads.append(thread)
    }
    return threads.count
  }

  func stop() {
    lock.lock()
    stopping = true
    lock.unlock()
    announce()
    for thread in threads { pthread_join(thread, nil) }
    threads = []
  }

  private func threadMain(_ start: ThreadStart) {
    if start.niceness != 0 { _ = nice(Int32(start.niceness)) }  // Linux: of this thread only, man 2 nice.

    let scratch = Scratch()
    var done: ComputeRun? = nil
    while true {
      var finished: ComputeRun? = nil
      var advanced = false
      lock.lock()
      if let run = done { (finished, advanced) = completeTile(of: run) }
      let seen = epoch.load(ordering: .relaxed)
      let claim = claimTile()
      let end = stopping && runs.isEmpty
      lock.unlock()

      if advanced { announce() }
      finished?.post()
      finished = nil
      done = claim?.run
      if let claim {
        claim.body(claim.tile, scratch)
      } else if end {
        announce()  // Others may have looked while the last run was still there.
        return
      } else if !advanced {
        waitForNews(since: seen)
      }
    }
  }

  // MARK: Runs

  /// Makes the run active. False where it has no tile at all and is thereby complete.
  func submit(_ run: ComputeRun, priority: ComputePool.Priority) -> Bool {
    for thread in threads {
      precondition(
        pthread_equal(thread, pthread_self()) == 0, "a compute thread cannot wait for its own pool")
    }
    lock.lock()
    precondition(!run.active, "a run is executed by one caller at a time")
    precondition(!stopping, "the compute pool is stopped")
    let hasWork = run.begin(phase: 0)
    if hasWork {
      run.active = true
      run.priority = priority
      let place = runs.firstIndex { $0.priority.rawValue > priority.rawValue } ?? runs.endIndex
      runs.insert(run, at: place)
    }
    lock.unlock()
    if hasWork { announce() }
    return hasWork
  }

  var activeRuns: Int {
    lock.lock()
    defer { lock.unlock() }
    return runs.count
  }

  /// Under the lock: the next tile of the first run that has one to give.
  private func claimTile() -> (run: ComputeRun, body: Phase.Body, tile: Int)? {
    for run in runs where run.next < run.phases[run.phase].tiles {
      let tile = run.next
      run.next += 1
      return (run, run.phases[run.phase].body, tile)
    }
    return nil
  }

  /// Under the lock: a tile came back. Gives the run where that was its last, and whether a new phase began.
  private func completeTile(of run: ComputeRun) -> (finished: ComputeRun?, advanced: Bool) {
    run.completed += 1
    guard run.completed == run.phases[run.phase].tiles else { return (nil, false) }
    if run.begin(phase: run.phase + 1) { return (nil, true) }
    run.active = false
    runs.removeAll { $0 === run }
    return (run, false)
  }

  // MARK: Waiting

  /// Tells idle threads to look again. The order of the two atomics pairs with that in `sleep`: either this sees the
  /// sleeper, or the sleeper sees the new epoch.
  private func announce() {
    epoch.wrappingAdd(1, ordering: .sequentiallyConsistent)
    guard sleepers.load(ordering: .sequentiallyConsistent) > 0 else { return }
    unsafe pthread_mutex_lock(sleepMutex)
    unsafe pthread_cond_broadcast(wake)
    unsafe pthread_mutex_unlock(sleepMutex)
  }

  private func waitForNews(since seen: UInt64) {
    let start = clock_gettime_nsec()
    repeat {
      for _ in 0..<64 {
        if epoch.load(ordering: .acquiring) != seen { return }
        t2_spin_pause()
      }
    } while clock_gettime_nsec() &- start < Self.spinNanoseconds

    unsafe pthread_mutex_lock(sleepMutex)
    sleepers.add(1, ordering: .sequentiallyConsistent)
    while epoch.load(ordering: .sequentiallyConsistent) == seen { unsafe pthread_cond_wait(wake, sleepMutex) }
    sleepers.subtract(1, ordering: .sequentiallyConsistent)
    unsafe pthread_mutex_unlock(sleepMutex)
  }
}

/// What a new thread is told.
private final class ThreadStart: Sendable {
  let core: PoolCore
  let index: Int
  let niceness: Int

  init(core: PoolCore, index: Int, niceness: Int) {
    self.core = core
    self.index = index
    self.niceness = niceness
  }
}

private func clock_gettime_nsec() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}
