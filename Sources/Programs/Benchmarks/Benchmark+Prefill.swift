import Engines
import LinearAlgebra
import Multipliers
import Transformer

extension Benchmark {
  static let prefill = Benchmark(
    name: "prefill", summary: "tokens per second of whole sequences, base and adapted, beside a plain sgemm",
    run: measurePrefill)
}

private func measurePrefill(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let model = try loadModel(context)
  var tokens = BenchmarkTokens(vocabulary: model.shape.vocabulary)
  let adapted = WeightView.factored(testVector(model.layout, seed: 3))
  let speed = MachineSpeed.measure(on: context.pool)
  var results = [
    Measurement("sgemm, one core", speed.productOneCore / 1e9, "GFLOP/s"),
    Measurement("sgemm, all cores", speed.productAllCores / 1e9, "GFLOP/s"),
  ]

  // Every token's log-probability is asked for, so that the head is computed for every row, as PyTorch's forward does.
  let shapes: [(name: String, items: [ScoringItem])] = [
    ("1 x 512", [item(&tokens, 512)]), ("32 x 32", (0..<32).map { _ in item(&tokens, 32) }),
  ]
  for (name, items) in shapes {
    let rows = items.reduce(0) { $0 + $1.continuations[0].count }
    for (label, view) in [("base", WeightView.base), ("adapted", adapted)] {
      let seconds = try bestWarm(context) { _ = try model.score(items, under: view, priority: .interactive) }
      results.append(Measurement("\(name), \(label)", Double(rows) / seconds, "tok/s"))
    }
  }

  // Ten ARC-Easy questions with all choices: what a search scores. Only products are counted as work, attention's not.
  let shots = tokens.shots()
  let work = Work(shots, model.shape)
  for (label, view) in [("base", WeightView.base), ("adapted", adapted)] {
    let seconds = try bestWarm(context) { _ = try model.score(shots, under: view, priority: .interactive) }
    results.append(Measurement("10 questions, \(label)", Double(work.rows) / seconds, "rows/s"))
    guard label == "base" else { continue }
    let share = work.operations / seconds / speed.productAllCores
    results.append(.ratio("10 questions, share of the sgemm", share, .atLeast(0.7)))
  }
  return results
}

/// A sequence of `count` rows, all of whose tokens are scored.
private func item(_ tokens: inout BenchmarkTokens, _ count: Int) -> ScoringItem {
  ScoringItem(prompt: tokens.sequence(1), continuations: [tokens.sequence(count)])
}

/// Multipliers between 0.8 and 1.2.
func testVector(_ layout: MultiplierLayout, seed: UInt64) -> MultiplierVector {
  let values = noise(layout.count, seed: seed)
  return MultiplierVector((0..<layout.count).map { 1 + 0.2 * (unsafe values.pointer[$0]) })
}

/// The best time after one run that nobody counts.
private func bestWarm(_ context: borrowing BenchmarkContext, _ body: () throws -> Void) rethrows -> Double {
  try body()
  return try context.bestSeconds(body)
}

/// What scoring items costs at least: rows after sharing, and the products' multiplications and additions.
struct Work {
  let rows: Int
  let operations: Double

  /// - Parameter items: with two tokens in common.
  init(_ items: [ScoringItem], _ shape: ModelShape) {
    let inner = items.reduce(0) { $0 + $1.continuations.reduce(0) { $0 + $1.count - 1 } }
    rows = 2 + items.reduce(0) { $0 + $1.prompt.count - 2 } + inner
    // In the last layer only these rows are needed after the keys and values.
    let outputs = items.count + inner
    let attention = 2 * Double(shape.hidden * (shape.heads + 2 * shape.keyValueHeads) * shape.headDimension)
    let rest = 2 * Double(shape.hidden * (shape.heads * shape.headDimension + 3 * shape.intermediate))
    operations =
      Double(shape.layers * rows) * attention + (Double((shape.layers - 1) * rows) + Double(outputs)) * rest
      + 2 * Double(outputs * shape.vocabulary * shape.hidden)
  }
}
