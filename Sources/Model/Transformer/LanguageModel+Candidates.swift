package import Engines
package import LinearAlgebra
package import Multipliers

/// A member of a population: its weights, and what it is scored on.
package struct Candidate: Sendable {
  package var blend: BlendCoefficients
  package var items: [ScoringItem]

  package init(_ blend: BlendCoefficients, _ items: [ScoringItem]) {
    self.blend = blend
    self.items = items
  }
}

extension LanguageModel {
  /// Rows of a unit at most. A unit mixes each layer for itself, a tenth of its work at this size, and its layer is one
  /// tile, some 50 ms for SmolLM2: as long as a short request waits.
  private static let unitRows = 512

  /// Scores candidates, each with materialised weights of its own, layer by layer: the experts' matrices of one layer
  /// serve all candidates while they are in the cache. Returns (candidates, items, continuations).
  ///
  /// What is computed together is a part of one candidate's items, cut by their lengths; a result does not depend on the
  /// other candidates nor on threads. A candidate whose logits leave the range of float has log-probabilities of -inf.
  /// - Parameter shouldStop: asked before each layer; where it says true, throws ``EngineError/stopped``.
  package func scoreCandidates(
    basis: ExpertBasis, _ candidates: [Candidate], priority: ComputePool.Priority,
    shouldStop: () -> Bool = { false }
  ) throws(EngineError) -> [[[ContinuationScore]]] {
    precondition(basis.model === self, "the basis belongs to another model")
    let lengths = candidates.flatMap { $0.items.map(\.rowCount) }
    let rows = lengths.reduce(0, +)
    let longest = max(min(rows, Self.unitRows), lengths.max() ?? 0)
    try room.require(
      2 * rows * shape.hidden * MemoryLayout<Float>.stride + pool.threadCount * shape.passBytes(rows: longest),
      for: "scoring \(candidates.count) mixtures over \(rows) tokens together")
    var units: [CandidateUnit] = []
    for (number, candidate) in candidates.enumerated() {
      try check(candidate, experts: basis.experts.count)
      for chunk in chunks(candidate.items, rowLimit: Self.unitRows) {
        let unit = CandidateUnit(
          candidate: number, Array(candidate.items[chunk]), source: .blend(basis, candidate.blend), weights: weights,
          spaces: spaces)
        if let unit { units.append(unit) }
      }
    }

    let all = units
    for layer in 0..<shape.layers {
      guard !shouldStop() else { throw .stopped }
      let work = Phase(tiles: all.count) { tile, scratch in all[tile].run(layer: layer, scratch) }
      pool.run([basis.preparation(layer: layer), work].compactMap { $0 }, priority: priority)
    }
    guard !shouldStop() else { throw .stopped }
    let heads = all.indices.flatMap { unit in (0..<all[unit].head.tileCount).map { (unit: unit, tile: $0) } }
    pool.run(
      [
        Phase(tiles: all.count) { tile, _ in all[tile].pass.finalNorm() },
        Phase(tiles: heads.count) { tile, scratch in all[heads[tile].unit].head.run(tile: heads[tile].tile, scratch) },
      ], priority: priority)

    var results = candidates.map { _ in [[ContinuationScore]]() }
    var next = 0
    for (number, candidate) in candidates.enumerated() {
      for chunk in chunks(candidate.items, rowLimit: Self.unitRows) {
        guard candidate.items[chunk].contains(where: { !$0.continuations.isEmpty }) else {
          results[number] += chunk.map { _ in [] }
          continue
        }
        results[number] += all[next].scores()
        next += 1
      }
    }
    return results
  }

  private func check(_ candidate: Candidate, experts: Int) throws(EngineError) {
    let matrices = layout.matrices.count
    guard candidate.blend.base.count == matrices, candidate.blend.experts.count == matrices else {
      throw .countMismatch(
        what: "blends of matrices", found: candidate.blend.experts.count, expected: matrices)
    }
    for coefficients in candidate.blend.experts where coefficients.count != experts {
      throw .countMismatch(what: "coefficients of a matrix", found: coefficients.count, expected: experts)
    }
    for (index, item) in candidate.items.enumerated() { try item.check(index: index, shape: shape) }
  }
}

/// Some items of one candidate: computed whole by one thread, layer by layer.
private final class CandidateUnit: Sendable {
  let pass: ForwardPass
  let head: OutputHead
  private let items: ItemBatch
  private let spaces: WorkspacePool

  /// Nil where nothing is asked for.
  init?(
    candidate: Int, _ items: [ScoringItem], source: WeightSource, weights: ModelWeights, spaces: WorkspacePool
  ) {
    self.items = ItemBatch(items, views: items.map { _ in -1 })
    guard !self.items.targets.isEmpty else { return nil }
    pass = ForwardPass(weights: weights, batch: self.items.batch, source: source, cut: .whole)
    head = OutputHead(pass: pass, targets: self.items.targets)
    self.spaces = spaces
    pass.embed()
  }

  /// A layer, on the calling compute thread. The stream is the unit's own, the rest of the memory only borrowed.
  func run(layer: Int, _ scratch: Scratch) {
    let space = spaces.take(rows: pass.rowCount)
    pass.space = space
    for phase in pass.phases(layer: layer) {
      for tile in 0..<phase.tiles { phase.body(tile, scratch) }
    }
    pass.space = nil
    spaces.give(space)
  }

  /// (items, continuations)
  func scores() -> [[ContinuationScore]] {
    items.scores(head.logprobs().map { $0.map { $0.isFinite ? $0 : -.infinity } })
  }
}
