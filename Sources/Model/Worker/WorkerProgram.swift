import CLinux
import Glibc
import LinearAlgebra
import Records
import SVF
import Sandbox
import StrictJSON
import SystemSupport
import WorkerProtocol

/// `t2-worker`: started by t2d, with one end of a socketpair as descriptor 3.
///
///   t2-worker [--data-limit BYTES] [--memory-budget BYTES] [--threads N] [--factors PRECISION] [--code SETTINGS]
package enum WorkerProgram {
  private static let usage = """
    usage: t2-worker [--data-limit BYTES] [--memory-budget BYTES] [--threads N]
                     [--factors single|half] [--code SETTINGS]
    Started by t2d, which talks to it through descriptor 3; not for use by hand.

    """

  struct Options: Equatable {
    var dataLimit: Int?
    var memoryBudget: Int?
    var threads: Int?
    var factors: FactorPrecision?
    /// Code may be run, in this way.
    var code: SandboxSettings?

    /// Nil where the arguments are not understood.
    init?(_ arguments: [String]) {
      var rest = arguments[...]
      while let name = rest.popFirst() {
        guard let text = rest.popFirst() else { return nil }
        if name == "--code" {
          guard let json = try? parseJSON(Array(text.utf8)),
            let settings = try? RecordReader(unknownMembers: .refused).read(json, as: SandboxSettings.self)
          else { return nil }
          code = settings
          continue
        }
        if name == "--factors" {
          guard let precision = FactorPrecision(rawValue: text) else { return nil }
          factors = precision
          continue
        }
        guard let value = Int(text), value > 0 else { return nil }
        switch name {
        case "--data-limit": dataLimit = value
        case "--memory-budget": memoryBudget = value
        case "--threads": threads = value
        default: return nil
        }
      }
    }
  }

  /// Returns the exit status: 0 when the daemon closed the connection, 3 for wrong usage, 1 for the rest.
  package static func run(_ arguments: [String]) -> Int32 {
    guard let options = Options(Array(arguments.dropFirst())) else { return complain(usage, status: 3) }
    BLAS.restartWithDeservedKernelIfNeeded()
    guard fcntl(WorkerProtocol.descriptor, F_GETFD) >= 0 else {
      return complain("t2-worker: there is no descriptor 3; it is started by t2d, not by hand\n", status: 3)
    }
    do {
      ignoreSignal(SIGPIPE)
      var limits = ProcessLimits()
      limits.niceness = 10
      limits.batchScheduling = true
      limits.parentDeathSignal = SIGKILL
      try limits.applyToSelf()

      let connection = Connection(FileDescriptor(takingOwnershipOf: WorkerProtocol.descriptor))
      let pool = options.threads.map { ComputePool(threads: $0) } ?? .shared
      let service = try WorkerService(
        connection: connection, pool: pool, dataLimit: options.dataLimit, memoryBudget: options.memoryBudget,
        factors: options.factors, sandbox: options.code.map { Sandbox($0) })
      if let limit = options.dataLimit {
        if let needed = dataNeeded(), needed > limit {
          try connection.refuse(
            "worker.memory_limit is \(limit) bytes, and the worker has \(needed) before it has loaded anything; raise "
              + "the limit in t2d.json5")
          return 1
        }
        // When all threads have their stacks: what fails from now on is what a request or a job asks for.
        limits = ProcessLimits()
        limits.dataBytes = UInt64(limit)
        try limits.applyToSelf()
      }
      try connection.readLines { service.handle($0) }
      return 0
    } catch {
      return complain("t2-worker: \(error)\n", status: 1)
    }
  }

  /// Data of this process as RLIMIT_DATA counts it, with a little to answer by; nil where /proc does not tell.
  private static func dataNeeded() -> Int? { ProcessMemory.of().map { $0.data + 16 << 20 } }

  private static func complain(_ text: String, status: Int32) -> Int32 {
    let bytes = Array(text.utf8)
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
    return status
  }
}
