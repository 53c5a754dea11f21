import LinearAlgebra
package import Multipliers
import SVF
import SystemSupport

/// The best approximation of W' − W by a product B A of some rank.
package struct LowRankCut: Sendable {
  /// (rank, columns); rows beyond the components that are changed are zero.
  package var a: [Float]
  /// (rows, rank)
  package var b: [Float]
  /// How many multipliers are not 1.
  package var components: Int
  /// Of ‖W' − W‖².
  package var keptEnergy: Double
  package var missedEnergy: Double
}

extension LanguageModel {
  /// The cuts of some matrices, each on a compute thread.
  ///
  /// W' − W = Σ_i (s_i − 1) σ_i u_i v_iᵀ has the singular values |s_i − 1| σ_i, so the best cut of rank K has the K largest of
  /// these terms, of equals those that come first. What lies on the long side, σ_i v_i = (Qᵀ W)_i or σ_i u_i = (W Q)_i, is
  /// formed for them alone. A and B get equal parts of each term: √(|s_i − 1| σ_i).
  package func lowRankCuts(of vector: MultiplierVector, matrices: [Int], rank: Int) -> [LowRankCut] {
    let cuts = Mutex([LowRankCut?](repeating: nil, count: matrices.count))
    pool.forEach(matrices.count, priority: .job) { [self] place, scratch in
      let cut = lowRankCut(of: vector, matrix: matrices[place], rank: rank, scratch)
      cuts.withLock { $0[place] = cut }
    }
    return cuts.withLock { $0.compactMap { $0 } }
  }

  private func lowRankCut(
    of vector: MultiplierVector, matrix index: Int, rank: Int, _ scratch: Scratch
  ) -> LowRankCut {
    let target = layout.matrices[index]
    let (m, n, r) = (target.rows, target.columns, target.rank)
    var cut = LowRankCut(
      a: [Float](repeating: 0, count: rank * n), b: [Float](repeating: 0, count: m * rank), components: 0,
      keptEnergy: 0, missedEnergy: 0)
    // A matrix that is not factored is what it is under every mixture.
    guard target.isFactored else { return cut }
    let first = layout.range(of: index).lowerBound
    let terms = (0..<r).compactMap { i -> (i: Int, change: Float, size: Double)? in
      let change = vector.values[first + i] - 1
      return change == 0 ? nil : (i, change, Double(abs(change)) * Double(factorization.sigma[first + i]))
    }.sorted { ($1.size, $0.i) < ($0.size, $1.i) }
    cut.components = terms.count
    cut.missedEnergy = terms.dropFirst(rank).reduce(0) { $0 + $1.size * $1.size }
    cut.keptEnergy = terms.prefix(rank).reduce(0) { $0 + $1.size * $1.size }
    let chosen = Array(terms.prefix(rank).filter { $0.size > 0 })
    let k = chosen.count
    guard k > 0 else { return cut }

    // Slots 0 to 2; W itself is in `ScratchSlot.matrix`.
    let factored = factorization[index]
    let q = unsafe factored.q(scratch, slot: 0)
    let short = unsafe scratch.floats(1, count: r * k)
    for row in 0..<r {
      for (j, term) in chosen.enumerated() { unsafe short[row * k + j] = q[row * r + term.i] }
    }
    let weight = unsafe weights.widened(index, scratch)
    let long = unsafe scratch.floats(2, count: max(m, n) * k)
    // Of the side that Q is not on, σ is in the product already.
    let parts = chosen.map { term -> (long: Float, short: Float) in
      let sigma = term.size / Double(abs(term.change))
      return (Float((term.size).squareRoot() / sigma), Float(term.size.squareRoot()))
    }
    switch factored.side {
    case .left:
      unsafe BLAS.gemm(
        transposeA: true, transposeB: false, m: k, n: n, k: r, a: short, lda: k, b: weight, ldb: n, c: long, ldc: n)
      for (j, term) in chosen.enumerated() {
        for column in 0..<n { cut.a[j * n + column] = unsafe long[j * n + column] * parts[j].long }
        let sign: Float = term.change < 0 ? -1 : 1
        for row in 0..<m { cut.b[row * rank + j] = unsafe short[row * k + j] * parts[j].short * sign }
      }
    case .right:
      unsafe BLAS.gemm(
        transposeA: false, transposeB: false, m: m, n: k, k: r, a: weight, lda: n, b: short, ldb: k, c: long, ldc: k)
      for (j, term) in chosen.enumerated() {
        for column in 0..<n { cut.a[j * n + column] = unsafe short[column * k + j] * parts[j].short }
        let sign: Float = term.change < 0 ? -1 : 1
        for row in 0..<m { cut.b[row * rank + j] = unsafe long[row * k + j] * parts[j].long * sign }
      }
    }
    return cut
  }
}
