package import Registry
package import RPCServer
package import SystemSupport

/// Why the daemon does not start.
package enum DaemonError: Error, CustomStringConvertible {
  case usage(String)
  case configuration(ConfigurationError)
  case files(SystemCallError)
  case unsafeState(String)
  case alreadyRunning(pid: String?, prefix: String)
  case store(RegistryError)
  case damagedBackup(file: String, problem: String)
  case socket(RPCServerError)

  package var description: String {
    switch self {
    case .usage(let text): text
    case .configuration(let error): error.description
    case .files(let error): error.description
    case .unsafeState(let text): text
    case .alreadyRunning(let pid, let prefix):
      "another t2d\(pid.map { " (pid \($0))" } ?? "") is running with the prefix '\(prefix)'; "
        + "stop it with 't2ctl --prefix \(prefix) rpc system.shutdown', or name another --prefix"
    case .store(let error): error.description
    case .damagedBackup(let file, let problem):
      "the backup '\(escaped(file, limit: 256))' is damaged: \(problem); nothing was restored from it"
    case .socket(let error): error.description
    }
  }

  /// The numbers of sysexits.h, as t2d(8) lists them.
  package var exitCode: Int32 {
    switch self {
    case .usage: 64
    case .configuration: 78
    case .files, .unsafeState, .socket: 73
    case .alreadyRunning: 75
    case .damagedBackup: 65
    case .store(let error): error.isOfNewerProgram ? 78 : error.isDamage ? 65 : 73
    }
  }
}
