package import RPCClient
package import SystemSupport

/// Why a verb did not do what it was asked to, and with which status t2ctl ends.
package enum ControlError: Error, Equatable, CustomStringConvertible {
  /// Nothing was sent.
  case usage(String, hint: String?)
  case client(RPCClientError)
  /// A file here, not at the daemon.
  case file(SystemCallError)
  case failed(String)
  /// The checked thing is bad.
  case bad(String)
  /// The time for waiting is up; what was started goes on.
  case timedOut(String)
  case interrupted(String)

  package var status: Int32 {
    switch self {
    case .client(.refused), .file, .failed: 1
    case .client(.timedOut), .timedOut: 4
    case .client: 2
    case .usage: 3
    case .bad: 5
    case .interrupted: 130
    }
  }

  package var description: String {
    switch self {
    case .usage(let problem, let hint): hint.map { "\(problem)\n\($0)" } ?? problem
    case .client(let error): error.description
    case .file(let error): error.description
    case .failed(let text), .bad(let text), .timedOut(let text), .interrupted(let text): text
    }
  }
}
