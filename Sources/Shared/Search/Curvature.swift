/// How a function bends, as far as it is known: B = κ I + Σ c v vᵀ, about minus its matrix of second derivatives. A term for
/// each thing learnt, so that it costs what was learnt, however many dimensions there are.
struct Curvature: Sendable {
  private(set) var diagonal = 1.0
  private var terms: [(factor: Double, vector: [Double])] = []

  /// From value and gradient at one point and values at others: towards each, sᵀ B s = 2 (f₀ + g·s − f).
  ///
  /// The least change of κ I that has them, those near `center` exactly and those far from it roughly: what no
  /// quadratic has, a third power, grows with the distance from where the quadratic is to be right.
  init(
    at point: [Double], value: Double, gradient: [Double], known: [(point: [Double], logLikelihood: Double)],
    near center: [Double]
  ) {
    var steps: [[Double]] = []
    var bends: [Double] = []
    var errors: [Double] = []
    for other in known {
      let step = zip(other.point, point).map { $0 - $1 }
      guard step.contains(where: { $0 != 0 }) else { continue }
      let distance = zip(other.point, center).reduce(0) { max($0, abs($1.0 - $1.1)) }
      steps.append(step)
      bends.append(2 * (value + dot(gradient, step) - other.logLikelihood))
      errors.append(distance * distance * distance)
    }
    guard !steps.isEmpty else {
      // As if the gradient were spent after a tenth of a unit: a small first step, whose gradient then tells more.
      diagonal = max(10 * gradient.reduce(0) { max($0, abs($1)) }, 1e-3)
      return
    }
    let squares = steps.map { dot($0, $0) }
    diagonal = max(zip(bends, squares).reduce(0) { $0 + max($1.0, 0) / $1.1 } / Double(steps.count), 1e-3)
    let products = steps.map { a in
      steps.map { b in
        let product = dot(a, b)
        return product * product
      }
    }
    // A ridge, also where a point was met twice.
    let ridges = zip(errors, squares).map { $0 * $0 + 1e-9 * $1 * $1 }
    let rest = zip(bends, squares).map { $0 - diagonal * $1 }
    terms = zip(solved(products, ridge: ridges, rest), steps).map { ($0, $1) }
  }

  /// κ I and a symmetric matrix, by its places on and above the diagonal.
  init(diagonal: Double, changes: [(row: Int, column: Int, value: Double)], dimensions: Int) {
    self.diagonal = diagonal
    for change in changes where change.value != 0 {
      var sum = Array(repeating: 0.0, count: dimensions)
      sum[change.row] = 1
      guard change.row != change.column else {
        terms.append((change.value, sum))
        continue
      }
      // (e + e')(e + e')ᵀ − (e − e')(e − e')ᵀ = 2 (e e'ᵀ + e' eᵀ)
      var difference = sum
      sum[change.column] = 1
      difference[change.column] = -1
      terms += [(change.value / 2, sum), (-change.value / 2, difference)]
    }
  }

  /// B s = y from here on, where it can be had without much ado.
  mutating func learn(step: [Double], bend: [Double]) {
    let rest = zip(bend, times(step)).map { $0 - $1 }
    let product = dot(rest, step)
    let lengths = (dot(rest, rest) * dot(step, step)).squareRoot()
    guard lengths > 0, abs(product) > 1e-6 * lengths else { return }
    terms.append((1 / product, rest))
  }

  func times(_ x: [Double]) -> [Double] {
    var result = x.map { diagonal * $0 }
    for term in terms {
      let share = term.factor * dot(term.vector, x)
      for i in result.indices { result[i] += share * term.vector[i] }
    }
    return result
  }

  /// A little more than the largest absolute eigenvalue, by powers of B.
  func norm(dimensions: Int) -> Double {
    // Not along an axis, nor along the diagonal, where steps begin.
    var x = (0..<dimensions).map { 1 + Double($0 * 7 % 11) / 16 }
    var norm = diagonal
    for _ in 0..<30 {
      let length = dot(x, x).squareRoot()
      guard length > 0 else { break }
      let y = times(x.map { $0 / length })
      norm = dot(y, y).squareRoot()
      x = y
    }
    return 1.1 * max(norm, 1e-12)
  }
}

func dot(_ a: [Double], _ b: [Double]) -> Double {
  var sum = 0.0
  for i in a.indices { sum += a[i] * b[i] }
  return sum
}

/// x of (A + diag(ridge)) x = b for a positive semidefinite A: Cholesky without roots.
func solved(_ matrix: [[Double]], ridge: [Double], _ b: [Double]) -> [Double] {
  var lower = matrix
  var pivots = ridge
  var x = b
  for i in b.indices {
    for j in 0..<i {
      var sum = matrix[i][j]
      for k in 0..<j { sum -= lower[i][k] * lower[j][k] * pivots[k] }
      lower[i][j] = sum / pivots[j]
      x[i] -= lower[i][j] * x[j]
    }
    var pivot = matrix[i][i]
    for k in 0..<i { pivot -= lower[i][k] * lower[i][k] * pivots[k] }
    // The ridge bounds it from below, but for rounding.
    pivots[i] = max(pivot, 0) + ridge[i]
  }
  for i in b.indices.reversed() {
    x[i] /= pivots[i]
    for k in i + 1..<b.count { x[i] -= lower[k][i] * x[k] }
  }
  return x
}
