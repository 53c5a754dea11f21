internal import CKernels
internal import LinearAlgebra

/// Rows up to which a product is read from memory once instead of being packed.
let fewRowsLimit = t2_few_rows_limit()
let vectorUnit = t2_best_vector_unit()

/// y (rows, columns) = x (rows, inner) Wᵀ, or y += where it accumulates; W lies as (columns, inner) without gaps, as
/// checkpoints have it. Strides are distances between rows.
func multiplyTransposed(
  rows: Int, columns: Int, inner: Int, x: UnsafePointer<Float>, xStride: Int, weights: UnsafePointer<Float>,
  y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool = false
) {
  if rows <= fewRowsLimit {
    unsafe t2_few_rows_transposed(vectorUnit, rows, columns, inner, x, xStride, weights, y, yStride, accumulate)
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
  if rows <= fewRowsLimit {
    unsafe t2_few_rows_plain(vectorUnit, rows, columns, inner, x, xStride, matrix, matrixStride, y, yStride, accumulate)
  } else {
    unsafe BLAS.gemm(
      transposeA: false, transposeB: false, m: rows, n: columns, k: inner, a: x, lda: xStride, b: matrix,
      ldb: matrixStride, beta: accumulate ? 1 : 0, c: y, ldc: yStride)
  }
}
