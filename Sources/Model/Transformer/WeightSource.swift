internal import LinearAlgebra
internal import Multipliers

/// Where the dense rows of a pass find a layer's matrices.
enum WeightSource: Sendable {
  case base
  /// Mixed into the thread's scratch when a tile asks for them; such a pass runs whole, so each is asked for once a layer.
  case blend(ExpertBasis, BlendCoefficients)
  /// Queries, keys and values from elsewhere.
  case lowRank(LowRankWeights)
}

extension WeightSource {
  /// y (rows, outputs) = x (rows, the stage's inputs) Wᵀ, or y +=, for some outputs of a stage.
  func multiply(
    _ model: ModelWeights, layer: Int, _ stage: Stage, outputs: Range<Int>, rows: Int, x: UnsafePointer<Float>,
    to y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool, _ scratch: Scratch
  ) {
    let inner = stage.inputs
    if let floats = unsafe floats(model, layer: layer, stage, outputs: outputs, scratch) {
      unsafe multiplyTransposed(
        rows: rows, columns: outputs.count, inner: inner, x: x, xStride: inner, weights: floats, y: y, yStride: yStride,
        accumulate: accumulate)
    } else {
      unsafe model.multiply(
        layer, stage, outputs: outputs, rows: rows, x: x, xStride: inner, to: y, yStride: yStride,
        accumulate: accumulate, scratch)
    }
  }

  /// W of some outputs of a stage, (outputs, inputs) without gaps; nil where it is the base's.
  private func floats(
    _ model: ModelWeights, layer: Int, _ stage: Stage, outputs: Range<Int>, _ scratch: Scratch
  ) -> UnsafePointer<Float>? {
    switch self {
    case .base: return nil
    case .lowRank(let adapted):
      guard stage.kind == .heads else { return nil }
      return unsafe adapted.layer(layer) + outputs.lowerBound * stage.inputs
    case .blend(let basis, let coefficients):
      let matrices = stage.matrices.filter { $0.outputs.overlaps(outputs) }
      let kinds = matrices.map { $0.isFactored ? coefficients.pureSource(model.shape.index(layer, $0)) : -1 }
      if let source = kinds[0], kinds.allSatisfy({ $0 == source }) {
        guard source >= 0 else { return nil }
        // Neighbours that an expert has follow each other there.
        let row = outputs.lowerBound - matrices[0].outputs.lowerBound
        return unsafe basis.layer(layer, of: source) + matrices[0].offset + row * stage.inputs
      }
      let mixed = unsafe scratch.floats(ScratchSlot.weights, count: outputs.count * stage.inputs)
      for matrix in matrices {
        let part = matrix.outputs.clamped(to: outputs)
        unsafe basis.mix(
          coefficients, layer: layer, stage, matrix, outputs: part,
          into: mixed + (part.lowerBound - outputs.lowerBound) * stage.inputs)
      }
      return unsafe UnsafePointer(mixed)
    }
  }
}

/// Slots of a compute thread's scratch.
enum ScratchSlot {
  static let weights = 0
  static let product = 1
  static let scores = 2
  static let attended = 3
  static let logits = 4
  /// A tile of stored weights as floats, while a product of many rows reads it.
  static let widened = 5
  /// A whole matrix as floats. SVF's functions have the slots below 8 while they run.
  static let matrix = 8
}

extension BlendCoefficients {
  /// The only source of a matrix where all others have coefficient 0 and it has 1: -1 the base, else an expert.
  func pureSource(_ matrix: Int) -> Int? {
    var found: Int? = nil
    if base[matrix] != 0 {
      guard base[matrix] == 1 else { return nil }
      found = -1
    }
    for (k, coefficient) in experts[matrix].enumerated() where coefficient != 0 {
      guard coefficient == 1, found == nil else { return nil }
      found = k
    }
    return found
  }
}
