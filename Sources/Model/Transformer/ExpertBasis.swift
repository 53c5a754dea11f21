package import Engines
package import LinearAlgebra
package import Multipliers
internal import SVF

/// W_k = U diag(z_k σ) Vᵀ of each expert, from which every mixture is a scaled sum. Of the factored matrices: no expert
/// changes another one, which every mixture has from the model.
///
/// Where all layers of all experts fit the budget they are built at once and stay; else each layer is built when a
/// population reaches it. A basis is used by one call of ``LanguageModel/scoreCandidates(basis:_:priority:shouldStop:)`` at
/// a time.
///
/// `@unchecked Sendable`: `layers` is written by the phase that builds them, before the phase that reads them.
package final class ExpertBasis: @unchecked Sendable, PreparedWeights {
  package let model: LanguageModel
  package let experts: [MultiplierVector]
  package let isResident: Bool
  /// (experts), each (layers, layer's factored matrices) where resident, else one layer's.
  private let layers: [FloatBuffer]

  /// Three experts of SmolLM2-135M, with which the worker stays below 2.5 GB.
  package static let standardBudget = 1_300_000_000

  /// - Parameters:
  ///   - residentBudget: bytes for matrices that stay; where they need more, or the process may not take as much, they are
  ///     built layer by layer.
  ///   - shouldStop: asked every few layers; where it says true, throws ``EngineError/stopped``.
  package init(
    model: LanguageModel, experts: [MultiplierVector], residentBudget: Int = ExpertBasis.standardBudget,
    priority: ComputePool.Priority = .job, shouldStop: () -> Bool = { false }
  ) throws(EngineError) {
    for expert in experts where expert.values.count != model.layout.count {
      throw .wrongMultiplierCount(found: expert.values.count, expected: model.layout.count)
    }
    self.model = model
    self.experts = experts
    let size = model.shape.factoredLayerSize
    func bytes(isResident: Bool) -> Int {
      model.shape.searchBytes(experts: experts.count, threads: model.pool.threadCount, isResident: isResident)
    }
    isResident =
      model.shape.basisIsResident(experts: experts.count, budget: residentBudget)
      && model.room.has(bytes(isResident: true))
    try model.room.require(bytes(isResident: isResident), for: "mixing \(experts.count) experts")
    let layerCount = isResident ? model.shape.layers : 1
    layers = experts.map { _ in FloatBuffer(count: layerCount * size) }
    if isResident {
      // The factorization's pages are not needed again by a search; decoding brings back what it reads. Let go a few
      // layers at a time, they and the matrices that are made of them never fill memory together.
      let together = 6
      for first in stride(from: 0, to: model.shape.layers, by: together) {
        guard !shouldStop() else { throw .stopped }
        let layers = first..<min(first + together, model.shape.layers)
        model.pool.run(layers.map { building(layer: $0) }, priority: priority)
        model.factorization.adviseUnused()
      }
    }
  }

  /// Of the only expert: such a basis is that expert's weights.
  package var vector: MultiplierVector? { experts.count == 1 ? experts[0] : nil }

  /// Bytes that stay.
  package var byteCount: Int { layers.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride } }

  /// What must run before a layer is used; nil where it is there already.
  func preparation(layer: Int) -> Phase? { isResident ? nil : building(layer: layer) }

  private func building(layer: Int) -> Phase {
    let model = model
    let places = model.shape.matrices.filter(\.isFactored)
    return Phase(tiles: experts.count * places.count) { [self] tile, scratch in
      // Matrices of one kind, whose tiles are equally long, one after the other.
      let (kind, expert) = tile.quotientAndRemainder(dividingBy: experts.count)
      let matrix = places[kind]
      let index = model.shape.index(layer, matrix)
      let range = model.layout.range(of: index)
      let out = unsafe UnsafeMutablePointer(mutating: self.layer(layer, of: expert)) + matrix.offset
      let target = model.layout.matrices[index]
      guard !experts[expert].isIdentity(in: range) else {
        // An expert that leaves a matrix alone has the base's, bit for bit.
        unsafe model.weights.matrix(index).widen(
          rows: target.rows, inner: target.columns, into: out, outStride: target.columns)
        return
      }
      unsafe experts[expert].values.withUnsafeBufferPointer { values in
        guard let base = values.baseAddress else { return }
        unsafe materialize(
          model.factorization[index], weight: model.weights.widened(index, scratch),
          multipliers: base + range.lowerBound, into: out, scratch: scratch)
      }
    }
  }

  /// The factored matrices of a layer of expert `k`, see ``Stage/Matrix/offset``.
  func layer(_ layer: Int, of k: Int) -> UnsafePointer<Float> {
    unsafe UnsafePointer(layers[k].pointer + (isResident ? layer * model.shape.factoredLayerSize : 0))
  }

  /// out (outputs, inputs) = base W + Σ_k coefficient_k W_k for some outputs of a stage, all of one matrix, without sources
  /// of coefficient 0; a source alone with 1 is copied exactly.
  func mix(
    _ blend: BlendCoefficients, layer: Int, _ stage: Stage, _ matrix: Stage.Matrix, outputs: Range<Int>,
    into out: UnsafeMutablePointer<Float>
  ) {
    let index = model.shape.index(layer, matrix)
    let base = matrix.isFactored ? blend.base[index] : 1
    var sources: [(coefficient: Float, expert: Int)] = []
    for (k, coefficient) in blend.experts[index].enumerated() where coefficient != 0 && matrix.isFactored {
      sources.append((coefficient, k))
    }
    let inputs = stage.inputs
    let stored = unsafe model.weights.matrix(index).from(outputs.lowerBound - matrix.outputs.lowerBound)
    // In pieces that stay in the first cache while source after source is added.
    let piece = max(1, 2048 / inputs)
    for first in stride(from: 0, to: outputs.count, by: piece) {
      let rows = min(piece, outputs.count - first)
      let (target, count) = unsafe (out + first * inputs, rows * inputs)
      if base != 0 {
        unsafe stored.from(first).widen(rows: rows, inner: inputs, into: target, outStride: inputs)
        if base != 1 { unsafe scaled(target, target, by: base, count: count) }
      } else if sources.isEmpty {
        unsafe target.update(repeating: 0, count: count)
      }
      for (place, source) in sources.enumerated() {
        let row = outputs.lowerBound - matrix.outputs.lowerBound + first
        let w = unsafe self.layer(layer, of: source.expert) + matrix.offset + row * inputs
        unsafe place == 0 && base == 0
          ? scaled(target, w, by: source.coefficient, count: count)
          : addScaled(target, w, by: source.coefficient, count: count)
      }
    }
  }
}

/// out = factor * x, each of `count` floats.
private func scaled(
  _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, by factor: Float, count: Int
) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8(load8(x + i) * factor, out + i) }
  for i in whole..<count { unsafe out[i] = x[i] * factor }
}

/// out += factor * x, each of `count` floats.
private func addScaled(
  _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, by factor: Float, count: Int
) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8(load8(out + i) + load8(x + i) * factor, out + i) }
  for i in whole..<count { unsafe out[i] += x[i] * factor }
}
