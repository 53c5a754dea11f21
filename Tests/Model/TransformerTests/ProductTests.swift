import CKernels
import LinearAlgebra
import Testing

@testable import Transformer

@Suite struct ProductTests {
  /// All paths: every number of rows taken together, then OpenBLAS; columns and inner dimensions of any remainder.
  @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8, 11, 24, 25, 40], [(1, 1), (3, 5), (4, 16), (9, 33), (37, 48), (130, 7)])
  func productsAgreeWithTheirDefinition(rows: Int, shape: (columns: Int, inner: Int)) {
    let (columns, inner) = shape
    var numbers = Numbers(21)
    let (xStride, yStride) = (inner + 3, columns + 2)
    let x = (0..<rows * xStride).map { _ in numbers.float(-1, 1) }
    let w = (0..<columns * inner).map { _ in numbers.float(-1, 1) }
    let start = (0..<rows * yStride).map { _ in numbers.float(-1, 1) }
    for accumulate in [false, true] {
      var expected = start
      for row in 0..<rows {
        for column in 0..<columns {
          let sum = (0..<inner).reduce(0.0) {
            $0 + Double(x[row * xStride + $1]) * Double(w[column * inner + $1])
          }
          expected[row * yStride + column] = Float(sum) + (accumulate ? start[row * yStride + column] : 0)
        }
      }
      // M = Wᵀ lies as (inner, columns).
      let transposed = (0..<inner * columns).map { w[$0 % columns * inner + $0 / columns] }
      var found = start
      var plain = start
      unsafe multiplyTransposed(
        rows: rows, columns: columns, inner: inner, x: x, xStride: xStride, weights: w, y: &found, yStride: yStride,
        accumulate: accumulate)
      unsafe multiply(
        rows: rows, columns: columns, inner: inner, x: x, xStride: xStride, matrix: transposed,
        matrixStride: columns, y: &plain, yStride: yStride, accumulate: accumulate)
      // What lies between the rows of y is left alone.
      #expect(distance(found, expected) < 1e-5)
      #expect(distance(plain, expected) < 1e-5)
    }
  }

  @Test(arguments: [1, 2, 5, 9], [(1, 1), (5, 3), (36, 16), (67, 33), (129, 70)])
  func everyVectorUnitOfThisProcessorAgreesWithTheDefinition(rows: Int, shape: (columns: Int, inner: Int)) {
    let (columns, inner) = shape
    var numbers = Numbers(22)
    let x = (0..<rows * inner).map { _ in numbers.float(-1, 1) }
    let w = (0..<columns * inner).map { _ in numbers.float(-1, 1) }
    let transposed = (0..<inner * columns).map { w[$0 % columns * inner + $0 / columns] }
    let expected = (0..<rows * columns).map { place in
      let (row, column) = (place / columns, place % columns)
      return Float((0..<inner).reduce(0.0) { $0 + Double(x[row * inner + $1]) * Double(w[column * inner + $1]) })
    }
    let units = [T2_UNIT_BASELINE, T2_UNIT_AVX2, T2_UNIT_AVX512].filter {
      $0.rawValue <= t2_best_vector_unit().rawValue
    }
    for unit in units {
      var found = [Float](repeating: .nan, count: rows * columns)
      var plain = found
      unsafe t2_few_rows_transposed(unit, rows, columns, inner, x, inner, w, &found, columns, false)
      unsafe t2_few_rows_plain(unit, rows, columns, inner, x, inner, transposed, columns, &plain, columns, false)
      #expect(distance(found, expected) < 1e-5, "unit \(unit.rawValue)")
      #expect(distance(plain, expected) < 1e-5, "unit \(unit.rawValue)")
    }
  }
}
