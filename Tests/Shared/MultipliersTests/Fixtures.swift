import Multipliers
import TestSupport

/// Two layers of odd shapes and a matrix outside the layers.
let layout = MultiplierLayout([
  TargetMatrix(name: "model.layers.0.self_attn.q_proj.weight", rows: 3, columns: 3, layer: 0),
  TargetMatrix(name: "model.layers.0.mlp.down_proj.weight", rows: 2, columns: 5, layer: 0),
  TargetMatrix(name: "model.layers.1.self_attn.q_proj.weight", rows: 4, columns: 3, layer: 1),
  TargetMatrix(name: "lm_head.weight", rows: 2, columns: 2, layer: nil),
])

/// Singular values, descending within each matrix.
func someSigma(seed: UInt64 = 3) -> [Float] {
  var random = SplitMix(seed: seed)
  return layout.matrices.flatMap { random.floats($0.rank, in: 0.1...9).sorted(by: >) }
}

func someExperts(_ count: Int, seed: UInt64 = 4) -> [MultiplierVector] {
  var random = SplitMix(seed: seed)
  return (0..<count).map { _ in MultiplierVector(random.floats(layout.count, in: 0.2...1.8)) }
}
