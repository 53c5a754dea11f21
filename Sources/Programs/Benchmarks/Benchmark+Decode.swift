import Engines
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

  let bytes = Double(try WeightTraffic(model).weights)
  // No cache holds this, whatever the model's size.
  let bandwidth = readingSpeed(context, of: noise(1 << 26))
  let possible = bandwidth / bytes

  let one = try decodingSpeed(context, model, prompts.prefix(1).map { ($0, .base) })
  let ten = try decodingSpeed(context, model, prompts.map { ($0, .base) })
  let oneAdapted = try decodingSpeed(context, model, [(prompts[0], views[0])])
  let eight = try decodingSpeed(context, model, zip(prompts, views).map { ($0, $1) })
  return [
    Measurement("weights read for a token", bytes / 1e6, "MB"),
    Measurement("plain reading, all cores", bandwidth / 1e9, "GB/s"),
    Measurement("one stream, as that allows", possible, "tok/s"),
    Measurement("one stream", one, "tok/s"),
    .ratio("share of what the bandwidth allows", one / possible, .atLeast(0.7)),
    // Bounds of what several take are for quantised weights, of which one stream alone reads little: it was a quarter as
    // fast when all were floats.
    Measurement("ten streams together", ten, "tok/s"),
    .ratio("ten to one", ten / one, .atLeast(2)),
    Measurement("one stream, adapted", oneAdapted, "tok/s"),
    .ratio("one stream, adapted to base", oneAdapted / one, .atLeast(0.8)),
    Measurement("eight streams, eight mixtures", eight, "tok/s"),
    .ratio("time of eight to time of one, adapted", 8 * oneAdapted / eight, .atMost(5)),
  ]
}

/// Tokens per second after the prompts are done, of all streams together; the best of several.
private func decodingSpeed(
  _ context: borrowing BenchmarkContext, _ model: LanguageModel, _ streams: [(prompt: [Int32], view: WeightView)]
) throws -> Double {
  var best = 0.0
  for _ in 0..<max(context.options.repetitions, 2) {
    best = max(best, try DecodingTime(model, streams, count: 33).tokensPerSecond)
  }
  return best
}
