internal import LinearAlgebra

/// y (rows, columns) = x (rows, inner) Wᵀ, or y += where it accumulates; W lies as (columns, inner) without gaps, as
/// checkpoints have it. Strides are distances between rows.
func multiplyTransposed(
  rows: Int, columns: Int, inner: Int, x: UnsafePointer<Float>, xStride: Int, weights: UnsafePointer<Float>,
  y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool = false
) {
  if rows == 1 {
    unsafe BLAS.gemv(
      transpose: false, rows: columns, columns: inner, a: weights, lda: inner, x: x, beta: accumulate ? 1 : 0, y: y)
  } else if rows <= fewRowsLimit {
    unsafe multiplyFewRows(
      rows: rows, columns: columns, inner: inner, x: x, xStride: xStride, weights: weights, y: y, yStride: yStride,
      accumulate: accumulate)
  } else {
    unsafe BLAS.gemm(
      transposeA: false, transposeB: true, m: rows, n: columns, k: inner, a: x, lda: xStride, b: weights, ldb: inner,
      beta: accumulate ? 1 : 0, c: y, ldc: yStride)
  }
}

/// y (rows, columns) = x (rows, inner) M, where M lies as (inner, columns) with `stride` between its rows.
func multiply(
  rows: Int, columns: Int, inner: Int, x: UnsafePointer<Float>, xStride: Int, matrix: UnsafePointer<Float>,
  matrixStride: Int, y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool = false
) {
  if rows == 1 {
    unsafe BLAS.gemv(
      transpose: true, rows: inner, columns: columns, a: matrix, lda: matrixStride, x: x, beta: accumulate ? 1 : 0, y: y
    )
  } else if rows <= fewRowsLimit {
    unsafe multiplyFewRowsPlain(
      rows: rows, columns: columns, inner: inner, x: x, xStride: xStride, matrix: matrix, stride: matrixStride, y: y,
      yStride: yStride, accumulate: accumulate)
  } else {
    unsafe BLAS.gemm(
      transposeA: false, transposeB: false, m: rows, n: columns, k: inner, a: x, lda: xStride, b: matrix,
      ldb: matrixStride, beta: accumulate ? 1 : 0, c: y, ldc: yStride)
  }
}
