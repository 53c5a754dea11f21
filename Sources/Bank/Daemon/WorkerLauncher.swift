import Records
import StrictJSON
package import SystemSupport

/// A worker that was started: its end of the socketpair is elsewhere, ours is here.
package struct RunningWorker: Sendable {
  package var socket: FileDescriptor
  /// Nil for a double in the tests, which ends with its socket.
  package var process: ChildProcess?
  /// The most data that it may have; nil where that is not limited.
  package var memoryLimit: Int64?

  package init(socket: FileDescriptor, process: ChildProcess?, memoryLimit: Int64? = nil) {
    self.socket = socket
    self.process = process
    self.memoryLimit = memoryLimit
  }
}

/// Starts workers: the real program, or a double in the tests.
package protocol WorkerLauncher: Sendable {
  func launch() throws(SystemCallError) -> RunningWorker
}

/// Starts `t2-worker`, with the other end of a socketpair as its descriptor 3.
package struct ProgramLauncher: WorkerLauncher {
  package var executable: String
  package var arguments: [String]
  private let memoryLimit: Int64?

  /// The configured program, or the one beside our own.
  package init(_ configuration: Configuration, prefix: String) throws(SystemCallError) {
    let worker = configuration.worker
    func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : prefix + "/" + path }
    if let path = worker.path {
      executable = absolute(path)
    } else {
      executable = FileSystem.split(try FileSystem.ownExecutable()).directory + "/t2-worker"
    }
    memoryLimit = worker.memoryLimit > 0 ? worker.memoryLimit : nil
    arguments = ["t2-worker"]
    let settings = [
      ("--data-limit", worker.memoryLimit), ("--memory-budget", configuration.memoryBudget),
      ("--threads", Int64(worker.threads)),
    ]
    for (name, value) in settings where value > 0 { arguments += [name, "\(value)"] }
    if configuration.factors != .auto { arguments += ["--factors", configuration.factors.rawValue] }
    if configuration.code.isEnabled {
      var sandbox = configuration.code.sandbox
      sandbox.interpreter = absolute(sandbox.interpreter)
      arguments += ["--code", RecordWriter.json(sandbox).jsonText]
    }
  }

  package func launch() throws(SystemCallError) -> RunningWorker {
    let (ours, theirs) = try FileDescriptor.socketPair()
    // Clients' settings are not the worker's business; OPENBLAS_CORETYPE, which a user may set, is.
    let process = try ChildProcess(
      executable, arguments: arguments,
      environment: ChildProcess.environment(without: ["T2D_SOCKET", "T2D_PREFIX", "NOTIFY_SOCKET", "LISTEN_FDS"]),
      socket: theirs)
    return RunningWorker(socket: ours, process: process, memoryLimit: memoryLimit)
  }
}
