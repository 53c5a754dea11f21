import Glibc
package import LinearAlgebra
package import Multipliers

/// Factors one matrix by its Gram matrix, in the calling thread: writes Q (r, r) and σ (r).
///
/// The Gram matrix of the short side (W Wᵀ or Wᵀ W) is accumulated in double, and its eigensystem found in double: σ is then good
/// to 1e-10 even at condition 5e4, where a float SVD loses half of its digits, in half of the time. Rank deficiency and
/// ties need no care: any orthonormal basis of the subspace gives the same W'.
/// - Parameter scratch: slots 0 to 3 are used: 3 r² doubles, or r² and a block of W, and r² floats.
package func factorize(
  _ target: TargetMatrix, weight: UnsafePointer<Float>, q: UnsafeMutablePointer<Float>,
  sigma: UnsafeMutablePointer<Float>, scratch: Scratch
) throws(LAPACKError) {
  let r = target.rank
  let gram = unsafe scratch.doubles(0, count: r * r)
  unsafe accumulateGram(target, weight: weight, into: gram, scratch: scratch, slot: 1)

  let values = unsafe scratch.doubles(2, count: r)
  let workspace = unsafe scratch.doubles(1, count: eigenWorkspaceCount(order: r))
  let vectors = unsafe scratch.floats(3, count: r * r)
  try unsafe symmetricEigen(gram, order: r, values: values, vectors: vectors, workspace: workspace)
  // Rounding may leave a tiny negative value where the matrix has none.
  for i in 0..<r { unsafe sigma[i] = Float(max(values[r - 1 - i], 0).squareRoot()) }
  unsafe transposeDescending(vectors, order: r, into: q)
}

/// Bytes of the scratch that a tile uses which factors a matrix, with Q in two precisions; W aside.
package func factorizationBytes(of target: TargetMatrix) -> Int {
  let square = target.rank * target.rank
  let blockOrWorkspace = max(
    eigenWorkspaceCount(order: target.rank), min(max(target.rows, target.columns), gramBlock) * target.rank)
  return (square + blockOrWorkspace) * MemoryLayout<Double>.stride
    + square * (2 * MemoryLayout<Float>.stride + FactorPrecision.half.size)
}

/// A = Qᵀ W, or B = W Q, (m, n), in the calling thread.
package func multiplyFactor(
  _ target: TargetMatrix, q: UnsafePointer<Float>, weight: UnsafePointer<Float>,
  into product: UnsafeMutablePointer<Float>
) {
  let (m, n, r) = (target.rows, target.columns, target.rank)
  switch FactoredMatrix.side(of: target) {
  case .left:
    unsafe BLAS.gemm(
      transposeA: true, transposeB: false, m: r, n: n, k: m, a: q, lda: r, b: weight, ldb: n, c: product, ldc: n)
  case .right:
    unsafe BLAS.gemm(
      transposeA: false, transposeB: false, m: m, n: r, k: n, a: weight, lda: n, b: q, ldb: r, c: product, ldc: r)
  }
}

/// Rows or columns of W that are widened to double at a time.
private let gramBlock = 512

/// The lower triangle of W Wᵀ (m <= n) or Wᵀ W in double, block by block: a whole W in double would be twice its size.
private func accumulateGram(
  _ target: TargetMatrix, weight: UnsafePointer<Float>, into gram: UnsafeMutablePointer<Double>, scratch: Scratch,
  slot: Int
) {
  let (m, n, r) = (target.rows, target.columns, target.rank)
  let long = max(m, n)
  let width = min(long, gramBlock)
  let block = unsafe scratch.doubles(slot, count: width * r)
  for start in stride(from: 0, to: long, by: width) {
    let count = min(width, long - start)
    let beta: Double = start == 0 ? 0 : 1
    switch FactoredMatrix.side(of: target) {
    case .left:  // columns of W: block (m, count)
      for row in 0..<m {
        let (source, copy) = unsafe (weight + row * n + start, block + row * count)
        for i in 0..<count { unsafe copy[i] = Double(source[i]) }
      }
      unsafe BLAS.syrkDouble(transpose: false, n: r, k: count, a: block, lda: count, beta: beta, c: gram, ldc: r)
    case .right:  // rows of W: block (count, n)
      let source = unsafe weight + start * n
      for i in 0..<count * n { unsafe block[i] = Double(source[i]) }
      unsafe BLAS.syrkDouble(transpose: true, n: r, k: count, a: block, lda: n, beta: beta, c: gram, ldc: r)
    }
  }
}

/// q[j][i] = vectors[r - 1 - i][j]: from a vector to a row, ascending, to a vector to a column, descending.
private func transposeDescending(
  _ vectors: UnsafePointer<Float>, order r: Int, into q: UnsafeMutablePointer<Float>
) {
  let edge = 16  // A square of 16 x 16 floats is read whole cache lines at a time and written so too.
  for i0 in stride(from: 0, to: r, by: edge) {
    for j0 in stride(from: 0, to: r, by: edge) {
      for j in j0..<min(j0 + edge, r) {
        for i in i0..<min(i0 + edge, r) { unsafe q[j * r + i] = vectors[(r - 1 - i) * r + j] }
      }
    }
  }
}
