import COpenBLAS
import Glibc

// The right kernel and one thread a call, settled once, before the first product: `prepare` is called by every entry.
//
// OpenBLAS's constructor has chosen a kernel before `main` runs, so setting the variable is too late by itself. Its
// dynamic builds export the pair of functions that drops and repeats the choice, and that works in every process,
// `swift test` and the benchmarks included. `restartWithDeservedKernelIfNeeded` is the fallback for a build that does
// not export them.
extension BLAS {
  /// The kernel in use; reading it settles it.
  package static let kernel: KernelReport = settleKernel()

  /// Settles the kernel and sets one thread a call. Idempotent, cheap, any thread.
  @inline(__always)
  package static func prepare() {
    _ = kernel
  }

  /// Call first in `main` of a program that computes. Where the kernel is too old and could not be raised within the
  /// process, replaces the process by itself, once, with OPENBLAS_CORETYPE set; else returns at once.
  package static func restartWithDeservedKernelIfNeeded() {
    let report = kernel
    guard report.tooOld, report.userChoice == nil, let deserved = report.deserved, unsafe getenv(restartMarker) == nil
    else { return }
    unsafe setenv(restartMarker, "1", 1)
    unsafe setenv(coreTypeVariable, deserved, 1)
    // execv returns only where it failed; the process then goes on, slow, and `kernel` says so.
    unsafe execv("/proc/self/exe", CommandLine.unsafeArgv)
    unsafe unsetenv(coreTypeVariable)
  }

  static let coreTypeVariable = "OPENBLAS_CORETYPE"
  /// Set while a restarted process runs, so that no restart follows a restart, and so that the value of
  /// OPENBLAS_CORETYPE that it finds is not taken for the user's.
  private static let restartMarker = "T2D_KERNEL_RESTARTED"

  /// The library's own words for its version and how it was built, such as "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH".
  package static var library: String { unsafe String(cString: openblas_get_config()) }

  static var runningKernel: String { unsafe String(cString: openblas_get_corename()) }

  static var processorLevel: VectorLevel? {
    switch t2_cpu_vector_level() {
    case 0: .sse
    case 1: .avx2
    case 2: .avx512
    default: nil
    }
  }

  private static func settleKernel() -> KernelReport {
    let cpu = processorLevel
    let wasRestarted = unsafe getenv(restartMarker) != nil
    let variable = unsafe getenv(coreTypeVariable).map { unsafe String(cString: $0) }
    let environment = wasRestarted ? nil : variable
    let before = runningKernel

    switch KernelDecision.decide(running: before, cpu: cpu, environment: environment) {
    case .keep, .respectUser: break
    case .chooseAgain: chooseKernel(nil)
    case .raise(let name): chooseKernel(name)
    }
    // Threads are our own: a product runs on the thread that asked for it.
    openblas_set_num_threads(1)

    let running = runningKernel
    let level = VectorLevel(kernel: running)
    let tooOld = if let cpu, let level, cpu.deservedKernel != nil { level < cpu } else { false }
    return KernelReport(
      running: running, deserved: cpu?.deservedKernel, raised: running != before, tooOld: tooOld,
      userChoice: environment.flatMap { $0.isEmpty ? nil : $0 })
  }

  /// Makes OpenBLAS choose again, with its variable set to `name` or unset. The variable is unset afterwards, so that
  /// children decide for themselves.
  static func chooseKernel(_ name: String?) {
    if let name { unsafe setenv(coreTypeVariable, name, 1) } else { unsafe unsetenv(coreTypeVariable) }
    _ = t2_openblas_choose_kernel()
    unsafe unsetenv(coreTypeVariable)
  }
}
