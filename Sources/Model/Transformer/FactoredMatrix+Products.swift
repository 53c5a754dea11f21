internal import SVF

// The two products of the factored form on tiles of a batch, without what lies between them: a plain pass scales the
// intermediates where they are, one that is recorded keeps them beside.
extension FactoredMatrix {
  /// p = A x or Qᵀ x for some of the r components. Both are row by row; `y` is where the first component of the first row
  /// goes.
  func components(
    _ components: Range<Int>, of x: UnsafePointer<Float>, rows: Int, y: UnsafeMutablePointer<Float>, yStride: Int
  ) {
    let (width, first) = (target.columns, components.lowerBound)
    switch side {
    case .left:
      unsafe multiplyTransposed(
        rows: rows, columns: components.count, inner: width, x: x, xStride: width, weights: product + first * width,
        y: y, yStride: yStride)
    case .right:
      unsafe multiply(
        rows: rows, columns: components.count, inner: width, x: x, xStride: width, matrix: q + first,
        matrixStride: rank, y: y, yStride: yStride)
    }
  }

  /// y (+)= Q t or B t for some of the m outputs, t being rows of r scaled components.
  func outputs(
    _ outputs: Range<Int>, of t: UnsafePointer<Float>, stride: Int, rows: Int, y: UnsafeMutablePointer<Float>,
    yStride: Int, accumulate: Bool
  ) {
    let second = unsafe side == .left ? q : product
    unsafe multiplyTransposed(
      rows: rows, columns: outputs.count, inner: rank, x: t, xStride: stride,
      weights: second + outputs.lowerBound * rank, y: y, yStride: yStride, accumulate: accumulate)
  }
}
