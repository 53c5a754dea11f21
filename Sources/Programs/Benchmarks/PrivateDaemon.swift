import Glibc
import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport

/// The `t2d` beside this program on a prefix of its own, with the model registered: for what only the whole system shows.
///
/// It ends, and its prefix goes, with the scope of ``withPrivateDaemon(_:_:)``.
struct PrivateDaemon {
  let prefix: String
  let process: ChildProcess
  let client: RPCClient

  /// The path of the `t2d` that was built with this program.
  static func program() throws -> String {
    let program = FileSystem.split(try FileSystem.ownExecutable()).directory + "/t2d"
    guard unsafe access(program, X_OK) == 0 else {
      throw BenchmarkError("'\(program)' is not there; this measures the built daemon: swift build -c release")
    }
    return program
  }

  static func path(in prefix: String) -> String { prefix + "/var/run/t2d/t2d.sock" }
  var socketPath: String { Self.path(in: prefix) }

  /// Puts a file into a watched directory as the manual advises: written under another name, then renamed.
  func drop(_ bytes: [UInt8], into directory: String, as name: String) throws {
    try FileSystem.writeAtomically("\(prefix)/var/spool/t2d/\(directory)/\(name)", bytes)
  }

  /// Registers the benchmark's model and waits until it is ready.
  func addModel(_ context: borrowing BenchmarkContext) throws {
    let model = try absolute(context.options.model)
    if let job = try client.call(ModelAdd.self, ["path": .string(model), "name": "model"]).job { try finish(job) }
  }

  /// Waits for the end of a job; one that fails is an error.
  func finish(_ job: Int64) throws {
    while true {
      let record = try client.call(JobWait.self, ["job": .integer(job), "timeout_ms": 60_000], timeout: .seconds(90))
      switch record.row.state {
      case .done: return
      case .queued, .running, .interrupted: continue
      case .failed, .cancelled:
        throw BenchmarkError("a job of the daemon did not end well: \(record.json.jsonText)")
      }
    }
  }

  /// Asks again every few milliseconds until the answer is no longer nil.
  func eventually<Value>(_ what: String, within limit: Duration, _ body: () throws -> Value?) throws -> Value {
    try Self.eventually(what, within: limit, body)
  }

  static func eventually<Value>(_ what: String, within limit: Duration, _ body: () throws -> Value?) throws -> Value {
    let deadline = Deadline.after(limit)
    while true {
      if let value = try body() { return value }
      guard !deadline.hasPassed else { throw BenchmarkError("\(what) did not come true within \(limit)") }
      _ = poll(nil, 0, 5)
    }
  }
}

/// Starts a daemon with the benchmark's model and gives it to `body`.
func withPrivateDaemon<Value>(
  _ context: borrowing BenchmarkContext, _ body: (PrivateDaemon) throws -> Value
) throws -> Value {
  context.say("  a daemon of its own, with the model")
  return try withTemporaryDirectory { prefix in
    try withDaemon(on: prefix) { daemon in
      try daemon.addModel(context)
      return try body(daemon)
    }
  }
}

/// Starts a daemon on a prefix, as it was left by the last one there.
func withDaemon<Value>(on prefix: String, _ body: (PrivateDaemon) throws -> Value) throws -> Value {
  let program = try PrivateDaemon.program()
  let log = prefix + "/t2d.log"
  // A shell only to send the log to a file; exec makes the child the daemon itself.
  let process = try ChildProcess(
    "/bin/sh", arguments: ["sh", "-c", #"exec "$0" --prefix "$1" >"$2" 2>&1"#, program, prefix, log],
    environment: ChildProcess.environment(without: ["T2D_PREFIX", "T2D_SOCKET"]), socket: nil)
  defer {
    process.signal(SIGTERM)
    _ = process.waitForExit(until: .after(.seconds(30)))
  }
  do {
    let client = try PrivateDaemon.eventually("the daemon's first answer", within: .seconds(60)) {
      if let exit = process.pollExit() { throw BenchmarkError("t2d ended with \(exit)") }
      return try? RPCClient(socketPath: PrivateDaemon.path(in: prefix))
    }
    return try body(PrivateDaemon(prefix: prefix, process: process, client: client))
  } catch {
    let tail = (try? FileSystem.readAll(log, maximumBytes: 1 << 30)).map { $0.suffix(4000) } ?? []
    throw BenchmarkError("\(error)\nthe daemon's log ends with:\n\(String(decoding: tail, as: UTF8.self))")
  }
}

/// The daemon has a working directory of its own.
private func absolute(_ path: String) throws(BenchmarkError) -> String {
  guard let resolved = unsafe realpath(path, nil) else {
    throw BenchmarkError("cannot find '\(path)'; --model names a GGUF file or a Hugging Face directory")
  }
  defer { unsafe free(resolved) }
  return unsafe String(cString: resolved)
}
