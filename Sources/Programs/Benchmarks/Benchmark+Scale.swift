import Glibc
import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport

extension Benchmark {
  static let scale = Benchmark(
    name: "scale", summary: "what one more costs beside 10, 1,000 and 10,000 experts, against a bank of two",
    run: measureScale)
}

/// One bank that grows beside one that stays as it was, so that each size is measured in turns with the least. In between
/// files are dropped all at once, while a client goes on asking.
private func measureScale(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let files = try context.options.expertFiles.map { try FileSystem.readAll($0, maximumBytes: 1 << 26) }
  let small = try SmallExpert(of: files[0])
  let task = try FileSystem.readAll(context.options.task ?? BenchmarkOptions.standardTask, maximumBytes: 1 << 26)
  return try withTemporaryDirectory { directory in
    let (prefix, least) = (directory + "/bank", directory + "/least")
    context.say("  a bank of two experts and one mixture")
    try FileSystem.createDirectories(prefix, mode: 0o700)
    try withDaemon(on: prefix) { try prepare($0, context, files, task: task) }
    try copyTree(prefix, to: least)
    var results: [Measurement] = []
    var count = 2
    for size in context.options.scaleSizes where size > count {
      context.say("  \(size) experts")
      try withDaemon(on: prefix) { daemon in
        results += try drop(count..<size, of: small, into: daemon, named: "to \(size)")
      }
      results += try costs(of: prefix, size, "of \(size)", beside: least, files[0], context)
      count = size
    }
    context.say("  the end beside 20,000 files that wait")
    results.append(try measureEnd(prefix))
    if context.options.isLarge {
      context.say("  100,000 experts, 1,000 tasks, 1,000,000 events, written into the catalogue")
      try writeLargeBank(prefix, task: task)
      results += try costs(of: prefix, 100_000, "of 100,000 and 1,000 tasks", beside: least, files[0], context)
    }
    return results
  }
}

private func copyTree(_ path: String, to copy: String) throws {
  let process = try ChildProcess(
    "/bin/cp", arguments: ["cp", "-a", path, copy], environment: ChildProcess.environment(without: []), socket: nil)
  guard case .code(0)? = process.waitForExit(until: .after(.seconds(600))) else {
    throw BenchmarkError("cannot copy '\(path)' to '\(copy)'")
  }
}

/// Two experts, and a task with a mixture of just those, so that no other expert makes it stale.
private func prepare(
  _ daemon: PrivateDaemon, _ context: borrowing BenchmarkContext, _ files: [[UInt8]], task: [UInt8]
) throws {
  try daemon.addModel(context)
  for (index, file) in files.prefix(2).enumerated() {
    try daemon.drop(file, into: "experts", as: "expert\(index).safetensors")
  }
  try daemon.client.call(SystemSync.self, timeout: .seconds(60))
  let names = try daemon.client.call(ExpertList.self).experts.map { JSONValue.string($0.name) }
  try daemon.drop(task, into: "tasks", as: "bench.jsonl")
  try daemon.client.call(SystemSync.self, timeout: .seconds(60))
  for job in try daemon.client.call(JobList.self).jobs where !job.state.isFinal {
    try daemon.client.call(JobCancel.self, ["job": .integer(job.job)])
  }
  let job = try daemon.client.call(
    TaskAdapt.self, ["task": "bench", "experts": .array(names), "iterations": 1, "seed": 1])
  try daemon.finish(job.job)
}

// MARK: - What one more costs

/// What is measured at each size, in turns with the bank of two.
private func costs(
  of prefix: String, _ count: Int, _ size: String, beside least: String, _ file: [UInt8],
  _ context: borrowing BenchmarkContext
) throws -> [Measurement] {
  var results = try withDaemon(on: prefix) { daemon in
    try withDaemon(on: least) { other in
      // Both have looked at what lies in their directories.
      for one in [daemon, other] { try one.client.call(SystemSync.self, timeout: .seconds(600)) }
      var (drops, others): ([Double], [Double]) = ([], [])
      for _ in 0..<max(21, context.options.repetitions) {
        drops.append(try Costs.dropToVisible(daemon, file))
        others.append(try Costs.dropToVisible(other, file))
      }
      let (drop, dropBesideTwo) = (drops.sorted()[drops.count / 2], others.sorted()[others.count / 2])
      let (query, echo) = try Costs.query(daemon)
      return [
        Measurement("drop to visible, \(size)", drop, "ms"),
        Measurement("drop to visible beside two, with \(size)", dropBesideTwo, "ms"),
        .ratio("drop to visible, \(size) / beside two", drop / dropBesideTwo, .atMost(1.5)),
        Measurement("mixture.get p50, \(size)", query.p50, "µs"),
        .ratio("mixture.get / raw echo p50, \(size)", query.p50 / echo.p50, .atMost(1.2)),
        Measurement("slowest page of expert.list, \(size)", try Costs.list(daemon), "ms"),
        Measurement(
          "memory after changes, \(size)", Double(ProcessMemory.of(daemon.process.processID)?.resident ?? 0) / 1e6, "MB"
        ),
      ]
    }
  }
  var (starts, others): ([Start], [Start]) = ([], [])
  for _ in 0..<3 {
    starts.append(try Start(prefix))
    others.append(try Start(least))
  }
  let (start, other) = (Start.median(starts), Start.median(others))
  results += [
    Measurement("start, \(size)", start.seconds, "s"),
    Measurement("start of two, with \(size)", other.seconds, "s"),
    .ratio("start, (\(size) - of two) / 0.5 s", (start.seconds - other.seconds) / 0.5, .atMost(1)),
    Measurement("memory after start, \(size)", start.memory, "MB"),
    Measurement("memory after start of two, with \(size)", other.memory, "MB"),
  ]
  // Of fewer it is less than what the memory of a process differs by from start to start.
  if count >= 10_000 {
    let each = (start.memory - other.memory) * 1000 / Double(count)
    results.append(.ratio("memory of one expert, \(size) / 1.7 KB", each / 1.7, .atMost(1)))
  }
  return results
}

private enum Costs {
  /// Milliseconds from the rename to an answer that has the version.
  static func dropToVisible(_ daemon: PrivateDaemon, _ file: [UInt8]) throws -> Double {
    let params: JSONObject = ["expert": "dropped"]
    let newest = (try? daemon.client.call(ExpertShow.self, params).versions.last) ?? 0
    // The lowest bytes of the last multiplier: another content, hardly another value.
    var bytes = file
    bytes[bytes.count - 4] = UInt8(truncatingIfNeeded: newest + 1)
    bytes[bytes.count - 3] = UInt8(truncatingIfNeeded: (newest + 1) >> 8)
    let waiting = "\(daemon.prefix)/dropped"
    try FileSystem.writeAtomically(waiting, try SmallExpert.renamed(bytes, "dropped"))
    let start = MonotonicInstant.now
    try FileSystem.rename(waiting, to: "\(daemon.prefix)/var/spool/t2d/experts/dropped.safetensors")
    while (try? daemon.client.call(ExpertShow.self, params).versions.last) ?? 0 <= newest {
      guard (MonotonicInstant.now - start).inSeconds < 60 else {
        throw BenchmarkError("an expert was not visible 60 s after its rename")
      }
      _ = poll(nil, 0, 1)
    }
    return (MonotonicInstant.now - start).inSeconds * 1e3
  }

  static func query(_ daemon: PrivateDaemon) throws -> (QueryLoad.Latency, echo: QueryLoad.Latency) {
    let request = Array(#"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":"bench"}}"#.utf8) + [0x0a]
    let answer = try QueryLoad.ask(request, at: daemon.socketPath)
    guard let value = try? parseJSON(answer), value["result"] != nil else {
      throw BenchmarkError("mixture.get has no result: \(escaped(bytes: answer, limit: 300))")
    }
    let load = QueryLoad(request: request, answerBytes: answer.count)
    return try withTemporaryDirectory { directory in
      let echo = try EchoServer(path: "\(directory)/echo", answer: answer)
      defer { echo.stop() }
      // The echo serves one connection after the other.
      let floor = try load.latency(at: "\(directory)/echo", requests: 20_000)
      return (try load.latency(at: daemon.socketPath, requests: 20_000), floor)
    }
  }

  /// Milliseconds of the slowest page of all experts, by the largest pages that the method gives.
  static func list(_ daemon: PrivateDaemon) throws -> Double {
    var slowest = 0.0
    var after: JSONValue?
    while true {
      let start = MonotonicInstant.now
      var params: JSONObject = ["limit": 100]
      if let after { params["after"] = after }
      let page: JSONValue
      do {
        page = try daemon.client.call(ExpertList.name, params)
      } catch {
        // It has no pages, or too many experts for one.
        guard (try? daemon.client.call(ExpertList.self)) != nil else { return .nan }
        return (MonotonicInstant.now - start).inSeconds * 1e3
      }
      slowest = max(slowest, (MonotonicInstant.now - start).inSeconds * 1e3)
      let rows = page["experts"]?.arrayValue ?? []
      guard !rows.isEmpty, let next = page["next"] else { return slowest }
      after = next
    }
  }
}

/// From the start of the program to its first answer, and its memory then.
private struct Start {
  var seconds: Double
  var memory: Double

  init(_ prefix: String) throws {
    let start = MonotonicInstant.now
    (seconds, memory) = try withDaemon(on: prefix) { daemon in
      try daemon.client.call(SystemHello.self)
      let seconds = (MonotonicInstant.now - start).inSeconds
      return (seconds, Double(ProcessMemory.of(daemon.process.processID)?.resident ?? 0) / 1e6)
    }
  }

  static func median(_ starts: [Start]) -> Start { starts.sorted { $0.seconds < $1.seconds }[starts.count / 2] }
}

// MARK: - Many at once

/// Drops experts by rename, all at once, and asks for the list of jobs until the last is there.
private func drop(
  _ numbers: Range<Int>, of small: SmallExpert, into daemon: PrivateDaemon, named name: String
) throws -> [Measurement] {
  let waiting = "\(daemon.prefix)/waiting"
  try FileSystem.createDirectories(waiting, mode: 0o700)
  for number in numbers { try small.write(number, to: waiting) }
  let before = try daemon.experts()
  let start = MonotonicInstant.now
  for number in numbers {
    let file = SmallExpert.file(number)
    try FileSystem.rename("\(waiting)/\(file)", to: "\(daemon.prefix)/var/spool/t2d/experts/\(file)")
  }
  var worst = 0.0
  repeat {
    let asked = MonotonicInstant.now
    try daemon.client.call(JobList.self, timeout: .seconds(600))
    worst = max(worst, (MonotonicInstant.now - asked).inSeconds * 1e3)
    guard (MonotonicInstant.now - start).inSeconds < 600 else {
      throw BenchmarkError("\(numbers.count) experts were not taken within 600 s")
    }
    _ = poll(nil, 0, 5)
  } while try daemon.experts() < before + numbers.count
  let seconds = (MonotonicInstant.now - start).inSeconds
  return [
    Measurement("experts dropped at once, \(name)", Double(numbers.count) / seconds, "files/s"),
    .extreme("job.list meanwhile, worst, \(name)", worst, "ms"),
  ]
}

/// SIGTERM as soon as 20,000 empty files are there.
private func measureEnd(_ prefix: String) throws -> Measurement {
  let spool = "\(prefix)/var/spool/t2d/experts"
  let names = (0..<20_000).map { "\(spool)/empty\($0).safetensors" }
  let seconds = try withDaemon(on: prefix) { daemon in
    try daemon.client.call(SystemHello.self)
    for name in names { _ = try FileDescriptor.open(name, O_WRONLY | O_CREAT | O_EXCL) }
    let start = MonotonicInstant.now
    daemon.process.signal(SIGTERM)
    if daemon.process.waitForExit(until: .after(.seconds(60))) == nil { daemon.process.signal(SIGKILL) }
    return (MonotonicInstant.now - start).inSeconds
  }
  for name in names { try FileSystem.remove(name) }
  return .ratio("end beside 20,000 files / 2 s", seconds / 2, .atMost(1))
}

extension PrivateDaemon {
  fileprivate func experts() throws -> Int {
    try client.call(ModelShow.self, ["name": "model"], timeout: .seconds(600)).row.experts
  }
}
