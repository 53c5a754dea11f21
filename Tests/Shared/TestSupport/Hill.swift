/// −(x − target)ᵀ H (x − target) / 2 − 2 with a little of a third power, which no quadratic foretells.
package struct Hill {
  package var target: [Double]
  /// Of H's diagonal; beside it all coordinates pull at each other.
  package var weights: [Double]
  package var coupling = 0.3
  package var skew = 0.0

  package init(target: [Double], weights: [Double], coupling: Double = 0.3, skew: Double = 0) {
    self.target = target
    self.weights = weights
    self.coupling = coupling
    self.skew = skew
  }

  package func value(_ x: [Double]) -> Double {
    let p = zip(x, target).map { $0 - $1 }
    let sum = p.reduce(0, +)
    var value = -2 - coupling * sum * sum / 2
    for (w, p) in zip(weights, p) { value -= w * p * p / 2 + skew * p * p * p / 6 }
    return value
  }

  package func gradient(_ x: [Double]) -> [Double] {
    let p = zip(x, target).map { $0 - $1 }
    let sum = p.reduce(0, +)
    return zip(weights, p).map { -$0 * $1 - coupling * sum - skew * $1 * $1 / 2 }
  }
}
