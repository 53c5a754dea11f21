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
  /// W of some outputs of a stage, (outputs, inputs) without gaps.
  func weights(
    _ model: ModelWeights, layer: Int, _ stage: Stage, outputs: Range<Int>, _ scratch: Scratch
  ) -> UnsafePointer<Float> {
    let place = outputs.lowerBound * stage.inputs
    switch self {
    case .base:
      return unsafe UnsafePointer(model.layer(layer) + stage.offset + place)
    case .lowRank(let adapted):
      guard stage.kind == .heads else { return unsafe UnsafePointer(model.layer(layer) + stage.offset + place) }
      return unsafe adapted.layer(layer) + place
    case .blend(let basis, let coefficients):
      let matrices = stage.matrices.filter { $0.outputs.overlaps(outputs) }
      let kinds = matrices.map { coefficients.pureSource(model.shape.index(layer, $0)) }
      if let source = kinds[0], kinds.allSatisfy({ $0 == source }) {
        return unsafe basis.layer(layer, of: source) + stage.offset + place
      }
      let mixed = unsafe scratch.floats(ScratchSlot.weights, count: outputs.count * stage.inputs)
      for matrix in matrices {
        let rows = matrix.outputs.clamped(to: outputs)
        unsafe basis.mix(
          coefficients, layer: layer, matrix,
          floats: stage.offset + rows.lowerBound * stage.inputs..<stage.offset + rows.upperBound * stage.inputs,
          into: mixed + (rows.lowerBound - outputs.lowerBound) * stage.inputs)
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
  /// Slots from here on belong to SVF's own functions while they run.
  static let factorization = 8
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
