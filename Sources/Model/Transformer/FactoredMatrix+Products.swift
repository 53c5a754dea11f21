internal import CKernels
internal import LinearAlgebra
internal import ModelFormats
internal import SVF

// The products of the factored form on tiles of a batch. Rows of x, t and y are `xStride` … floats apart, and begin at the
// first row of the tile. On a compute thread, whose scratch they may use.

// MARK: With Q

extension FactoredMatrix {
  private var q: StoredRows {
    unsafe StoredRows(type: precision == .single ? T2_F32 : T2_F16, start: storedQ, inner: rank)
  }

  /// y = x Q for some of the r components: Qᵀ of each row. `y` is where the first of these components goes.
  func project(
    _ components: Range<Int>, rows: Int, x: UnsafePointer<Float>, xStride: Int, to y: UnsafeMutablePointer<Float>,
    yStride: Int, _ scratch: Scratch
  ) {
    unsafe multiply(
      rows: rows, columns: components, inner: rank, x: x, xStride: xStride, matrix: q, width: rank, y: y,
      yStride: yStride, scratch: scratch)
  }

  /// y = t Qᵀ, or y +=, for some of the r places of the short side: Q times each row. `y` is where the first of these
  /// places goes.
  func expand(
    _ places: Range<Int>, rows: Int, t: UnsafePointer<Float>, tStride: Int, to y: UnsafeMutablePointer<Float>,
    yStride: Int, accumulate: Bool, _ scratch: Scratch
  ) {
    unsafe multiplyTransposed(
      rows: rows, columns: places.count, inner: rank, x: t, xStride: tStride, weights: q.from(places.lowerBound), y: y,
      yStride: yStride, accumulate: accumulate, scratch: scratch)
  }
}

extension FactoredMatrix {
  /// target (rows, r) = some rows of Q, each component multiplied by its factor.
  func copyRows(_ rows: Range<Int>, times factors: [Float], to target: UnsafeMutablePointer<Float>) {
    unsafe q.from(rows.lowerBound).widen(rows: rows.count, inner: rank, into: target, outStride: rank)
    unsafe factors.withUnsafeBufferPointer { factors in
      guard let factors = factors.baseAddress else { return }
      for row in 0..<rows.count { unsafe scaleElements(target + row * rank, by: factors, count: rank) }
    }
  }
}

// MARK: With A or B

extension FactoredMatrix {
  /// y = A x for some of the r components of a matrix on the left side; or y (+)= B t for some of the m outputs of one on the
  /// right.
  func multiplyProduct(
    _ range: Range<Int>, rows: Int, x: UnsafePointer<Float>, xStride: Int, to y: UnsafeMutablePointer<Float>,
    yStride: Int, accumulate: Bool = false
  ) {
    unsafe multiplyTransposed(
      rows: rows, columns: range.count, inner: target.columns, x: x, xStride: xStride,
      weights: product + range.lowerBound * target.columns, y: y, yStride: yStride, accumulate: accumulate)
  }

  /// The way back: y (+)= x A for some of the n inputs, or y = x B for some of the r components.
  func multiplyProductBack(
    _ range: Range<Int>, rows: Int, x: UnsafePointer<Float>, xStride: Int, to y: UnsafeMutablePointer<Float>,
    yStride: Int, accumulate: Bool = false
  ) {
    unsafe multiply(
      rows: rows, columns: range.count, inner: target.rows, x: x, xStride: xStride,
      matrix: product + range.lowerBound, matrixStride: target.columns, y: y, yStride: yStride,
      accumulate: accumulate)
  }
}
