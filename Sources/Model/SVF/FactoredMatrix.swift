package import LinearAlgebra
package import Multipliers

/// One target matrix W (m, n) by its singular vectors on the short side, r = min(m, n).
///
///     m <= n:  Q = U (r, r),  A = Qᵀ W (m, n),  W' = Q diag(s) A
///     m >  n:  Q = V (r, r),  B = W Q  (m, n),  W' = B diag(s) Qᵀ
///
/// The forms in which a pass multiplies by W' are Transformer's.
///
/// A view: its pointers live as long as the ``Factorization`` that gave it. `@unchecked Sendable`, `@safe`: what they
/// point to is never written.
@safe package struct FactoredMatrix: @unchecked Sendable {
  package enum Side: Sendable {
    /// m <= n: Q = U, the product is A.
    case left
    /// m > n: Q = V, the product is B.
    case right
  }

  package let target: TargetMatrix
  /// Q (r, r), row-major, a singular vector to a column, of the precision's values.
  package let storedQ: UnsafeRawPointer
  package let precision: FactorPrecision
  /// The singular values (r), descending.
  package let sigma: UnsafePointer<Float>
  private let made: UnsafePointer<Float>?

  /// - Parameter product: nil where it was not made; then nothing that needs it may be asked.
  package init(
    target: TargetMatrix, storedQ: UnsafeRawPointer, precision: FactorPrecision, product: UnsafePointer<Float>?,
    sigma: UnsafePointer<Float>
  ) {
    self.target = target
    unsafe self.storedQ = storedQ
    self.precision = precision
    unsafe made = product
    unsafe self.sigma = sigma
  }

  /// A or B (m, n), row-major.
  package var product: UnsafePointer<Float> {
    guard let made = unsafe made else { preconditionFailure("the product of '\(target.name)' was not made") }
    return unsafe made
  }

  /// Q as floats, (r, r): itself, or in slot `slot` of the scratch.
  package func q(_ scratch: Scratch, slot: Int) -> UnsafePointer<Float> {
    switch precision {
    case .single: return unsafe storedQ.assumingMemoryBound(to: Float.self)
    case .half:
      let floats = unsafe scratch.floats(slot, count: rank * rank)
      unsafe widenHalves(storedQ, count: rank * rank, into: floats)
      return unsafe UnsafePointer(floats)
    }
  }

  package var side: Side { Self.side(of: target) }
  package var rank: Int { target.rank }

  package static func side(of target: TargetMatrix) -> Side { target.rows <= target.columns ? .left : .right }
}

/// out (m, n) = W' = U diag(s σ) Vᵀ, in the calling thread.
///
/// Formed as W + M W, resp. W + W M, with M = Q diag(s − 1) Qᵀ: the rounding errors of Q then weigh only as much as the
/// multipliers differ from 1, and s = 1 gives W bit for bit. The products of Q and W are not needed.
/// - Parameters:
///   - weight: W itself (m, n).
///   - s: the r multipliers.
///   - scratch: slots `slot` to `slot + 2` are used, r x r floats each.
package func materialize(
  _ f: FactoredMatrix, weight: UnsafePointer<Float>, multipliers s: UnsafePointer<Float>,
  into out: UnsafeMutablePointer<Float>, scratch: Scratch, slot: Int = 0
) {
  let (m, n, r) = (f.target.rows, f.target.columns, f.rank)
  unsafe out.update(from: weight, count: m * n)
  var isIdentity = true
  for i in 0..<r where unsafe s[i] != 1 { isIdentity = false }
  guard !isIdentity else { return }
  let q = unsafe f.q(scratch, slot: slot + 2)
  let scaled = unsafe scratch.floats(slot, count: r * r)
  for row in 0..<r {
    let (source, target) = unsafe (q + row * r, scaled + row * r)
    for i in 0..<r { unsafe target[i] = source[i] * (s[i] - 1) }
  }
  let change = unsafe scratch.floats(slot + 1, count: r * r)
  unsafe BLAS.gemm(
    transposeA: false, transposeB: true, m: r, n: r, k: r, a: scaled, lda: r, b: q, ldb: r, c: change, ldc: r)
  switch f.side {
  case .left:
    unsafe BLAS.gemm(
      transposeA: false, transposeB: false, m: m, n: n, k: r, a: change, lda: r, b: weight, ldb: n, beta: 1, c: out,
      ldc: n)
  case .right:
    unsafe BLAS.gemm(
      transposeA: false, transposeB: false, m: m, n: n, k: r, a: weight, lda: n, b: change, ldb: r, beta: 1, c: out,
      ldc: n)
  }
}
