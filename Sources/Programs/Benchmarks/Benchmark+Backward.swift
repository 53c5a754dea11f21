import LinearAlgebra
import Multipliers
import SystemSupport
import Transformer

extension Benchmark {
  static let backward = Benchmark(
    name: "backward", summary: "scoring 10 questions and the gradient of the multipliers, against scoring alone",
    run: measureBackward)
}

/// A training step's work without its sampling: log-probabilities of every choice of ten questions, and dL/ds.
private func measureBackward(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let model = try loadModel(context)
  var tokens = BenchmarkTokens(vocabulary: model.shape.vocabulary)
  let shots = tokens.shots()
  let rows = Work(shots, model.shape).rows
  let vector = testVector(model.layout, seed: 3)
  // Every token counts, so no row may be left out.
  let weights = shots.map { $0.continuations.map { $0.map { _ in Float(0.1) } } }

  func best(_ body: () throws -> Void) rethrows -> Double {
    try body()
    return try context.bestSeconds(body)
  }
  var results: [Measurement] = []
  let forward = try best { _ = try model.score(shots, under: .factored(vector), priority: .interactive) }
  results.append(Measurement("10 questions, adapted forward", Double(rows) / forward, "tok/s"))
  let recorded = try best { _ = try model.record(shots, under: vector, priority: .interactive) }
  results.append(Measurement("forward that records", Double(rows) / recorded, "tok/s"))
  // Training takes the standard memory. To compute everything again costs a forward pass more, and is asked for nothing.
  let modes: [(name: String, memory: Int, bound: Measurement.Bound?)] = [
    ("activations kept", Int.max / 2, .atMost(3.2)),
    ("standard memory", GradientTape.standardMemory, .atMost(3.2)),
    ("computed again", 0, nil),
  ]
  for (name, memory, bound) in modes {
    var kept = 0
    let both = try best {
      let tape = try model.record(shots, under: vector, memory: memory, priority: .interactive)
      kept = tape.recordBytes
      _ = try tape.gradient(weights, priority: .interactive)
    }
    results += [
      Measurement("forward and backward, \(name)", Double(rows) / both, "tok/s"),
      Measurement("kept for it, \(name)", Double(kept) / 1e6, "MB"),
      .ratio("forward and backward to forward, \(name)", both / forward, bound),
    ]
  }
  let distant = try best {
    let tape = try model.record(shots, under: vector, divergence: .paper, priority: .interactive)
    _ = try tape.gradient(weights, divergenceWeight: 0.1, priority: .interactive)
  }
  results.append(.ratio("the same with the divergence from the base, to forward", distant / forward))
  if let memory = ProcessMemory.of() {
    results.append(Measurement("memory at its height", Double(memory.peak) / 1e6, "MB"))
  }
  return results
}
