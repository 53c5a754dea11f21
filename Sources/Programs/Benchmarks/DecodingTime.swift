import Engines
import LinearAlgebra
import SystemSupport
import Transformer

/// How long answers of a given length took, of requests that were sent together.
struct DecodingTime {
  /// Until each has its first token, which the prompts' own passes give.
  var prefill: Double
  /// From then to the last token of all.
  var decode: Double
  /// New tokens of all in the time of `decode`.
  var tokens: Int

  var tokensPerSecond: Double { Double(tokens) / decode }

  /// Generates `count` tokens for each prompt.
  init(
    _ model: LanguageModel, _ streams: [(prompt: [Int32], view: WeightView)], count: Int
  ) throws {
    let requests = streams.map { GenerationRequest(prompt: $0.prompt, view: $0.view, maximumTokens: count) }
    var seen = 0
    let start = MonotonicInstant.now
    var first = start
    var end = start
    _ = try model.generate(requests, priority: .interactive) { _ in
      seen += 1
      if seen == requests.count { first = .now }
      end = .now
      return true
    }
    prefill = (first - start).inSeconds
    decode = (end - first).inSeconds
    tokens = (count - 1) * requests.count
  }
}

/// The value in the middle; of an even number the upper of two.
func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  return sorted.isEmpty ? .nan : sorted[sorted.count / 2]
}
