import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// The real `t2d` on a private prefix, seen as its users see it: a socket, two directories and a command line.
///
/// The programs are those that were built with the tests. The log is a file in the prefix, shown when a test fails. What
/// the daemon, its worker and the sandbox make for a while lies in `tmp` of the prefix.
final class RunningDaemon {
  let prefix: String
  private(set) var process: ChildProcess
  private let binaries: String
  /// What it had open when it had just started and nobody was connected, by kind.
  private var freshDescriptors: [String: Int] = [:]

  var socketPath: String { prefix + "/var/run/t2d/t2d.sock" }
  var logPath: String { prefix + "/t2d.log" }

  /// The command under which it runs, such as one that gives it a namespace.
  private let under: [String]

  /// `configuration` is the text of its t2d.json5.
  init(prefix: String, configuration: String? = nil, under: [String] = []) throws {
    self.prefix = prefix
    self.under = under
    // The sandbox's user goes through both to its own directory.
    try FileSystem.createDirectories("\(prefix)/tmp")
    for path in [prefix, prefix + "/tmp"] { try systemCall("chmod", path) { unsafe chmod(path, 0o711) } }
    if let configuration {
      try FileSystem.createDirectories("\(prefix)/etc/t2d")
      try FileSystem.writeAtomically("\(prefix)/etc/t2d/t2d.json5", Array(configuration.utf8))
    }
    binaries = try builtPrograms()
    process = try Self.start(prefix: prefix, binaries: binaries, under: under)
    try waitUntilItAnswers()
    try lookAtFreshDescriptors()
  }

  private static func start(prefix: String, binaries: String, under: [String]) throws -> ChildProcess {
    // A shell only to send the log to a file; exec makes the child the daemon itself.
    try ChildProcess(
      "/bin/sh",
      arguments: ["sh", "-c", #"log="$0/t2d.log"; exec "$@" >>"$log" 2>&1"#, prefix] + under
        + [binaries + "/t2d", "--prefix", prefix],
      // By the second one its worker is found again, whoever is its parent.
      environment: ChildProcess.environment(without: ["T2D_PREFIX", "T2D_SOCKET", "TMPDIR"])
        + ["TMPDIR=\(prefix)/tmp", "T2D_TEST_OF=\(prefix)"],
      socket: nil)
  }

  func waitUntilItAnswers() throws {
    try eventually("t2d answers on \(socketPath)", within: .seconds(30)) {
      if let exit = process.pollExit() { throw Failure("t2d ended with \(exit); its log:\n\(log)") }
      guard let client = try? RPCClient(socketPath: socketPath, timeout: .seconds(10)) else { return false }
      return (try? client.call("system.hello")) != nil
    }
  }

  func client() throws -> RPCClient { try RPCClient(socketPath: socketPath, timeout: .seconds(600)) }

  /// SIGTERM, and the code with which the daemon ended.
  func stop() throws -> ChildProcess.Exit? {
    process.signal(SIGTERM)
    return process.waitForExit(until: .after(.seconds(60)))
  }

  func kill() {
    process.signal(SIGKILL)
    _ = process.waitForExit(until: .after(.seconds(30)))
  }

  func restart() throws {
    try start()
    try waitUntilItAnswers()
    try lookAtFreshDescriptors()
  }

  /// Starts it and waits for nothing.
  func start(under command: [String]? = nil) throws {
    process = try Self.start(prefix: prefix, binaries: binaries, under: command ?? under)
  }

  /// What `t2d fsck` says of the store, and how it ended.
  func fsck() throws -> (output: String, exit: ChildProcess.Exit?) { try run("t2d", ["fsck", "--prefix", prefix]) }

  /// Makes the store again from a backup; no daemon runs.
  func restore(_ file: String) throws -> (output: String, exit: ChildProcess.Exit?) {
    try run("t2d", ["restore", file, "--prefix", prefix])
  }

  // MARK: - Its end

  /// By kind; the files of the store that it serves from are as many as there are mixtures and experts.
  private var descriptors: [String: Int] {
    Leftovers.descriptors(of: process.processID).filter { !$0.key.hasPrefix(prefix + "/var/lib/t2d/blobs/") }
  }

  /// With a worker, and without the connection that asks for it.
  private func lookAtFreshDescriptors() throws {
    try eventually("t2d has a worker", within: .seconds(60)) {
      try client().call("system.status")["worker"]?["pid"]?.integerValue != nil
    }
    var last: [String: Int] = [:]
    try eventually("t2d has the same descriptors open for a while", within: .seconds(60)) {
      defer { last = descriptors }
      return last == descriptors
    }
    freshDescriptors = last
  }

  /// Ends the daemon where it runs, and gives what is wrong with what it leaves; `logged` are parts of the warnings and
  /// errors that its log must have.
  func faultsOfEnd(logged: [String]) throws -> [String] {
    var faults: [String] = []
    func wait(_ fault: (String) -> String, until none: () throws -> [String]) rethrows {
      let deadline = Deadline.after(.seconds(10))
      var found = try none()
      while !found.isEmpty, !deadline.hasPassed {
        _ = poll(nil, 0, 20)
        found = try none()
      }
      faults += found.map(fault)
    }
    if process.pollExit() == nil {
      // The server learns of the end of a connection a moment later.
      wait({ "t2d has more open than when it was fresh: \($0)" }) {
        descriptors.filter { $0.value > freshDescriptors[$0.key] ?? 0 }.map {
          "\($0.value) of \($0.key), then \(freshDescriptors[$0.key] ?? 0)"
        }.sorted()
      }
      let exit = try stop()
      if exit != .code(0) { faults.append("t2d ended with \(exit.map { "\($0)" } ?? "nothing, within a minute")") }
    }
    try wait({ "a process is left: \($0)" }) { try Leftovers.processes(naming: prefix) }
    faults += try Leftovers.files(ofPrefix: prefix).map { "a file is left: \($0)" }
    return faults + Leftovers.faults(ofLog: wholeLog, expected: logged)
  }

  private var wholeLog: String {
    String(decoding: (try? FileSystem.readAll(logPath, maximumBytes: 1 << 26)) ?? [], as: UTF8.self)
  }

  /// Its end, for messages.
  var log: String { wholeLog.isEmpty ? "(no log)" : String(decoding: wholeLog.utf8.suffix(20_000), as: UTF8.self) }

  /// Puts bytes into a watched directory as the manual advises: another name, then a rename.
  func drop(_ bytes: [UInt8], _ directory: String, _ name: String) throws {
    try FileSystem.writeAtomically("\(prefix)/var/spool/t2d/\(directory)/\(name)", bytes)
  }

  /// Runs `t2ctl` with the arguments and gives what it wrote to stdout, and how it ended.
  func t2ctl(_ arguments: String...) throws -> (output: String, exit: ChildProcess.Exit?) {
    try run("t2ctl", ["--prefix", prefix] + arguments)
  }

  private func run(_ program: String, _ arguments: [String]) throws -> (output: String, exit: ChildProcess.Exit?) {
    let output = "\(prefix)/\(program).out"
    let child = try ChildProcess(
      "/bin/sh",
      arguments: [
        "sh", "-c", #"out=$1; shift; exec "$0" "$@" >"$out" 2>>"$out.err""#, "\(binaries)/\(program)", output,
      ]
        + arguments,
      environment: ChildProcess.environment(without: ["T2D_PREFIX", "T2D_SOCKET"]), socket: nil)
    let exit = child.waitForExit(until: .after(.seconds(900)))
    return (String(decoding: try FileSystem.readAll(output, maximumBytes: 1 << 26), as: UTF8.self), exit)
  }

  /// Waits for a job's end and gives its record; a job that did not end well is a failure with its error.
  @discardableResult
  func finish(_ job: Int64, within limit: Duration = .seconds(900)) throws -> JSONObject {
    let client = try client()
    let deadline = Deadline.after(limit)
    while !deadline.hasPassed {
      let record = try client.call("job.wait", ["job": .integer(job), "timeout_ms": 30_000])
      switch record.objectValue?["state"]?.stringValue {
      case "done"?: return record.objectValue ?? [:]
      case "failed"?, "cancelled"?: throw Failure("job \(job) ended as \(record.jsonText)\n\(log)")
      default: continue
      }
    }
    throw Failure("job \(job) did not end within \(limit)\n\(log)")
  }
}

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A daemon on a new prefix; afterwards it is stopped, and the prefix is gone. A warning or an error in its log that is
/// none of `logged` fails the test, and so does what it leaves: a descriptor, a process, a file that is not the store's.
func withDaemon(
  configuration: String? = nil, logged: [String] = [], sourceLocation: SourceLocation = #_sourceLocation,
  _ body: (RunningDaemon) throws -> Void
) throws {
  try withTemporaryDirectory { prefix in
    let daemon = try RunningDaemon(prefix: prefix, configuration: configuration)
    defer { if daemon.process.pollExit() == nil { daemon.kill() } }
    do {
      try body(daemon)
    } catch {
      throw Failure("\(error)\nthe daemon's log:\n\(daemon.log)")
    }
    for fault in try daemon.faultsOfEnd(logged: logged) { Issue.record("\(fault)", sourceLocation: sourceLocation) }
  }
}

/// Asks again, each time after a wait on nothing but the clock of poll(2), until it holds.
func eventually(_ claim: String, within limit: Duration, _ holds: () throws -> Bool) throws {
  let deadline = Deadline.after(limit)
  while try !holds() {
    guard !deadline.hasPassed else { throw Failure("did not come true within \(limit): \(claim)") }
    _ = poll(nil, 0, 20)
  }
}

/// Where the test bundle lies, and the programs beside it.
func builtPrograms() throws -> String {
  var buffer = [CChar](repeating: 0, count: 4096)
  let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
  guard length > 0 else { throw Failure("cannot read /proc/self/exe") }
  let path = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  let directory = FileSystem.split(path).directory
  for program in ["t2d", "t2-worker", "t2-sandbox", "t2ctl"] where unsafe access("\(directory)/\(program)", X_OK) != 0 {
    throw Failure("'\(directory)/\(program)' is not there; the end-to-end tests run the built programs")
  }
  return directory
}

func environment(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }
/// The real base model, where etc/test has fetched it.
let realModel = environment("T2D_TEST_MODEL")
let longSweeps = environment("T2D_TEST_ALL") != nil
