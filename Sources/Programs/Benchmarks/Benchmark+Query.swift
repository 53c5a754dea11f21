import RPCClient
import RPCProtocol
import Settings
import StrictJSON
import SystemSupport

extension Benchmark {
  static let query = Benchmark(
    name: "query", summary: "mixture.get over the socket, beside a raw echo of the same bytes", run: measureQuery)
}

/// With --socket a daemon that runs and a task of its; otherwise a daemon of its own, idle and while it searches.
private func measureQuery(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  if let socket = context.options.socket {
    return try measure(request(task: context.options.task ?? "arc_easy"), at: socket, context)
  }
  let experts = try context.options.expertFiles.map { try FileSystem.readAll($0, maximumBytes: 1 << 26) }
  let task = try FileSystem.readAll(context.options.task ?? BenchmarkOptions.standardTask, maximumBytes: 1 << 26)
  return try withPrivateDaemon(context) { daemon in
    for (index, expert) in experts.enumerated() {
      try daemon.drop(expert, into: "experts", as: "expert\(index).safetensors")
    }
    let all = try daemon.client.call(SystemSync.self, timeout: .seconds(60))
    guard all.experts == experts.count else {
      throw BenchmarkError("not all of \(context.options.expertFiles) became experts: \(all.json.jsonText)")
    }
    // The watched task starts a search by itself, of as many generations as it likes: one is enough for a mixture.
    try daemon.drop(task, into: "tasks", as: "bench.jsonl")
    try daemon.client.call(SystemSync.self, timeout: .seconds(60))
    for job in try daemon.client.call(JobList.self).jobs where !job.state.isFinal {
      try daemon.client.call(JobCancel.self, ["job": .integer(job.job)])
    }
    try daemon.finish(try search(daemon, iterations: 1))

    var results = try measure(request(task: "bench"), at: daemon.socketPath, context)
    context.say("  while a search runs")
    let job = try search(daemon, iterations: 1000)
    _ = try daemon.eventually("the search's first progress", within: .seconds(60)) {
      try daemon.client.call(JobShow.self, ["job": .integer(job)]).row.best
    }
    let answer = try QueryLoad.ask(request(task: "bench"), at: daemon.socketPath)
    let load = QueryLoad(request: request(task: "bench"), answerBytes: answer.count)
    let latency = try load.latency(at: daemon.socketPath, requests: 20_000)
    let state = try daemon.client.call(JobShow.self, ["job": .integer(job)]).row.state
    guard state == .running else {
      throw BenchmarkError("the search was '\(state.rawValue)' before the measurement ended")
    }
    try daemon.client.call(JobCancel.self, ["job": .integer(job)])
    results += [
      Measurement("during a search, p50", latency.p50, "µs"),
      Measurement("during a search, p99", latency.p99, "µs"),
      .extreme("during a search, worst", latency.worst, "µs"),
    ]
    return results
  }
}

private func request(task: String) -> [UInt8] {
  Array(
    #"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":\#(JSONValue.string(task).jsonText)}}"#.utf8)
    + [0x0a]
}

/// Starts a search that does not end before its last generation.
private func search(_ daemon: PrivateDaemon, iterations: Int64) throws -> Int64 {
  try daemon.client.call(TaskAdapt.self, ["task": "bench", "iterations": .integer(iterations), "seed": 1]).job
}

private func measure(
  _ request: [UInt8], at path: String, _ context: borrowing BenchmarkContext
) throws -> [Measurement] {
  let answer = try QueryLoad.ask(request, at: path)
  guard let value = try? parseJSON(answer), value["result"] != nil else {
    throw BenchmarkError("mixture.get has no result: \(escaped(bytes: answer, limit: 300))")
  }
  let load = QueryLoad(request: request, answerBytes: answer.count)
  return try withTemporaryDirectory { directory in
    let echoPath = "\(directory)/echo"
    let echo = try EchoServer(path: echoPath, answer: answer)
    defer { echo.stop() }
    // Taken in turns, so that what else the machine does meets both.
    var floor: [QueryLoad.Latency] = []
    var asked: [QueryLoad.Latency] = []
    for _ in 0..<max(3, context.options.repetitions) {
      floor.append(try load.latency(at: echoPath, requests: 20_000))
      asked.append(try load.latency(at: path, requests: 20_000))
    }
    let rates = try (0..<max(3, context.options.repetitions)).map { _ in try load.pipelined(at: path, requests: 200_000)
    }
    let ratio = median(zip(asked, floor).map { $0.p50 / $1.p50 })
    return [
      Measurement("answer", Double(answer.count), "B"),
      Measurement("raw echo, p50", median(floor.map(\.p50)), "µs"),
      Measurement("mixture.get, p50", median(asked.map(\.p50)), "µs"),
      .ratio("mixture.get / raw echo, p50", ratio, .atMost(1.2)),
      Measurement("raw echo, p99", median(floor.map(\.p99)), "µs"),
      Measurement("mixture.get, p99", median(asked.map(\.p99)), "µs"),
      .extreme("mixture.get, worst", asked.map(\.worst).max() ?? 0, "µs"),
      Measurement("pipelined, one connection", median(rates), "requests/s"),
    ]
  }
}
