import Multipliers

/// Two layers of odd shapes and a matrix outside the layers.
let layout = MultiplierLayout([
  TargetMatrix(name: "model.layers.0.self_attn.q_proj.weight", rows: 3, columns: 3, layer: 0),
  TargetMatrix(name: "model.layers.0.mlp.down_proj.weight", rows: 2, columns: 5, layer: 0),
  TargetMatrix(name: "model.layers.1.self_attn.q_proj.weight", rows: 4, columns: 3, layer: 1),
  TargetMatrix(name: "lm_head.weight", rows: 2, columns: 2, layer: nil),
])

/// Repeatable uniform values (SplitMix64).
struct Noise {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func value(_ range: ClosedRange<Float>) -> Float {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return range.lowerBound + (range.upperBound - range.lowerBound) * Float((z ^ (z >> 31)) >> 40) / Float(1 << 24)
  }

  mutating func floats(_ count: Int, in range: ClosedRange<Float>) -> [Float] {
    (0..<count).map { _ in value(range) }
  }
}

/// Singular values, descending within each matrix.
func someSigma(seed: UInt64 = 3) -> [Float] {
  var random = Noise(seed: seed)
  return layout.matrices.flatMap { random.floats($0.rank, in: 0.1...9).sorted(by: >) }
}

func someExperts(_ count: Int, seed: UInt64 = 4) -> [MultiplierVector] {
  var random = Noise(seed: seed)
  return (0..<count).map { _ in MultiplierVector(random.floats(layout.count, in: 0.2...1.8)) }
}

func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
  // A comparison with NaN is false, so that max would lose it.
  zip(a, b).reduce(0) { abs($1.0 - $1.1) <= $0 ? $0 : ($1.0 - $1.1).isNaN ? .infinity : abs($1.0 - $1.1) }
}
