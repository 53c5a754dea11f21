import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport

extension Benchmark {
  static let query = Benchmark(
    name: "query", summary: "mixture.get over the socket, beside a raw echo of the same bytes", run: measureQuery)
}

/// With --socket the real daemon and a real task; otherwise the real server in this process, with an answer as large
/// as a real one.
private func measureQuery(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let task = context.options.task ?? "arc_easy"
  let request =
    Array(
      #"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":\#(JSONValue.string(task).jsonText)}}"#.utf8)
    + [0x0a]
  if let socket = context.options.socket {
    return try measure(request, at: socket, context)
  }
  return try withTemporaryDirectory { directory in
    let path = "\(directory)/s"
    let server = try RPCServer(path: path, handler: PreparedMixture(task: task))
    try server.start()
    defer { server.stop() }
    return try measure(request, at: path, context)
  }
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
    func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    let ratio = median(zip(asked, floor).map { $0.p50 / $1.p50 })
    return [
      Measurement("answer", Double(answer.count), "B"),
      Measurement("raw echo, p50", median(floor.map(\.p50)), "µs"),
      Measurement("mixture.get, p50", median(asked.map(\.p50)), "µs"),
      Measurement("mixture.get / raw echo, p50", ratio, "", .atMost(1.5)),
      Measurement("raw echo, p99", median(floor.map(\.p99)), "µs"),
      Measurement("mixture.get, p99", median(asked.map(\.p99)), "µs", .atMost(2000)),
      Measurement("mixture.get, worst", asked.map(\.worst).max() ?? 0, "µs"),
      Measurement("pipelined, one connection", median(rates), "requests/s", .atLeast(100_000)),
    ]
  }
}

/// What the daemon's handler does on its hot path: look the task up, hand out bytes that lie ready.
private final class PreparedMixture: RPCHandler {
  let fastMethods = ["mixture.get"]
  private let answers: [String: PreparedAnswer]

  init(task: String) {
    let digest = "sha256:" + String(repeating: "4d", count: 32)
    func score(_ fit: Double) -> JSONValue { ["fit": .number(fit), "held_out": .number(fit - 0.05)] }
    let mixture: JSONValue = [
      "task": .string(task), "model": "smollm2", "alpha": ["science": 0.8125, "social": 0.03125],
      "granularity": "vector", "mix": "delta", "rescale": "none",
      "experts": [
        ["name": "science", "version": 3, "digest": .string(digest)],
        ["name": "social", "version": 1, "digest": .string(digest)],
      ],
      "scores": [
        "metric": "acc", "base": score(0.5), "experts": ["science": score(0.7), "social": score(0.4)],
        "uniform": score(0.6), "mixture": score(0.8),
      ],
      "stale": false, "generation": 17,
      "vectors": ["path": .string("/var/lib/t2d/blobs/4d/" + digest), "digest": .string(digest), "bytes": 412_000],
    ]
    answers = [task: PreparedAnswer(result: mixture.serialized())]
  }

  func fastAnswer(_ request: FlatRequest) -> PreparedAnswer? { request.string("task").flatMap { answers[$0] } }

  func handle(_ request: RPCRequest, _ reply: RPCReply) {
    reply.fail(RPCError(.unknownTask, "there is only one task here"))
  }
}
