import COpenBLAS
import Glibc
import Synchronization

/// A lock for critical sections of a few dozen instructions, taken some hundred times a millisecond.
///
/// `Mutex` goes to the kernel on every contention (it is a priority-inheriting futex), which costs more than the tile
/// it hands out. Never held while calling out, allocating or waiting. A holder that loses its core is waited for with
/// `sched_yield`.
struct SpinLock: ~Copyable {
  private let held = Atomic<Bool>(false)

  func lock() {
    var spins = 0
    while held.exchange(true, ordering: .acquiring) {
      repeat {
        spins += 1
        if spins % 256 == 0 { sched_yield() } else { t2_spin_pause() }
      } while held.load(ordering: .relaxed)
    }
  }

  func unlock() {
    held.store(false, ordering: .releasing)
  }
}
