/// How one program ended, what it wrote, and what held it meanwhile.
package struct SandboxRun: Sendable, Equatable {
  package enum Outcome: Sendable, Equatable {
    case passed
    /// It ended by itself, with another code than 0.
    case failed(code: Int32)
    case timedOut
    case outOfMemory
    /// It tried a system call that is not allowed.
    case forbidden
    case killed(signal: Int32)

    /// For results, and for other programs that read them.
    package var name: String {
      switch self {
      case .passed: "passed"
      case .failed: "failed"
      case .timedOut: "timed_out"
      case .outOfMemory: "out_of_memory"
      case .forbidden: "forbidden"
      case .killed: "killed"
      }
    }

    /// For people, after "the program".
    package var phrase: String {
      switch self {
      case .passed: "ended well"
      case .failed(let code): "ended with code \(code)"
      case .timedOut: "took too long"
      case .outOfMemory: "needed too much memory"
      case .forbidden: "tried what is forbidden: a socket, a process, or a call that changes the system"
      case .killed(let signal): "was ended by signal \(signal)"
      }
    }
  }

  package var outcome: Outcome
  /// The end of what it wrote to stdout and stderr, at most 64 KB.
  package var output: String
  /// In force while it ran.
  package var protections: [SandboxProtection]
  package var processorTime: Duration
  /// The most memory that it had, in bytes.
  package var peakBytes: Int

  package init(
    outcome: Outcome, output: String, protections: [SandboxProtection], processorTime: Duration, peakBytes: Int
  ) {
    self.outcome = outcome
    self.output = output
    self.protections = protections
    self.processorTime = processorTime
    self.peakBytes = peakBytes
  }

  /// The last line that says something: of a Python traceback the error.
  package var lastLine: String {
    output.split(whereSeparator: \.isNewline).last { $0.contains { !$0.isWhitespace } }.map(String.init) ?? ""
  }
}
