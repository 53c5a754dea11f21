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

/// One bank that grows. At each size: a drop, a query, a list, a start; in between the files are dropped all at once, while
/// a client goes on asking.
private func measureScale(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let files = try context.options.expertFiles.map { try FileSystem.readAll($0, maximumBytes: 1 << 26) }
  let small = try SmallExpert(of: files[0])
  let task = try FileSystem.readAll(context.options.task ?? BenchmarkOptions.standardTask, maximumBytes: 1 << 26)
  return try withTemporaryDirectory { prefix in
    var results: [Measurement] = []
    context.say("  a bank of two experts and one mixture")
    var costs = try withDaemon(on: prefix) { daemon in
      try prepare(daemon, context, files, task: task)
      return try Costs(daemon, file: files[0], context)
    }
    costs.start = try Start(prefix)
    let least = costs
    results += least.measurements("of 2", against: nil)
    var count = 2
    for size in context.options.scaleSizes where size > count {
      context.say("  \(size) experts")
      try withDaemon(on: prefix) { daemon in
        results += try drop(count..<size, of: small, into: daemon, named: "to \(size)")
        costs = try Costs(daemon, file: files[0], context)
      }
      costs.start = try Start(prefix)
      results += costs.measurements("of \(size)", against: least)
      count = size
    }
    context.say("  the end beside 20,000 files that wait")
    results.append(try measureEnd(prefix))
    if context.options.isLarge {
      context.say("  100,000 experts, 1,000 tasks, 1,000,000 events, written into the catalogue")
      try writeLargeBank(prefix, task: task)
      costs = try withDaemon(on: prefix) { daemon in try Costs(daemon, file: files[0], context) }
      costs.start = try Start(prefix)
      results += costs.measurements("of 100,000 and 1,000 tasks", against: least)
    }
    return results
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

/// What is measured at each size.
private struct Costs {
  var drop: Double
  var query: QueryLoad.Latency
  var echo: QueryLoad.Latency
  var list: Double
  /// Of the daemon that took the files in.
  var memory: Double
  var start = Start()

  init(_ daemon: PrivateDaemon, file: [UInt8], _ context: borrowing BenchmarkContext) throws {
    drop = try Self.dropToVisible(daemon, file, count: max(11, context.options.repetitions))
    (query, echo) = try Self.query(daemon)
    list = try Self.list(daemon)
    memory = Double(ProcessMemory.of(daemon.process.processID)?.resident ?? 0) / 1e6
  }

  /// Median of milliseconds from the rename to an answer that has the version.
  private static func dropToVisible(_ daemon: PrivateDaemon, _ file: [UInt8], count: Int) throws -> Double {
    var bytes = file
    var milliseconds: [Double] = []
    let params: JSONObject = ["expert": "dropped"]
    var newest = (try? daemon.client.call(ExpertShow.self, params).versions.last) ?? 0
    for _ in 0..<count {
      // The lowest bytes of the last multiplier: another content, hardly another value.
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
      milliseconds.append((MonotonicInstant.now - start).inSeconds * 1e3)
      newest += 1
    }
    return milliseconds.sorted()[count / 2]
  }

  private static func query(_ daemon: PrivateDaemon) throws -> (QueryLoad.Latency, echo: QueryLoad.Latency) {
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
  private static func list(_ daemon: PrivateDaemon) throws -> Double {
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
      guard rows.count == 100, let last = rows.last?["name"] else { return slowest }
      after = last
    }
  }

  func measurements(_ size: String, against least: Costs?) -> [Measurement] {
    var all = [
      Measurement("drop to visible, \(size)", drop, "ms"),
      Measurement("mixture.get p50, \(size)", query.p50, "µs"),
      .ratio("mixture.get / raw echo p50, \(size)", query.p50 / echo.p50, .atMost(1.2)),
      Measurement("slowest page of expert.list, \(size)", list, "ms"),
      Measurement("start, \(size)", start.seconds, "s"),
      Measurement("memory after start, \(size)", start.memory, "MB"),
      Measurement("memory after changes, \(size)", memory, "MB"),
    ]
    if let least {
      all += [
        .ratio("drop to visible, \(size) / of 2", drop / least.drop, .atMost(1.5)),
        .ratio(
          "start, (\(size) - of 2) / 0.5 s", (start.seconds - least.start.seconds) / 0.5, .atMost(1)),
      ]
    }
    return all
  }
}

/// From the start of the program to its first answer, and its memory then.
private struct Start {
  var seconds = Double.nan
  var memory = Double.nan

  init() {}

  /// The median of three.
  init(_ prefix: String) throws {
    var found: [(Double, Double)] = []
    for _ in 0..<3 {
      let start = MonotonicInstant.now
      try withDaemon(on: prefix) { daemon in
        try daemon.client.call(SystemHello.self)
        let seconds = (MonotonicInstant.now - start).inSeconds
        found.append((seconds, Double(ProcessMemory.of(daemon.process.processID)?.resident ?? 0) / 1e6))
      }
    }
    (seconds, memory) = found.sorted { $0.0 < $1.0 }[1]
  }
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
    Measurement("job.list meanwhile, worst, \(name)", worst, "ms"),
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
    guard daemon.process.waitForExit(until: .after(.seconds(120))) != nil else {
      throw BenchmarkError("t2d did not end within 120 s")
    }
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
