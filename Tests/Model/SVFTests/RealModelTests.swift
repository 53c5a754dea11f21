import Glibc
import LinearAlgebra
import ModelFormats
import Multipliers
import Testing

@testable import SVF

/// Against PyTorch's singular values of SmolLM2-135M-Instruct (Q4_1), where the model is at hand.
@Suite struct RealModelTests {
  static let modelPath = unsafe getenv("T2D_TEST_MODEL").map { unsafe String(cString: $0) }

  static let spectra: [(name: String, leading: [Float])] = [
    (
      "model.layers.0.self_attn.q_proj.weight",
      [82.362273, 48.540573, 36.669816, 32.482824, 31.72301, 29.519866, 26.224304, 24.947445, 24.475013, 23.741336]
    ),
    (
      "model.layers.17.mlp.gate_proj.weight",
      [19.893979, 18.615019, 16.803242, 16.111946, 16.009846, 15.439315, 15.394163, 15.202223, 14.88402, 14.797944]
    ),
  ]

  @Test(.enabled(if: modelPath != nil), arguments: spectra)
  func leadingSingularValuesEqualTheReference(row: (name: String, leading: [Float])) throws {
    let model = try openModel(at: #require(Self.modelPath))
    let target = try #require(model.targets.first { $0.name == row.name })
    let factored = try Factored(model.floats(row.name), rows: target.rows, columns: target.columns)
    for (found, expected) in zip(factored.sigma, row.leading) { #expect(abs(found / expected - 1) < 1e-6) }

    // Q is orthogonal, and A (or B) has orthogonal rows (columns): then it is the decomposition.
    let r = target.rank
    let q = factored.view.entries.map(Double.init)
    var gram = [Double](repeating: 0, count: r * r)
    unsafe BLAS.syrkDouble(transpose: true, n: r, k: r, a: q, lda: r, c: &gram, ldc: r)
    var worst = 0.0
    for i in 0..<r {
      for j in 0...i { worst = max(worst, abs(gram[i * r + j] - (i == j ? 1 : 0))) }
    }
    #expect(worst < 1e-6)
    let product = unsafe Array(UnsafeBufferPointer(start: factored.view.product, count: target.rows * target.columns))
    let (isLeft, long) = (factored.view.side == .left, max(target.rows, target.columns))
    unsafe BLAS.syrkDouble(
      transpose: !isLeft, n: r, k: long, a: product.map(Double.init), lda: target.columns, c: &gram, ldc: r)
    worst = 0
    let largest = Double(factored.sigma[0])
    for i in 0..<r {
      for j in 0...i {
        let expected = i == j ? Double(factored.sigma[i]) * Double(factored.sigma[i]) : 0
        worst = max(worst, abs(gram[i * r + j] - expected) / (largest * largest))
      }
    }
    #expect(worst < 1e-6)
  }
}
