package import RPCProtocol
package import SystemSupport

/// Why a call has no result. `description` is for people.
package enum RPCClientError: Error, Equatable, CustomStringConvertible {
  /// There is no socket at the path (ENOENT).
  case notRunning(path: String)
  /// There is a socket, and nobody behind it (ECONNREFUSED).
  case stale(path: String)
  case noPermission(path: String)
  case pathTooLong(path: String, bytes: Int)
  case timedOut(waitingFor: String, after: Duration)
  /// The daemon closed the connection before it answered.
  case closed(waitingFor: String)
  /// What came is not an answer.
  case notAnAnswer(String)
  /// The answer is one, and not what the method is declared to answer.
  case unreadable(method: String, problem: String)
  case system(SystemCallError)
  /// The daemon's own error.
  case refused(RPCError)

  package var description: String {
    switch self {
    case .notRunning(let path):
      "cannot connect to '\(escaped(path))': there is no such socket. Is t2d running? Start it with the same --prefix, "
        + "or name its socket with --socket"
    case .stale(let path):
      "cannot connect to '\(escaped(path))': nobody answers there; t2d has ended without removing its socket. Start it "
        + "again: it takes the path over"
    case .noPermission(let path):
      "cannot connect to '\(escaped(path))': permission denied. Become a member of the group that owns the socket, or "
        + "run this as the daemon's user"
    case .pathTooLong(let path, let bytes):
      "the socket path '\(escaped(path, limit: 160))' has \(bytes) bytes, and a Unix socket's at most 107"
    case .timedOut(let what, let duration):
      "no answer to \(what) within \(duration); --timeout sets how long to wait"
    case .closed(let what):
      "the daemon closed the connection before it answered \(what); its log says why"
    case .notAnAnswer(let problem): "what came is not an answer of t2d: \(problem)"
    case .unreadable(let method, let problem):
      "t2d's answer to \(method) cannot be read: \(problem). t2ctl and t2d are of different versions, perhaps; compare "
        + "'t2ctl --version' with what 't2ctl rpc system.hello' says"
    case .system(let error): error.description
    case .refused(let error): error.description
    }
  }
}
