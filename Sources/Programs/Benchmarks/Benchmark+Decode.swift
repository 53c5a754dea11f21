import LinearAlgebra
import SystemSupport
import Transformer

extension Benchmark {
  static let decode = Benchmark(
    name: "decode", summary: "tokens per second of one stream, of ten, and of eight with different mixtures",
    run: measureDecode)
}

private func measureDecode(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let model = try loadModel(context)
  var tokens = BenchmarkTokens(vocabulary: model.shape.vocabulary)
  let prompts = (0..<10).map { _ in tokens.sequence(32) }
  let views = (0..<8).map { WeightView.factored(testVector(model.layout, seed: UInt64($0) + 5)) }

  let shape = model.shape
  let layer = shape.hidden * (2 * shape.heads + 2 * shape.keyValueHeads) * shape.headDimension
  let read = shape.layers * (layer + 3 * shape.hidden * shape.intermediate) + shape.vocabulary * shape.hidden
  let bytes = Double(read * MemoryLayout<Float>.stride)
  let bandwidth = readingSpeed(context, of: noise(read))
  let possible = bandwidth / bytes

  let one = try decodingSpeed(context, model, prompts.prefix(1).map { ($0, .base) })
  let ten = try decodingSpeed(context, model, prompts.map { ($0, .base) })
  let oneAdapted = try decodingSpeed(context, model, [(prompts[0], views[0])])
  let eight = try decodingSpeed(context, model, zip(prompts, views).map { ($0, $1) })
  return [
    Measurement("weights read for a token", bytes / 1e6, "MB"),
    Measurement("plain reading of as much, all cores", bandwidth / 1e9, "GB/s"),
    Measurement("one stream, as that allows", possible, "tok/s"),
    Measurement("one stream", one, "tok/s"),
    .ratio("share of what the bandwidth allows", one / possible, .atLeast(0.7)),
    Measurement("ten streams together", ten, "tok/s"),
    .ratio("ten to one", ten / one, .atLeast(4)),
    Measurement("one stream, adapted", oneAdapted, "tok/s"),
    Measurement("eight streams, eight mixtures", eight, "tok/s"),
    .ratio("time of eight to time of one, adapted", 8 * oneAdapted / eight, .atMost(2.5)),
  ]
}

/// Tokens per second after the prompts are done, of all streams together; the best of several.
private func decodingSpeed(
  _ context: borrowing BenchmarkContext, _ model: LanguageModel, _ streams: [(prompt: [Int32], view: WeightView)]
) throws -> Double {
  let count = 33
  let requests = streams.map { GenerationRequest(prompt: $0.prompt, view: $0.view, maximumTokens: count) }
  var best = 0.0
  for _ in 0..<max(context.options.repetitions, 2) {
    // The time of the first round of tokens, which the prompts' own passes give, and of the last.
    var seen = 0
    var start = MonotonicInstant.now
    var end = start
    _ = try model.generate(requests, priority: .interactive) { _ in
      seen += 1
      if seen == requests.count { start = .now }
      end = .now
      return true
    }
    best = max(best, Double((count - 1) * requests.count) / (end - start).inSeconds)
  }
  return best
}
