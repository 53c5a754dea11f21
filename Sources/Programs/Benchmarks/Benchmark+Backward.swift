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
  for (name, memory) in [
    ("activations kept", Int.max / 2), ("standard memory", GradientTape.standardMemory), ("computed again", 0),
  ] {
    var kept = 0
    let both = try best {
      let tape = try model.record(shots, under: vector, memory: memory, priority: .interactive)
      kept = tape.recordBytes
      _ = try tape.gradient(weights, priority: .interactive)
    }
    results += [
      Measurement("forward and backward, \(name)", Double(rows) / both, "tok/s"),
      Measurement("kept for it", Double(kept) / 1e6, "MB"),
      Measurement("forward and backward to forward, \(name)", both / forward, "", .atMost(3.2)),
    ]
  }
  let distant = try best {
    let tape = try model.record(shots, under: vector, divergence: .paper, priority: .interactive)
    _ = try tape.gradient(weights, divergenceWeight: 0.1, priority: .interactive)
  }
  results.append(Measurement("the same with the divergence from the base, to forward", distant / forward, ""))
  if let memory = ProcessMemory.of() {
    results.append(Measurement("memory at its height", Double(memory.peak) / 1e6, "MB", .atMost(3000)))
  }
  return results
}
