import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport

extension Benchmark {
  static let ask = Benchmark(
    name: "ask", summary: "eight requests under eight mixtures over the socket, beside one", run: measureAsk)
}

/// Prompts of 32 tokens, 64 new tokens each, through a daemon and its worker, as clients have it.
private func measureAsk(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let experts = try context.options.expertFiles.map { try FileSystem.readAll($0, maximumBytes: 1 << 26) }
  return try withPrivateDaemon(context) { daemon in
    for (index, expert) in experts.enumerated() {
      try daemon.drop(expert, into: "experts", as: "expert\(index).safetensors")
    }
    try daemon.client.call(SystemSync.self, timeout: .seconds(60))
    guard let name = try daemon.client.call(ExpertList.self).experts.first?.name else {
      throw BenchmarkError("no expert became one")
    }
    // Words, since a model ends its answer to noise at once; no two requests share a mixture.
    let text = "The water in the lake is warm in summer, cold in autumn, and hard as a stone in the long winter. "
    let ids = try daemon.client.call(
      ModelTokenize.self, ["text": .string(String(repeating: text, count: 4))], timeout: .seconds(60)
    ).ids
    guard ids.count >= 40 else { throw BenchmarkError("the model's tokenizer gave \(ids.count) tokens") }
    let requests = (0..<8).map { number -> JSONObject in
      [
        "prompt_ids": .array(ids[number..<(number + 32)].map { .integer(Int64($0)) }),
        "alpha": [name: .number(Double(number + 1) / 16)], "max_tokens": 64, "seed": 1,
      ]
    }
    var one = Passes.worst
    var eight = Passes.worst
    // The first round loads what has to be loaded.
    for round in 0...max(context.options.repetitions, 2) {
      let single = try Passes(of: [requests[0]], daemon)
      let all = try Passes(of: requests, daemon)
      if round > 0 {
        one = min(one, single)
        eight = min(eight, all)
      }
    }
    return [
      Measurement("one request, prefill", one.prefill, "s"),
      Measurement("one request, decoding", one.decode, "s"),
      Measurement("eight requests, until each has its first token", eight.prefill, "s"),
      Measurement("eight requests, decoding", eight.decode, "s"),
      .ratio("decoding of eight to that of one", eight.decode / one.decode, .atMost(2.5)),
    ]
  }
}

/// How long requests that were sent together took, seen by their client.
private struct Passes: Comparable {
  /// Until the last of them had its first token.
  var prefill: Double
  /// From then to the last token of all.
  var decode: Double

  static let worst = Passes(prefill: .infinity, decode: .infinity)
  static func < (a: Self, b: Self) -> Bool { a.decode < b.decode }

  init(prefill: Double, decode: Double) {
    self.prefill = prefill
    self.decode = decode
  }

  init(of requests: [JSONObject], _ daemon: PrivateDaemon) throws {
    let start = MonotonicInstant.now
    var firsts: [Int64: MonotonicInstant] = [:]
    let numbers = try requests.map { request in
      var request = request
      request["stream"] = true
      return try daemon.client.send(Generate.name, request)
    }
    for number in numbers {
      let answer = try daemon.client.receive(number, timeout: .seconds(120)) { part in
        guard let id = part.params["id"]?.integerValue, firsts[id] == nil else { return }
        firsts[id] = .now
      }
      let generated = try Answer(of: Generate.self, answer)
      guard generated.tokens.generated == 64 else {
        throw BenchmarkError("a request ended with '\(generated.stop)' before its 64 tokens")
      }
    }
    let end = MonotonicInstant.now
    guard firsts.count == numbers.count, let last = firsts.values.max() else {
      throw BenchmarkError("not every request sent its tokens")
    }
    prefill = (last - start).inSeconds
    decode = (end - last).inSeconds
  }
}
