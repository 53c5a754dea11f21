package import SystemSupport

/// Why a program could not be run; what a program does itself is a `SandboxRun`.
package enum SandboxError: Error, Sendable, Equatable, CustomStringConvertible {
  /// t2-sandbox, beside t2-worker.
  case noHelper(path: String)
  case noInterpreter(path: String)
  case missingProtections([SandboxProtection])
  /// What t2-sandbox could not do.
  case setUp(step: String, SystemCallError?)
  case system(SystemCallError)
  /// t2-sandbox ended without a word.
  case noReport(exit: String)
  case stopped

  package var description: String {
    switch self {
    case .noHelper(let path):
      "code cannot be run: there is no program '\(path)'; it is built and installed beside t2-worker"
    case .noInterpreter(let path):
      "code cannot be run: there is no interpreter '\(path)'; install python3, or set code.interpreter in t2d.json5 to one "
        + "that every user may run"
    case .missingProtections(let missing):
      "code is not run: the configuration requires \(missing.map(\.rawValue).joined(separator: ", ")), which this system "
        + "does not give; see code.require in t2d.conf(5)"
    case .setUp(let step, let error?): "code cannot be run: the sandbox cannot \(step): \(error.text) (\(error.name))"
    case .setUp(let step, nil): "code cannot be run: the sandbox cannot \(step); see code in t2d.conf(5)"
    case .system(let error): "code cannot be run: \(error)"
    case .noReport(let exit): "code cannot be run: t2-sandbox ended with \(exit) and said nothing"
    case .stopped: "the program was stopped"
    }
  }
}
