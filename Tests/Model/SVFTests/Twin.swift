import Multipliers

/// The naive twin: a singular value decomposition by one-sided Jacobi rotations in double, short enough to be checked
/// by reading, and W' = U diag(s σ) Vᵀ from it.
struct Twin {
  let (m, n): (Int, Int)
  /// (min(m, n), each of m, σ, and of n), by descending σ.
  var terms: [(u: [Double], sigma: Double, v: [Double])] = []

  init(_ w: [Float], rows m: Int, columns n: Int) {
    (self.m, self.n) = (m, n)
    // Rotations make the columns of `a` orthogonal; on a wide matrix those of its transpose.
    let isWide = m < n
    let (long, short) = (max(m, n), min(m, n))
    var a = (0..<short).map { j in (0..<long).map { i in Double(isWide ? w[j * n + i] : w[i * n + j]) } }
    var v = (0..<short).map { j in (0..<short).map { $0 == j ? 1.0 : 0 } }
    for _ in 0..<60 {
      var largest = 0.0
      for p in 0..<short {
        for q in p + 1..<max(short, p + 1) {
          let (pp, qq, pq) = (dot(a[p], a[p]), dot(a[q], a[q]), dot(a[p], a[q]))
          guard abs(pq) > 1e-15 * (pp * qq).squareRoot() else { continue }
          largest = max(largest, abs(pq) / (pp * qq).squareRoot())
          let zeta = (qq - pp) / (2 * pq)
          let t = (zeta < 0 ? -1 : 1) / (abs(zeta) + (1 + zeta * zeta).squareRoot())
          let c = 1 / (1 + t * t).squareRoot()
          rotate(&a, p, q, c, c * t)
          rotate(&v, p, q, c, c * t)
        }
      }
      if largest < 1e-14 { break }
    }
    for j in 0..<short {
      let sigma = dot(a[j], a[j]).squareRoot()
      let side = a[j].map { sigma > 0 ? $0 / sigma : 0 }
      terms.append(isWide ? (v[j], sigma, side) : (side, sigma, v[j]))
    }
    terms.sort { $0.sigma > $1.sigma }
  }

  var sigma: [Double] { terms.map(\.sigma) }

  /// U diag(s σ) Vᵀ (m, n).
  func adapted(_ s: [Float]) -> [Double] {
    var out = [Double](repeating: 0, count: m * n)
    for (term, s) in zip(terms, s) {
      for i in 0..<m {
        for j in 0..<n { out[i * n + j] += term.u[i] * Double(s) * term.sigma * term.v[j] }
      }
    }
    return out
  }
}

private func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

private func rotate(_ a: inout [[Double]], _ p: Int, _ q: Int, _ c: Double, _ s: Double) {
  for i in a[p].indices {
    let (x, y) = (a[p][i], a[q][i])
    a[p][i] = c * x - s * y
    a[q][i] = s * x + c * y
  }
}

/// x Wᵀ: (rows, n) by (m, n).
func product(_ x: [Float], _ w: [Double], rows: Int, m: Int, n: Int) -> [Double] {
  (0..<rows * m).map { index in
    (0..<n).reduce(0) { $0 + Double(x[index / m * n + $1]) * w[index % m * n + $1] }
  }
}

/// |found − expected| / |expected|, by Frobenius norms.
func relativeError(_ found: [Float], _ expected: [Double]) -> Double {
  let difference = zip(found, expected).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
  let norm = expected.reduce(0) { $0 + $1 * $1 }
  return norm == 0 ? difference.squareRoot() : (difference / norm).squareRoot()
}
