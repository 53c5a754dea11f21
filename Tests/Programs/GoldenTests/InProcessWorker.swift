import Daemon
import LinearAlgebra
import SystemSupport
@testable import Worker

/// The worker's own service on threads of this process, as `t2-worker` runs it: what jobs find is computed.
struct InProcessWorker: WorkerLauncher {
  func launch() throws(SystemCallError) -> RunningWorker {
    let (ours, theirs) = try FileDescriptor.socketPair()
    let connection = Connection(theirs)
    // One thread: on a model this small the others would only be waited for.
    let service = try WorkerService(
      connection: connection, pool: ComputePool(threads: 1), limits: MemoryLimits(budget: 2 << 30, machine: 1 << 34),
      sandbox: nil)
    _ = try OwnedThread(name: "worker") {
      // It ends as the program does, when the daemon closes the socket.
      try? connection.readLines { service.handle($0) }
      service.stop()
    }
    return RunningWorker(socket: ours, process: nil)
  }
}

/// A worker that cannot be started.
struct NoWorker: WorkerLauncher {
  func launch() throws(SystemCallError) -> RunningWorker {
    throw SystemCallError("start", "/prefix/t2-worker", number: 2, hint: "is it installed?")
  }
}

/// A worker that never says a word: it stays `starting`, what is queued stays queued.
final class SilentWorker: WorkerLauncher {
  private let theirs = Mutex<FileDescriptor?>(nil)

  func launch() throws(SystemCallError) -> RunningWorker {
    let (ours, theirs) = try FileDescriptor.socketPair()
    // Kept open until the daemon has ended.
    self.theirs.withLock { $0 = theirs }
    return RunningWorker(socket: ours, process: nil)
  }
}
