import Daemon
import Glibc
import ModelFormats
import RPCClient
import Registry
import StrictJSON
import SystemSupport
import TestSupport
import Testing
import WorkerProtocol

/// A daemon in this process, on a prefix of its own, with a worker that only pretends.
final class Harness {
  let prefix: String
  let worker: FakeWorker
  private(set) var daemon: Daemon
  private(set) var client: RPCClient
  private let log: CapturedLog

  init(prefix: String, worker: FakeWorker, configuration: Configuration, log: CapturedLog) throws {
    self.prefix = prefix
    self.worker = worker
    self.log = log
    (daemon, client) = try Self.start(prefix, worker, configuration, log)
  }

  private static func start(
    _ prefix: String, _ worker: FakeWorker, _ configuration: Configuration, _ log: CapturedLog
  ) throws -> (Daemon, RPCClient) {
    let paths = DaemonPaths(prefix: prefix, socket: configuration.socket)
    let daemon = try Daemon(
      paths: paths, configuration: configuration, launcher: worker, log: log.logger, shutDown: {})
    return (daemon, try RPCClient(socketPath: paths.socket))
  }

  /// Ends the daemon and starts it again on the same prefix.
  func restart(with configuration: Configuration = .forTests) throws {
    daemon.stop()
    (daemon, client) = try Self.start(prefix, worker, configuration, log)
  }

  func stop() { daemon.stop() }

  // MARK: - What users do

  @discardableResult
  func call(_ method: String, _ params: JSONObject = [:], file path: String? = nil) throws -> JSONValue {
    try client.call(method, params, file: try path.map { try FileDescriptor.open($0) })
  }

  /// The `kind` of the error that a call must end with.
  func refusal(_ method: String, _ params: JSONObject = [:], file path: String? = nil) throws -> String {
    let file = try path.map { try FileDescriptor.open($0) }
    do {
      let answer = try client.call(method, params, file: file)
      return "answered \(answer.jsonText)"
    } catch {
      guard case .refused(let refusal) = error else { throw error }
      return refusal.kind
    }
  }

  func sync() throws { try call("system.sync") }

  /// Puts a file under its final name at once, as a rename does.
  func drop(_ directory: String, _ name: String, _ bytes: [UInt8]) throws {
    let path = "\(prefix)/var/spool/t2d/\(directory)/\(name)"
    try FileSystem.writeAtomically(path, bytes, mode: 0o644)
  }

  func dropExpert(_ name: String, value: Float, metadata: [(key: String, value: String)] = []) throws {
    try drop("experts", name + ".safetensors", expertBytes(name, value: value, metadata: metadata))
  }

  func dropTask(_ name: String, question: String = "What do bees make?") throws {
    try drop("tasks", name + ".jsonl", taskBytes(question: question))
  }

  /// Puts the directory of a task there whole: few-shot rows and what else is given, by the names of the files.
  func dropTask(_ name: String, question: String = "What do bees make?", files: [String: [UInt8]]) throws {
    let spool = "\(prefix)/var/spool/t2d/tasks"
    try FileSystem.createDirectories("\(spool)/.\(name)")
    let all = ["fewshot.jsonl": taskBytes(question: question)].merging(files) { $1 }
    for (file, bytes) in all { try FileSystem.writeAtomically("\(spool)/.\(name)/\(file)", bytes, mode: 0o644) }
    try FileSystem.rename("\(spool)/.\(name)", to: "\(spool)/\(name)")
  }

  func dropTaskWithEval(_ name: String, question: String = "What do bees make?") throws {
    try dropTask(name, question: question, files: ["eval.jsonl": taskBytes(question: "And " + question)])
  }

  /// Registers a model named `tiny` and waits until it is ready.
  func addModel(_ name: String = "tiny", content: String = "GGUF tiny") throws {
    let path = "\(prefix)/\(name).gguf"
    try FileSystem.writeAtomically(path, Array(content.utf8), mode: 0o644)
    let added = try call("model.add", ["path": .string(path), "name": .string(name)])
    if let job = added["job"] { #expect(try wait(job)["state"] == "done") }
  }

  @discardableResult
  func wait(_ job: JSONValue) throws -> JSONValue {
    try call("job.wait", ["job": job, "timeout_ms": 20_000])
  }

  /// Syncs and waits for the search of a task that follows; returns the mixture.
  func settledMixture(_ task: String) throws -> JSONValue {
    try sync()
    try wait(try newestSearch(task))
    return try call("mixture.get", ["task": .string(task)])
  }

  /// The number of the newest search of a task, whatever has become of it.
  func newestSearch(_ task: String) throws -> JSONValue {
    let jobs = try call("task.show", ["task": .string(task)])["jobs"]?.arrayValue ?? []
    return try #require(jobs.first { $0["kind"] == "adapt" }?["job"])
  }

  /// Asks until it is so; each question takes a turn of the daemon's.
  func until(_ what: String, _ isSo: () throws -> Bool) throws {
    let deadline = Deadline.after(.seconds(20))
    while try !isSo() {
      try #require(!deadline.hasPassed, "\(what) did not come")
      _ = poll(nil, 0, 5)
    }
  }

  func ingestState(of file: String) throws -> String? {
    let rows = try call("system.status")["ingest"]?.arrayValue ?? []
    return rows.first { $0["path"]?.stringValue?.hasSuffix("/" + file) == true }?["state"]?.stringValue
  }
}

func expertBytes(
  _ name: String, value: Float, metadata: [(key: String, value: String)] = [], count: Int = 4
) -> [UInt8] {
  let given: [(key: String, value: String)] = [
    ("t2.format", "t2-expert"), ("t2.version", "1"), ("t2.name", name), ("t2.param_space", "multiplier"),
    ("t2.rescale", "none"), ("t2.max_mult", "2"),
  ]
  let entries = given.filter { entry in !metadata.contains { $0.key == entry.key } } + metadata
  return safetensorsBytes(
    tensors: TinyModel.targets.map {
      SafetensorsTensor(name: $0.name, shape: [count], values: (0..<count).map { value + Float($0) / 16 })
    }, metadata: entries)
}

func taskBytes(question: String) -> [UInt8] {
  let rows = ["A", "B", "C", "D"].map { letter in
    #"{"question":"\#(letter): \#(question)","choices":{"text":["Honey \#(letter)","Milk"],"label":["A","B"]},"answerKey":"A"}"#
  }
  return Array(rows.joined(separator: "\n").utf8)
}

extension Configuration {
  /// Quiet times that no test waits for.
  static var forTests: Configuration {
    var configuration = Configuration()
    configuration.debounce.quiet = .milliseconds(10)
    configuration.debounce.limit = .milliseconds(100)
    return configuration
  }
}

/// The log, so that a test can show it when it fails.
final class CapturedLog: Sendable {
  private let bytes = Mutex<[UInt8]>([])
  var text: String { bytes.withLock { String(decoding: $0, as: UTF8.self) } }
  var logger: Logger { Logger(threshold: .debug, journal: false) { line in self.bytes.withLock { $0 += line } } }
}

/// Runs `body` with a daemon on a temporary prefix; afterwards it is stopped. A warning or an error in its log fails the
/// test unless it is one of `logged`, parts of lines that must be there; so does what it leaves: an open descriptor, a
/// file that is not the store's, and in staging what is none of `leaves`, the beginnings of names that must be there.
func withDaemon(
  _ worker: FakeWorker = FakeWorker(), configuration: Configuration = .forTests, logged: [String] = [],
  leaves: [String] = [], sourceLocation: SourceLocation = #_sourceLocation, _ body: (Harness) throws -> Void
) throws {
  try withTemporaryDirectory { prefix in
    let log = CapturedLog()
    do {
      let harness = try Harness(prefix: prefix, worker: worker, configuration: configuration, log: log)
      defer { harness.stop() }
      try body(harness)
    } catch {
      Issue.record(error, "the daemon's log:\n\(log.text)", sourceLocation: sourceLocation)
    }
    for fault in Leftovers.faults(ofLog: log.text, expected: logged) {
      Issue.record("\(fault)", sourceLocation: sourceLocation)
    }
    // The last of its threads may still hold the daemon, which closes what it has open when nobody does.
    let deadline = Deadline.after(.seconds(10))
    var open = try Leftovers.descriptors(below: prefix)
    while !open.isEmpty, !deadline.hasPassed {
      _ = poll(nil, 0, 10)
      open = try Leftovers.descriptors(below: prefix)
    }
    #expect(open.isEmpty, "open after the daemon's end", sourceLocation: sourceLocation)
    let unfinished = try stagedByUnfinishedJobs(DaemonPaths(prefix: prefix, socket: configuration.socket))
    let files = try Leftovers.files(ofPrefix: prefix).filter { !unfinished.contains($0) }
    let staging = prefix + "/var/lib/t2d/staging/"
    let strange = files.filter { file in !leaves.contains { file.hasPrefix(staging + $0) } }
    #expect(strange.isEmpty, "left by the daemon", sourceLocation: sourceLocation)
    for name in leaves {
      #expect(files.contains { $0.hasPrefix(staging + name) }, "staging", sourceLocation: sourceLocation)
    }
  }
}

/// What jobs were making that had not ended with the daemon: they run again, and its next start empties staging.
private func stagedByUnfinishedJobs(_ paths: DaemonPaths) throws -> Set<String> {
  let catalogue = try Catalogue(
    path: paths.catalogue, store: paths.store, now: Timestamp(milliseconds: 1))
  defer { catalogue.close() }
  return Set(
    try catalogue.liveJobs().compactMap { job in
      job.spec(as: AdaptSpec.self)?.vectorsPath ?? job.spec(as: TrainSpec.self)?.expertPath
    })
}
