import Glibc

/// The exact two-sided McNemar test: of the items on which two scorers differ, does one win more often than a fair coin would?
///
/// Q. McNemar (1947); exact by the binomial distribution, which holds for any number of items.
package struct McNemarTest: Sendable, Equatable {
  /// Items that only the first has right.
  package let firstOnly: Int
  /// Items that only the second has right.
  package let secondOnly: Int
  package let pValue: Double

  package init(firstOnly: Int, secondOnly: Int) {
    precondition(firstOnly >= 0 && secondOnly >= 0, "\(firstOnly) and \(secondOnly) items")
    self.firstOnly = firstOnly
    self.secondOnly = secondOnly
    let n = firstOnly + secondOnly
    let fewer = min(firstOnly, secondOnly)
    // Twice the lower tail of Binomial(n, 1/2). Each term by log-gamma, so that nothing overflows for thousands of items; where both
    // tails meet (an equal split) twice the tail is above 1.
    var tail = 0.0
    for k in 0...fewer { tail += exp(logChoose(n, k) - Double(n) * M_LN2) }
    pValue = min(1, 2 * tail)
  }

  /// Pairs the items of two scorers in their order.
  package init(first: [Bool], second: [Bool]) {
    precondition(first.count == second.count, "\(first.count) items against \(second.count)")
    var firstOnly = 0
    var secondOnly = 0
    for (a, b) in zip(first, second) where a != b {
      if a { firstOnly += 1 } else { secondOnly += 1 }
    }
    self.init(firstOnly: firstOnly, secondOnly: secondOnly)
  }
}

private func logChoose(_ n: Int, _ k: Int) -> Double {
  logGamma(Double(n) + 1) - logGamma(Double(k) + 1) - logGamma(Double(n - k) + 1)
}

/// ln Γ(x) for x ≥ 1. Not libc's `lgamma`, which writes a global and is no function for several threads.
func logGamma(_ x: Double) -> Double {
  // Stirling's series from 16 on, where its first six terms are exact to a double; below by the recurrence.
  var shift = 0.0
  var x = x
  while x < 16 {
    shift += log(x)
    x += 1
  }
  let inverse = 1 / x
  let square = inverse * inverse
  let series =
    inverse
    * (1.0 / 12 - square
      * (1.0 / 360 - square * (1.0 / 1260 - square * (1.0 / 1680 - square * (1.0 / 1188 - square * 691.0 / 360360)))))
  return (x - 0.5) * log(x) - x + 0.5 * log(2 * Double.pi) + series - shift
}
