import Glibc
import SystemSupport

/// Runs programs that nobody has read, one process each, and says how they ended.
///
/// The work is done by the small program `t2-sandbox` and not by a fork of this process: between fork and exec a process
/// with threads may call almost nothing (man 7 signal-safety), and a copy of a worker's page tables is not cheap. What it
/// holds programs with is `SandboxProtection`; what the kernel does not offer is missing in the run's list, and the run is
/// refused where the settings require it.
///
/// Not promised: that a fault of the kernel, or of the processor, cannot be reached from a program; that it cannot see how
/// long things take; that two runs take the same time.
package struct Sandbox: Sendable {
  package let settings: SandboxSettings
  private let helper: String?
  private let omitted: [SandboxProtection]

  /// `helper` is the program t2-sandbox, beside our own by default. Nothing is looked at before a program is run. Only
  /// tests omit a protection: they see so what the others hold by themselves.
  package init(_ settings: SandboxSettings, helper: String? = nil, omitting omitted: [SandboxProtection] = []) {
    self.settings = settings
    self.helper = helper
    self.omitted = omitted
  }

  /// The protections that are in force here; throws where nothing could be run.
  package func probe() throws(SandboxError) -> [SandboxProtection] {
    let run = try run("")
    guard run.outcome == .passed else {
      throw .setUp(step: "run an empty program: '\(settings.interpreter)' \(run.outcome.phrase) \(run.lastLine)", nil)
    }
    return run.protections
  }

  /// Runs a program's text and waits for its end, at most the settings' timeout; `shouldStop` is asked ten times a second.
  ///
  /// Blocks its thread. Any number may run at once, each in a directory of its own that is gone afterwards.
  package func run(_ program: String, shouldStop: () -> Bool = { false }) throws(SandboxError) -> SandboxRun {
    do {
      let helper = try helper ?? FileSystem.split(try FileSystem.ownExecutable()).directory + "/t2-sandbox"
      guard try FileSystem.status(helper, followingLinks: true) != nil else {
        throw SandboxError.noHelper(path: helper)
      }
      return try withTemporaryDirectory { directory in
        // Open to be passed through: the program may be another user. Its name says nothing, and it cannot be listed.
        try systemCall("chmod", directory) { unsafe chmod(directory, 0o711) }
        let file = try FileDescriptor.open("\(directory)/program", O_WRONLY | O_CREAT | O_EXCL)
        try file.write(all: Array(program.utf8))
        try systemCall("chmod") { fchmod(file.number, 0o444) }
        try file.close()
        try FileSystem.createDirectories("\(directory)/work", mode: 0o700)
        return try run(with: helper, in: directory, shouldStop)
      }
    } catch {
      throw Self.wrapped(error)
    }
  }

  private static func wrapped(_ error: any Error) -> SandboxError {
    switch error {
    case let error as SandboxError: error
    case let error as SystemCallError: .system(error)
    default: .setUp(step: "make a directory: \(error)", nil)
    }
  }

  private func run(with helper: String, in directory: String, _ shouldStop: () -> Bool) throws -> SandboxRun {
    func list(_ protections: [SandboxProtection]) -> String {
      protections.isEmpty ? "-" : protections.map(\.rawValue).joined(separator: ",")
    }
    let (ours, theirs) = try FileDescriptor.socketPair()
    // A child that is dropped while it runs is killed, and the program with it.
    let child = try ChildProcess(
      helper,
      arguments: [
        "t2-sandbox", directory, settings.interpreter, settings.user,
        "\(settings.timeout.inNanoseconds / 1_000_000)", "\(settings.memoryBytes)", list(settings.required),
        list(omitted),
      ], environment: [], socket: theirs)
    try theirs.close()
    let epoll = try Epoll()
    try epoll.add(ours, .read, token: 0)
    var report: [UInt8] = []
    while true {
      guard !shouldStop() else {
        // It ends the program at this, in good order.
        try ours.close()
        _ = child.waitForExit(until: .after(.seconds(20)))
        throw SandboxError.stopped
      }
      guard try epoll.wait(milliseconds: 100, { _, _ in }) > 0 else { continue }
      let bytes = try ours.read(upTo: 1 << 16)
      if bytes.isEmpty { break }
      report += bytes
    }
    let exit = child.waitForExit()
    guard let line = report.firstIndex(of: UInt8(ascii: "\n")) else {
      throw SandboxError.noReport(exit: exit.map { "\($0)" } ?? "nothing")
    }
    return try Self.read(
      String(decoding: report[..<line], as: UTF8.self), String(decoding: report[(line + 1)...], as: UTF8.self),
      settings)
  }

  /// The report of t2-sandbox: its first line, and what follows.
  static func read(_ line: String, _ text: String, _ settings: SandboxSettings) throws(SandboxError) -> SandboxRun {
    let words = line.split(separator: " ")
    guard words.count == 5, let number = Int32(words[1]), let milliseconds = Int(words[2]),
      let kilobytes = Int(words[3])
    else { throw .noReport(exit: "the line '\(escaped(line, limit: 256))'") }
    let protections = words[4].split(separator: ",").compactMap { SandboxProtection(rawValue: String($0)) }
    var run = SandboxRun(
      outcome: .passed, output: text, protections: protections, processorTime: .milliseconds(milliseconds),
      peakBytes: kilobytes << 10)
    switch words[0] {
    case "exit" where number == 0: break
    case "exit": run.outcome = run.lastLine.hasPrefix("MemoryError") ? .outOfMemory : .failed(code: number)
    case "timeout": run.outcome = .timedOut
    case "signal":
      run.outcome =
        switch number {
        case SIGSYS: .forbidden
        case SIGXCPU: .timedOut
        default: .killed(signal: number)
        }
    case "missing": throw .missingProtections(protections)
    case "failed" where text == "start the interpreter" && number == ENOENT:
      throw .noInterpreter(path: settings.interpreter)
    case "failed": throw .setUp(step: text, number == 0 ? nil : SystemCallError(text, number: number))
    default: throw .noReport(exit: "the line '\(escaped(line, limit: 256))'")
    }
    return run
  }
}
