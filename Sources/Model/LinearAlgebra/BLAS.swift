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

  /// The sum of x[i] * y[i].
  package static func dot(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>) -> Float {
    prepare()
    return unsafe cblas_sdot(blasint(count), x, 1, y, 1)
  }

  /// y += alpha * x.
  package static func axpy(
    _ count: Int, alpha: Float, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>
  ) {
    prepare()
    unsafe cblas_saxpy(blasint(count), alpha, x, 1, y, 1)
  }

  /// x *= alpha.
  package static func scale(_ count: Int, by alpha: Float, _ x: UnsafeMutablePointer<Float>) {
    prepare()
    unsafe cblas_sscal(blasint(count), alpha, x, 1)
  }

  /// As ``gemm(transposeA:transposeB:m:n:k:alpha:a:lda:b:ldb:beta:c:ldc:)``, in double.
  package static func gemmDouble(
    transposeA: Bool, transposeB: Bool, m: Int, n: Int, k: Int, alpha: Double = 1, a: UnsafePointer<Double>, lda: Int,
    b: UnsafePointer<Double>, ldb: Int, beta: Double = 0, c: UnsafeMutablePointer<Double>, ldc: Int
  ) {
    prepare()
    guard m > 0, n > 0 else { return }
    unsafe cblas_dgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, blasint(m),
      blasint(n), blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
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
