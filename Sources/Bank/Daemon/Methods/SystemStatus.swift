import Registry
import RPCProtocol
import SQLite
import StrictJSON
import SystemSupport
import WorkerProtocol

extension SystemStatus: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    reply.succeed(service.status())
  }
}

extension Service {
  /// From the snapshot and the board: answers while everything else is busy.
  func status() -> SystemStatus.Result {
    let snapshot = snapshots.get()
    let running = snapshot.jobs.filter { $0.state == .running }
    let queued = snapshot.jobs.filter { $0.state == .queued }
    let queue = Page.beginning(of: queued) { $0.row(nil) }
    let ingest = Page.beginning(of: snapshot.filesForStatus) { $0.row(directory: paths.directory($0.directory)) }
    let warnings = Page.beginning(of: board.warnings + snapshot.damageWarnings + kernelWarnings() + codeWarnings()) {
      SystemStatus.Warning(code: $0.code, message: $0.message, help: $0.help)
    }
    let leftOut = SystemStatus.LeftOut(
      queue: queue.leftOut, ingest: snapshot.ingested.count - ingest.rows.count, warnings: warnings.leftOut)
    return SystemStatus.Result(
      version: programVersion, pid: Int(ownProcessID()), uptimeSeconds: (MonotonicInstant.now - started).inSeconds,
      generation: snapshot.generation, prefix: shownPrefix, socket: paths.socket, spool: spool,
      sqlite: Connection.libraryVersion, models: snapshot.models.count, experts: snapshot.experts.count,
      tasks: snapshot.tasks.count, mixtures: snapshot.mixtures.count,
      jobs: .init(queued: queued.count, running: running.count),
      running: running.map { $0.row(board.progress(of: $0.id)) },
      queue: queue.rows, worker: workerStatus(),
      connections: counters?.connections ?? 0, memoryBytes: ProcessMemory.of()?.resident ?? 0,
      ingest: ingest.rows, files: snapshot.fileCounts, scrub: scrubStatus(damaged: snapshot.damage.count),
      warnings: warnings.rows,
      leftOut: leftOut.queue + leftOut.ingest + leftOut.warnings > 0 ? leftOut : nil)
  }

  private func scrubStatus(damaged: Int) -> SystemStatus.Scrub {
    let scrub = board.scrub
    return SystemStatus.Scrub(
      passes: scrub.passes, last: scrub.last?.description, files: scrub.files, bytes: scrub.bytes, damaged: damaged)
  }

  private func workerStatus() -> SystemStatus.Worker {
    let worker = board.worker
    let (hello, memory) = (worker.hello, worker.memory)
    return SystemStatus.Worker(
      state: worker.state.rawValue, restarts: worker.restarts, pid: hello?.pid, cores: hello?.cores,
      blas: hello.map { .init(running: $0.kernel, deserved: $0.deservedKernel, tooOld: $0.kernelTooOld) },
      code: hello?.code.map { .init(protections: $0.protections, problem: $0.problem) },
      memoryBytes: memory?.resident, memoryLimitBytes: memory.flatMap { $0.limit > 0 ? $0.limit : nil },
      models: memory?.models.map { .init(path: $0.path, bytes: $0.bytes) }, problem: worker.problem)
  }

  private func codeWarnings() -> [DaemonWarning] {
    guard let problem = board.worker.hello?.code?.problem else { return [] }
    return [
      DaemonWarning(
        code: "code", message: problem, help: "see code in t2d.conf(5); tasks whose rows are code cannot be scored")
    ]
  }

  private func kernelWarnings() -> [DaemonWarning] {
    guard let hello = board.worker.hello, hello.kernelTooOld else { return [] }
    return [
      DaemonWarning(
        code: "blas_kernel",
        message:
          "OpenBLAS runs its kernel '\(hello.kernel)', and this CPU can run '\(hello.deservedKernel)': which is much faster",
        help: "unset OPENBLAS_CORETYPE in t2d's environment, or install a newer libopenblas")
    ]
  }
}
