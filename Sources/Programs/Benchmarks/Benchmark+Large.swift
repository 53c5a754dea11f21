import Engines
import Glibc
import LinearAlgebra
import ModelFormats
import Multipliers
import SVF
import SystemSupport
import Transformer

extension Benchmark {
  static let large = Benchmark(
    name: "large", summary: "memory by part, scoring and decoding of a model of billions (etc/lib/make-large)",
    isStandard: false, run: measureLarge)
}

/// A model as large as people have: whether it fits with an expert, what memory each part takes, how fast it answers, and
/// what its factorization costs. With `--factors` that is kept for the next run.
private func measureLarge(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let options = context.options
  var results = try measureOneLayer(context)
  func measured(_ directory: String) throws -> [Measurement] {
    try measureLoaded(BenchmarkContext(options: options), factors: directory)
  }
  results += try options.factors.map(measured) ?? withTemporaryDirectory(measured)
  return results
}

/// The factorization of the first layer's matrices, and by it of all: layers have the same shapes.
private func measureOneLayer(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let model = try openModel(at: context.options.model)
  let layers = Double(model.configuration.layers)
  context.say("  factoring one layer of \(model.configuration.layers)")
  let work = try FactorizationWork(model, targets: model.targets.filter { $0.layer == 0 }, pool: context.pool)
  let before = processorSeconds()
  let seconds = try context.seconds { try work.compute(into: nil) }
  // Few matrices leave a core idle at the end; many do not.
  let byCore = (processorSeconds() - before) / Double(context.pool.threadCount)
  return [
    Measurement("factorization of one layer", seconds, "s"),
    Measurement("processor time of it, by core", byCore, "s"),
    Measurement("by that, of all layers", byCore * layers / 60, "min"),
  ]
}

private func measureLoaded(_ context: borrowing BenchmarkContext, factors directory: String) throws -> [Measurement] {
  var memory = MemoryByPart()
  context.say("  loading \(context.options.model)")
  var loaded: LanguageModel?
  let loading = try context.seconds {
    loaded = try LanguageModel.load(
      path: context.options.model, factorizationDirectory: directory, pool: context.pool,
      progress: { step in
        if case .factorizing(let done, let count, _, _) = step {
          BenchmarkContext.printError("  factored \(done) of \(count) matrices\n")
        }
      })
  }
  guard let model = loaded else { throw BenchmarkError("no model was loaded") }
  memory.take("loaded")

  let traffic = try WeightTraffic(model)
  var tokens = BenchmarkTokens(vocabulary: model.shape.vocabulary)
  let prompt = tokens.sequence(32)
  let items = (0..<4).map { _ in ScoringItem(prompt: tokens.sequence(18), continuations: [tokens.sequence(8)]) }
  let rows = items.reduce(0) { $0 + $1.prompt.count + $1.continuations[0].count - 1 }
  let expert = WeightView.factored(testVector(model.layout, seed: 3))
  // Q is read once where a vector's products are made of it once, and twice where for each token.
  let views: [(name: String, view: WeightView, bytes: Int)] = [
    ("base", .base, traffic.weights), ("expert", expert, traffic.weights + traffic.factors),
  ]

  let bandwidth = readingSpeed(context, of: noise(1 << 27))
  var speeds = [Measurement("plain reading, all cores", bandwidth / 1e9, "GB/s")]
  for (name, view, bytes) in views {
    context.say("  scoring and answering, \(name)")
    let scores = {
      let scores = try model.score(items, under: view, priority: .interactive)
      guard scores.joined().allSatisfy({ $0.logprobs.allSatisfy { $0 < 0 } }) else {
        throw BenchmarkError("a log-probability is not below zero")
      }
    }
    // With what comes from the disk, and what is made once for a vector.
    let first = try context.seconds(scores)
    let scoring = try context.seconds(scores)
    memory.take("scored, \(name)")
    let answer = try DecodingTime(model, [(prompt, view)], count: 17)
    memory.take("answered, \(name)")
    let share = answer.tokensPerSecond * Double(bytes) / bandwidth
    speeds += [
      Measurement("first scoring, \(name)", first, "s"),
      Measurement("scoring, \(name)", Double(rows) / scoring, "rows/s"),
      Measurement("prompt of 32, \(name)", Double(prompt.count) / answer.prefill, "tok/s"),
      Measurement("one stream, \(name)", answer.tokensPerSecond, "tok/s"),
      Measurement("least to read for a token, \(name)", Double(bytes) / 1e6, "MB"),
      .ratio("share of the reading, \(name)", share, name == "base" ? .atLeast(0.6) : nil),
    ]
  }
  let parts = [
    Measurement("loading, with what was not factored yet", loading, "s"),
    Measurement("parameters", Double(try openModel(at: model.path).parameterCount) / 1e9, "billions"),
    Measurement("weights", Double(model.weightBytes) / 1e6, "MB"),
    Measurement("factorization", Double(model.factorization.byteCount) / 1e6, "MB"),
    Measurement(
      "keys and values of 2,048 tokens",
      Double(model.decodingBytes(positions: min(2048, model.shape.context), sequences: 1)) / 1e6, "MB"),
  ]
  let height = Measurement("memory at its height", Double(ProcessMemory.of()?.peak ?? 0) / 1e6, "MB")
  return parts + memory.measurements + [height] + speeds
}

/// What the process holds after each step, as the kernel counts it.
private struct MemoryByPart {
  private(set) var measurements: [Measurement] = []

  mutating func take(_ moment: String) {
    guard let memory = ProcessMemory.of() else { return }
    measurements += [
      Measurement("resident, \(moment)", Double(memory.resident) / 1e6, "MB"),
      Measurement("of it its own (RssAnon), \(moment)", Double(memory.anonymous) / 1e6, "MB"),
      Measurement("of it mapped files (RssFile), \(moment)", Double(memory.mapped) / 1e6, "MB"),
    ]
  }
}
