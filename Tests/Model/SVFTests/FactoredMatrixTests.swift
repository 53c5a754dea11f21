import LinearAlgebra
import Multipliers
import TestSupport
import Testing

@testable import SVF

/// One matrix, factored in memory of its own.
struct Factored {
  let view: FactoredMatrix
  let weight: [Float]
  private let arrays: [FloatBuffer]

  init(_ weight: [Float], rows: Int, columns: Int) throws {
    let target = TargetMatrix(name: "w", rows: rows, columns: columns, layer: 0)
    let arrays = [target.rank * target.rank, rows * columns, target.rank].map { FloatBuffer(count: $0) }
    try unsafe factorize(
      target, weight: weight, q: arrays[0].pointer, sigma: arrays[2].pointer, scratch: Scratch())
    unsafe multiplyFactor(target, q: arrays[0].pointer, weight: weight, into: arrays[1].pointer)
    self.weight = weight
    self.arrays = arrays
    view = unsafe FactoredMatrix(
      target: target, storedQ: UnsafeRawPointer(arrays[0].pointer), precision: .single, product: arrays[1].pointer,
      sigma: arrays[2].pointer)
  }

  var sigma: [Float] { (0..<view.rank).map { unsafe view.sigma[$0] } }

  func materialized(_ s: [Float]) -> [Float] {
    var out = [Float](repeating: .nan, count: weight.count)
    unsafe materialize(view, weight: weight, multipliers: s, into: &out, scratch: Scratch())
    return out
  }

  /// Q diag(s) A, or B diag(s) Qᵀ, (m, n), by its definition.
  func multiplied(_ s: [Float]) -> [Double] {
    let (m, n, r) = (view.target.rows, view.target.columns, view.rank)
    let q = view.entries
    var out = [Double](repeating: 0, count: m * n)
    for i in 0..<m {
      for j in 0..<n {
        for k in 0..<r {
          let (left, right) =
            unsafe view.side == .left
            ? (q[i * r + k], view.product[k * n + j]) : (view.product[i * r + k], q[j * r + k])
          out[i * n + j] += Double(left) * Double(s[k]) * Double(right)
        }
      }
    }
    return out
  }
}

@Suite struct FactoredMatrixTests {
  static let shapes = [(1, 1), (1, 7), (7, 1), (5, 5), (17, 33), (33, 17), (24, 25), (40, 13)]

  @Test(arguments: shapes)
  func factoredAndMaterializedEqualTheDecomposition(shape: (m: Int, n: Int)) throws {
    let (m, n) = shape
    var random = SplitMix(seed: UInt64(m * 100 + n))
    let w = random.floats(m * n)
    let twin = Twin(w, rows: m, columns: n)
    let factored = try Factored(w, rows: m, columns: n)
    for (found, expected) in zip(factored.sigma, twin.sigma) { #expect(abs(Double(found) / expected - 1) < 1e-6) }

    for _ in 0..<3 {
      let s = random.floats(min(m, n), in: -0.5...2)
      let adapted = twin.adapted(s)
      #expect(relativeError(factored.materialized(s), adapted) < 1e-5)
      #expect(relativeError(factored.multiplied(s).map { Float($0) }, adapted) < 1e-5)
    }
  }

  @Test(arguments: [(12, 20), (20, 12)])
  func multipliersOfOneAreTheBaseBitForBit(shape: (m: Int, n: Int)) throws {
    var random = SplitMix(seed: 5)
    let w = random.floats(shape.m * shape.n)
    let factored = try Factored(w, rows: shape.m, columns: shape.n)
    #expect(factored.materialized([Float](repeating: 1, count: 12)) == w)
  }

  /// σ from 1 to 1/50000: the Gram matrix has condition 2.5e9, which double carries and float would not.
  @Test func smallSingularValuesAreRight() throws {
    var random = SplitMix(seed: 6)
    let (m, n) = (24, 31)
    let basis = Twin(random.floats(m * n), rows: m, columns: n)
    let wanted = (0..<m).map { Double(1) / (1 + Double($0) * 49_999 / Double(m - 1)) }
    let w = basis.adapted(zip(wanted, basis.sigma).map { Float($0.0 / $0.1) }).map { Float($0) }
    // Rounding W to float moves its small values; the twin sees the same rounded matrix.
    let twin = Twin(w, rows: m, columns: n)
    let factored = try Factored(w, rows: m, columns: n)
    for (found, expected) in zip(factored.sigma, twin.sigma) { #expect(abs(Double(found) / expected - 1) < 1e-6) }
    let s = random.floats(m, in: 0...2)
    #expect(relativeError(factored.materialized(s), twin.adapted(s)) < 1e-5)
  }

  @Test func rankDeficiencyAndTiesAreFine() throws {
    // Twice the same rows, and zeros: rank 3 of 6, σ in ties of their own.
    let row: [Float] = [3, 0, 0, 0, 0, 0, 0]
    let w = row + row + [0, 2, 0, 0, 0, 0, 0] + [0, 0, 2, 0, 0, 0, 0] + [Float](repeating: 0, count: 14)
    let factored = try Factored(w, rows: 6, columns: 7)
    let expected: [Float] = [3 * Float(2).squareRoot(), 2, 2, 0, 0, 0]
    for (found, expected) in zip(factored.sigma, expected) { #expect(abs(found - expected) < 1e-6) }
    // Equal multipliers within a tie: then W' does not depend on the basis that was chosen for it.
    let scaled = factored.materialized([0.5, 3, 3, 9, 8, 7])
    let wanted = w.enumerated().map { Double($0.element) * ($0.offset < 14 ? 0.5 : 3) }
    #expect(relativeError(scaled, wanted) < 1e-6)
    let zero = try Factored([Float](repeating: 0, count: 6), rows: 2, columns: 3)
    #expect(zero.sigma == [0, 0])
    #expect(zero.materialized([5, 6]) == zero.weight)
  }

  @Test func aWeightThatIsNotFiniteIsRefused() {
    #expect(throws: LAPACKError.self) { try Factored([1, .infinity, 2, 3], rows: 2, columns: 2) }
  }
}
