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

  /// Each row under multipliers of its own.
  func applied(_ x: [Float], _ s: [[Float]]) -> [Float] {
    let (table, out) = (FloatBuffer(count: s.count * view.rank), FloatBuffer(count: s.count * view.target.rows))
    for (row, s) in s.enumerated() {
      for (i, value) in s.enumerated() { unsafe table.pointer[row * view.rank + i] = value }
    }
    let rows = unsafe s.indices.map { unsafe UnsafePointer(table.pointer + $0 * view.rank) }
    unsafe applyFactored(view, x: x, rows: s.count, multipliers: rows, into: out.pointer, scratch: Scratch())
    return unsafe Array(out.buffer)
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

    let rows = 3
    let x = random.floats(rows * n)
    let s = (0..<rows).map { _ in random.floats(min(m, n), in: -0.5...2) }
    let y = factored.applied(x, s)
    for row in 0..<rows {
      let adapted = twin.adapted(s[row])
      #expect(relativeError(factored.materialized(s[row]), adapted) < 1e-5)
      let xRow = Array(x[row * n..<(row + 1) * n])
      let expected = product(xRow, adapted, rows: 1, m: m, n: n)
      #expect(relativeError(Array(y[row * m..<(row + 1) * m]), expected) < 1e-5)
      // Alone in its batch a row takes another route through BLAS.
      #expect(relativeError(factored.applied(xRow, [s[row]]), expected) < 1e-5)
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

  @Test(arguments: [(11, 19), (19, 11)], [1, 4])
  func tilesGiveTheWhole(shape: (m: Int, n: Int), rows: Int) throws {
    let (m, n, r) = (shape.m, shape.n, min(shape.m, shape.n))
    var random = SplitMix(seed: 8)
    let factored = try Factored(random.floats(m * n), rows: m, columns: n)
    let x = random.floats(rows * n)
    let s = random.floats(r)
    let whole = factored.applied(x, [[Float]](repeating: s, count: rows))
    let p = FloatBuffer(count: rows * r)
    let out = FloatBuffer(count: rows * m)
    unsafe out.buffer.update(repeating: 1)
    let shared = FloatBuffer(count: r)
    for i in 0..<r { unsafe shared.pointer[i] = s[i] }
    let table = unsafe [UnsafePointer<Float>](repeating: UnsafePointer(shared.pointer), count: rows)
    for part in [0..<3, 3..<4, 4..<r] {
      unsafe factored.view.project(
        x, ldx: n, rows: rows, multipliers: table, components: part, into: p.pointer, ldp: r)
    }
    for part in [0..<5, 5..<m] {
      unsafe factored.view.expand(
        p.pointer, ldp: r, rows: rows, outputs: part, into: out.pointer, ldo: m, accumulate: true)
    }
    #expect(unsafe relativeError(Array(out.buffer).map { $0 - 1 }, whole.map(Double.init)) < 1e-5)
  }

  @Test func aWeightThatIsNotFiniteIsRefused() {
    #expect(throws: LAPACKError.self) { try Factored([1, .infinity, 2, 3], rows: 2, columns: 2) }
  }
}
