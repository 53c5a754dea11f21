package import Engines
package import LinearAlgebra
package import Multipliers

/// All A and B of a model, for one pass.
package final class LowRankAdapters: Sendable {
  package let layout: LowRankLayout
  private let buffer: FloatBuffer

  package init(_ layout: LowRankLayout, parameters: [Float]) {
    precondition(parameters.count == layout.count, "\(parameters.count) parameters for \(layout.count)")
    self.layout = layout
    buffer = FloatBuffer(count: parameters.count)
    for (place, value) in parameters.enumerated() { unsafe buffer.pointer[place] = value }
  }

  /// (rank, inputs)
  func a(_ number: Int) -> UnsafePointer<Float> {
    unsafe UnsafePointer(buffer.pointer + layout.ranges(of: number).a.lowerBound)
  }

  /// (outputs, rank)
  func b(_ number: Int) -> UnsafePointer<Float> {
    unsafe UnsafePointer(buffer.pointer + layout.ranges(of: number).b.lowerBound)
  }
}

/// The query, key and value matrices of all layers with additions, W + (α / r) Σ w B A: what is scored with, at the base's
/// cost. Where B is 0 they are the base's, bit for bit.
///
/// `@unchecked Sendable`: written in `init` only.
package final class LowRankWeights: @unchecked Sendable, PreparedWeights {
  private let heads: FloatBuffer
  private let layerSize: Int

  /// - Parameter parts: adapters and their weights; one alone has the weight 1.
  package init(
    _ parts: [(adapters: LowRankAdapters, weight: Float)], model: LanguageModel, priority: ComputePool.Priority = .job
  ) {
    let shape = model.shape
    let layerSize = shape.headStage.size
    self.layerSize = layerSize
    let heads = FloatBuffer(count: shape.layers * layerSize)
    self.heads = heads
    let build = Phase(tiles: shape.layers) { layer, _ in
      let target = unsafe heads.pointer + layer * layerSize
      for matrix in shape.headStage.matrices {
        unsafe model.weights.matrix(shape.index(layer, matrix)).widen(
          rows: matrix.outputs.count, inner: shape.hidden, into: target + matrix.outputs.lowerBound * shape.hidden,
          outStride: shape.hidden)
      }
      for (adapters, weight) in parts {
        let layout = adapters.layout
        for number in layout.numbers(layer: layer) {
          let outputs = shape.matrix(layout.matrices[number]).outputs
          unsafe BLAS.gemm(
            transposeA: false, transposeB: false, m: outputs.count, n: shape.hidden, k: layout.rank,
            alpha: weight * layout.scale, a: adapters.b(number), lda: layout.rank, b: adapters.a(number),
            ldb: shape.hidden, beta: 1, c: target + outputs.lowerBound * shape.hidden, ldc: shape.hidden)
        }
      }
    }
    model.pool.run([build], priority: priority)
  }

  /// Bytes of one, of any adapters.
  package static func byteCount(_ model: LanguageModel) -> Int {
    model.shape.layers * model.shape.headStage.size * MemoryLayout<Float>.stride
  }

  /// The matrices of a layer, one after the other.
  func layer(_ layer: Int) -> UnsafePointer<Float> { unsafe UnsafePointer(heads.pointer + layer * layerSize) }

  package var vector: MultiplierVector? { nil }
}

extension WeightView {
  /// With additions of low rank; they generate nothing.
  package static func lowRank(_ weights: LowRankWeights) -> WeightView { .prepared(weights) }
}
