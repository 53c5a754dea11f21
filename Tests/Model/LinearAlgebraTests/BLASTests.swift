import LinearAlgebra
import TestSupport
import Testing

@Suite struct BLASTests {
  /// The naive twin: c = alpha * op(a) op(b) + beta * c, straight from the definition, in double.
  static func product(
    _ transposeA: Bool, _ transposeB: Bool, m: Int, n: Int, k: Int, alpha: Double, a: [Float], lda: Int, b: [Float],
    ldb: Int, beta: Double, c: [Float], ldc: Int
  ) -> [Float] {
    var out = c
    for i in 0..<m {
      for j in 0..<n {
        var sum = 0.0
        for l in 0..<k {
          sum +=
            Double(transposeA ? a[l * lda + i] : a[i * lda + l]) * Double(transposeB ? b[j * ldb + l] : b[l * ldb + j])
        }
        out[i * ldc + j] = Float(alpha * sum + (beta == 0 ? 0 : beta * Double(c[i * ldc + j])))
      }
    }
    return out
  }

  @Test(arguments: [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 31, 65)], [0, 1, 2, 3])
  func gemmEqualsTheDefinition(shape: (m: Int, n: Int, k: Int), transposition: Int) {
    let (m, n, k) = shape
    let (transposeA, transposeB) = (transposition & 1 != 0, transposition & 2 != 0)
    var random = SplitMix(seed: 7)
    // Leading dimensions wider than the rows, as parts of larger arrays have.
    let (lda, ldb, ldc) = ((transposeA ? m : k) + 2, (transposeB ? k : n) + 1, n + 3)
    let a = random.floats((transposeA ? k : m) * lda)
    let b = random.floats((transposeB ? n : k) * ldb)
    let c = random.floats(m * ldc)
    for (alpha, beta) in [(Float(1), Float(0)), (0.5, 2)] {
      var found = c
      unsafe BLAS.gemm(
        transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, alpha: alpha, a: a, lda: lda, b: b, ldb: ldb,
        beta: beta, c: &found, ldc: ldc)
      let expected = Self.product(
        transposeA, transposeB, m: m, n: n, k: k, alpha: Double(alpha), a: a, lda: lda, b: b, ldb: ldb,
        beta: Double(beta), c: c, ldc: ldc)
      #expect(largestDifference(found, expected) < 1e-5 * Float(k))
    }
  }

  @Test func gemvEqualsTheDefinition() {
    var random = SplitMix(seed: 8)
    let (rows, columns) = (13, 29)
    let a = random.floats(rows * columns)
    let x = random.floats(columns)
    var y = random.floats(rows)
    unsafe BLAS.gemv(transpose: false, rows: rows, columns: columns, a: a, lda: columns, x: x, y: &y)
    for i in 0..<rows {
      let row = Array(a[i * columns..<(i + 1) * columns])
      #expect(abs(y[i] - zip(row, x).reduce(0) { $0 + $1.0 * $1.1 }) < 1e-5)
    }
  }

  /// The eigensystem of a matrix, as arrays.
  static func eigen(_ matrix: [Double], _ n: Int) throws -> (values: [Double], vectors: [Float]) {
    var (matrix, values, vectors) = (matrix, [Double](repeating: 0, count: n), [Float](repeating: 0, count: n * n))
    var workspace = [Double](repeating: 0, count: eigenWorkspaceCount(order: n))
    try unsafe symmetricEigen(&matrix, order: n, values: &values, vectors: &vectors, workspace: &workspace)
    return (values, vectors)
  }

  @Test(arguments: [1, 2, 17, 96])
  func eigenvectorsDiagonaliseAndAscend(n: Int) throws {
    var random = SplitMix(seed: 9)
    let a = random.floats(n * n).map(Double.init)
    var gram = [Double](repeating: 0, count: n * n)
    unsafe BLAS.syrkDouble(transpose: false, n: n, k: n, a: a, lda: n, c: &gram, ldc: n)
    let (values, vectors) = try Self.eigen(gram, n)
    #expect(values == values.sorted())
    // The trace is the sum of the values, in double; the vectors are float.
    let trace = (0..<n).reduce(0) { $0 + gram[$1 * n + $1] }
    #expect(abs(values.reduce(0, +) / trace - 1) < 1e-13)
    // Rows are the vectors q: the sum of q value qᵀ is the matrix (its lower triangle), and q qᵀ = 1.
    var worst = 0.0
    let q = vectors.map(Double.init)
    for i in 0..<n {
      for j in 0...i {
        var sum = 0.0
        var inner = 0.0
        for l in 0..<n {
          sum += q[l * n + i] * values[l] * q[l * n + j]
          inner += q[i * n + l] * q[j * n + l]
        }
        worst = max(worst, abs(sum - gram[i * n + j]) / values[n - 1], abs(inner - (i == j ? 1 : 0)))
      }
    }
    #expect(worst < 1e-6)
  }

  @Test func aMatrixThatIsNotFiniteIsRefused() {
    #expect(throws: LAPACKError.notFinite(order: 2)) { try Self.eigen([1, 0, .nan, 1], 2) }
  }

  @Test func aBufferIsZeroAndAligned() {
    let buffer = FloatBuffer(count: 1_000_003)
    #expect(unsafe UInt(bitPattern: buffer.pointer) % 64 == 0)
    #expect(unsafe buffer.buffer.allSatisfy { $0 == 0 })
    #expect(unsafe FloatBuffer(count: 0).buffer.isEmpty)
  }
}
