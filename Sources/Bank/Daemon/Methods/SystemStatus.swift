import Registry
import RPCProtocol
import RPCServer
import SQLite
import StrictJSON
import SystemSupport
import WorkerProtocol

extension SystemStatus: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    reply.succeed(.object(service.status()))
  }
}

extension Service {
  /// From the snapshot and the board: answers while everything else is busy.
  func status() -> JSONObject {
    let snapshot = snapshots.get()
    let running = snapshot.jobs.filter { $0.state == .running }
    let queued = snapshot.jobs.filter { $0.state == .queued }
    return [
      "version": .string(programVersion), "pid": JSONValue(Int(ownProcessID())),
      "uptime_seconds": .number((MonotonicInstant.now - started).inSeconds),
      "generation": .integer(snapshot.generation),
      "prefix": .string(shownPrefix), "socket": .string(paths.socket), "spool": spool,
      "sqlite": .string(Connection.libraryVersion), "models": JSONValue(snapshot.models.count),
      "experts": JSONValue(snapshot.experts.count), "tasks": JSONValue(snapshot.tasks.count),
      "mixtures": JSONValue(snapshot.mixtures.count),
      "jobs": ["queued": JSONValue(queued.count), "running": JSONValue(running.count)],
      "running": .array(running.map { .object($0.json(board.progress(of: $0.id), full: false)) }),
      "queue": .array(queued.map { .object($0.json(nil, full: false)) }),
      "worker": workerStatus(), "connections": JSONValue(counters?.connections ?? 0),
      "memory_bytes": JSONValue(ProcessMemory.of()?.resident ?? 0),
      "ingest": .array(snapshot.ingested.map { .object($0.json(directory: paths.directory($0.directory))) }),
      "warnings": .array(
        (board.warnings + kernelWarnings() + codeWarnings()).map {
          ["code": .string($0.code), "message": .string($0.message), "help": .string($0.help)]
        }),
    ]
  }

  private func workerStatus() -> JSONValue {
    let worker = board.worker
    var row: JSONObject = ["state": .string(worker.state.rawValue), "restarts": JSONValue(worker.restarts)]
    if let hello = worker.hello {
      row["pid"] = JSONValue(hello.pid)
      row["cores"] = JSONValue(hello.cores)
      row["blas"] = [
        "running": .string(hello.kernel), "deserved": .string(hello.deservedKernel),
        "too_old": .bool(hello.kernelTooOld),
      ]
      row["code"] = hello.code?.json
    }
    if let memory = worker.memory {
      row["memory_bytes"] = .integer(memory.resident)
      if memory.limit > 0 { row["memory_limit_bytes"] = .integer(memory.limit) }
      row["models"] = .array(memory.models.map { ["path": .string($0.path), "bytes": .integer($0.bytes)] })
    }
    if let problem = worker.problem { row["problem"] = .string(problem) }
    return .object(row)
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
