package import LinearAlgebra
package import Multipliers

/// One target matrix W (m, n) by its singular vectors on the short side, r = min(m, n).
///
///     m <= n:  Q = U (r, r),  A = Qᵀ W (m, n),  y = Q (s ⊙ (A x))
///     m >  n:  Q = V (r, r),  B = W Q  (m, n),  y = B (s ⊙ (Qᵀ x))
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

  /// Q in single precision.
  package var q: UnsafePointer<Float> {
    precondition(precision == .single, "the factors of '\(target.name)' are halves")
    return unsafe storedQ.assumingMemoryBound(to: Float.self)
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

// A product in factored form has two halves, each of which may be cut into tiles: the first by components (of r), the
// second by outputs (of m). Rows are tokens; `x` lies as (rows, n), `p` as (rows, r), `out` as (rows, m), with leading
// dimensions of their own.
extension FactoredMatrix {
  /// p = s ⊙ (A x) or s ⊙ (Qᵀ x), for some of the components.
  /// - Parameters:
  ///   - multipliers: for each row the r multipliers of this matrix. Rows may share them or not.
  ///   - components: which; p is written at these columns.
  package func project(
    _ x: UnsafePointer<Float>, ldx: Int, rows: Int, multipliers: UnsafePointer<UnsafePointer<Float>>,
    components: Range<Int>, into p: UnsafeMutablePointer<Float>, ldp: Int
  ) {
    guard rows > 0, !components.isEmpty else { return }
    let (n, r, first) = (target.columns, rank, components.lowerBound)
    switch side {
    case .left where rows == 1:
      unsafe BLAS.gemv(
        transpose: false, rows: components.count, columns: n, a: product + first * n, lda: n, x: x, y: p + first)
    case .left:
      unsafe BLAS.gemm(
        transposeA: false, transposeB: true, m: rows, n: components.count, k: n, a: x, lda: ldx,
        b: product + first * n, ldb: n, c: p + first, ldc: ldp)
    case .right where rows == 1:
      unsafe BLAS.gemv(transpose: true, rows: n, columns: components.count, a: q + first, lda: r, x: x, y: p + first)
    case .right:
      unsafe BLAS.gemm(
        transposeA: false, transposeB: false, m: rows, n: components.count, k: n, a: x, lda: ldx, b: q + first, ldb: r,
        c: p + first, ldc: ldp)
    }
    for row in 0..<rows {
      let s = unsafe multipliers[row]
      let values = unsafe p + row * ldp
      for i in components { unsafe values[i] *= s[i] }
    }
  }

  /// out = Q p or B p, for some of the outputs.
  /// - Parameter accumulate: add to what `out` holds.
  package func expand(
    _ p: UnsafePointer<Float>, ldp: Int, rows: Int, outputs: Range<Int>, into out: UnsafeMutablePointer<Float>,
    ldo: Int, accumulate: Bool = false
  ) {
    guard rows > 0, !outputs.isEmpty else { return }
    let (r, first) = (rank, outputs.lowerBound)
    // Both lie as (m, r): Q has m = r rows, B has n = r columns.
    let factor = unsafe (side == .left ? q : product) + first * r
    let beta: Float = accumulate ? 1 : 0
    if rows == 1 {
      unsafe BLAS.gemv(
        transpose: false, rows: outputs.count, columns: r, a: factor, lda: r, x: p, beta: beta, y: out + first)
    } else {
      unsafe BLAS.gemm(
        transposeA: false, transposeB: true, m: rows, n: outputs.count, k: r, a: p, lda: ldp, b: factor, ldb: r,
        beta: beta, c: out + first, ldc: ldo)
    }
  }
}

/// out (rows, m) = W' x for each row under its own multipliers, in the calling thread.
///
/// Rows whose multipliers are all ones belong to the base weights, which give them bit for bit: do not bring them here.
/// - Parameters:
///   - x: (rows, n), contiguous.
///   - multipliers: for each row the r multipliers of this matrix.
///   - scratch: slot `slot` is used, rows x r floats.
package func applyFactored(
  _ f: FactoredMatrix, x: UnsafePointer<Float>, rows: Int, multipliers: UnsafePointer<UnsafePointer<Float>>,
  into out: UnsafeMutablePointer<Float>, accumulate: Bool = false, scratch: Scratch, slot: Int = 0
) {
  let (m, n, r) = (f.target.rows, f.target.columns, f.rank)
  let p = unsafe scratch.floats(slot, count: rows * r)
  unsafe f.project(x, ldx: n, rows: rows, multipliers: multipliers, components: 0..<r, into: p, ldp: r)
  unsafe f.expand(p, ldp: r, rows: rows, outputs: 0..<m, into: out, ldo: m, accumulate: accumulate)
}

/// As above with the same multipliers for all rows.
package func applyFactored(
  _ f: FactoredMatrix, x: UnsafePointer<Float>, rows: Int, sharedMultipliers s: UnsafePointer<Float>,
  into out: UnsafeMutablePointer<Float>, accumulate: Bool = false, scratch: Scratch, slot: Int = 0
) {
  let table = unsafe [UnsafePointer<Float>](repeating: s, count: rows)
  unsafe table.withUnsafeBufferPointer { table in
    guard let table = table.baseAddress else { return }
    unsafe applyFactored(
      f, x: x, rows: rows, multipliers: table, into: out, accumulate: accumulate, scratch: scratch, slot: slot)
  }
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
