import COpenBLAS

/// Products of dense matrices, row-major, each computed by the calling thread alone.
///
/// Dimensions: m rows of c, n columns of c, k the inner one. A leading dimension is the distance between rows of the
/// array as it lies in memory. Pointers are the caller's: the shapes promise how much is behind them.
package enum BLAS {
  /// c (m, n) = alpha * op(a) (m, k) * op(b) (k, n) + beta * c. With `transposeA`, `a` lies as (k, m); with
  /// `transposeB`, `b` as (n, k), as weights of y = x Wᵀ do. c is not read where beta is 0.
  package static func gemm(
    transposeA: Bool, transposeB: Bool, m: Int, n: Int, k: Int, alpha: Float = 1, a: UnsafePointer<Float>, lda: Int,
    b: UnsafePointer<Float>, ldb: Int, beta: Float = 0, c: UnsafeMutablePointer<Float>, ldc: Int
  ) {
    prepare()
    guard m > 0, n > 0 else { return }
    unsafe cblas_sgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, blasint(m),
      blasint(n), blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
  }

  /// y = alpha * op(a) * x + beta * y, where `a` lies as (rows, columns). y is not read where beta is 0.
  package static func gemv(
    transpose: Bool, rows: Int, columns: Int, alpha: Float = 1, a: UnsafePointer<Float>, lda: Int,
    x: UnsafePointer<Float>, beta: Float = 0, y: UnsafeMutablePointer<Float>
  ) {
    prepare()
    unsafe cblas_sgemv(
      CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, blasint(rows), blasint(columns), alpha, a, blasint(lda), x,
      1, beta, y, 1)
  }

  /// The lower triangle of c (n, n) = alpha * op(a) op(a)ᵀ + beta * c in double, where op(a) is (n, k): `a` lies as
  /// (n, k), or as (k, n) with `transpose`. What is above the diagonal is left as it was.
  package static func syrkDouble(
    transpose: Bool, n: Int, k: Int, alpha: Double = 1, a: UnsafePointer<Double>, lda: Int, beta: Double = 0,
    c: UnsafeMutablePointer<Double>, ldc: Int
  ) {
    prepare()
    unsafe cblas_dsyrk(
      CblasRowMajor, CblasLower, transpose ? CblasTrans : CblasNoTrans, blasint(n), blasint(k), alpha, a, blasint(lda),
      beta, c, blasint(ldc))
  }
}
