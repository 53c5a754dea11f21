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
  /// The matrices `first ... last` of a layer, one after the other without gaps.
  func weights(
    _ model: ModelWeights, layer: Int, _ first: Projection, through last: Projection, _ scratch: Scratch
  ) -> UnsafePointer<Float> {
    switch self {
    case .base:
      return unsafe UnsafePointer(model.layer(layer) + model.shape.offset(first))
    case .lowRank(let adapted):
      let isAdapted = last.rawValue <= Projection.value.rawValue
      return unsafe (isAdapted ? adapted.layer(layer) : UnsafePointer(model.layer(layer))) + model.shape.offset(first)
    case .blend(let basis, let coefficients):
      let matrices =
        layer * Projection.allCases.count + first.rawValue...layer * Projection.allCases.count + last.rawValue
      let kinds = matrices.map { coefficients.pureSource($0) }
      if let source = kinds[0], kinds.allSatisfy({ $0 == source }) {
        return unsafe UnsafePointer(basis.layer(layer, of: source) + model.shape.offset(first))
      }
      let size = model.shape.offset(last) + model.shape.size(last) - model.shape.offset(first)
      let mixed = unsafe scratch.floats(ScratchSlot.weights, count: size)
      for matrix in matrices {
        guard let projection = Projection(rawValue: matrix % Projection.allCases.count) else { continue }
        unsafe basis.mix(
          coefficients, layer: layer, projection,
          into: mixed + model.shape.offset(projection) - model.shape.offset(first))
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
