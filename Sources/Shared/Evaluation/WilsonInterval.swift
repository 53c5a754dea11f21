import Glibc

/// Wilson's score interval of a proportion: sound for few items and for proportions near 0 and 1, where mean ± 2 s.e. is not.
///
/// E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
package struct WilsonInterval: Sendable, Equatable {
  package let low: Double
  package let high: Double

  /// The two-sided 95 % quantile of the normal distribution.
  package static let z95 = 1.959963984540054

  /// All of [0, 1] where there are no items.
  package init(successes: Int, of count: Int, z: Double = z95) {
    precondition(successes >= 0 && successes <= count, "\(successes) successes of \(count)")
    guard count > 0 else {
      low = 0
      high = 1
      return
    }
    let n = Double(count)
    let p = Double(successes) / n
    let center = (p + z * z / (2 * n)) / (1 + z * z / n)
    let half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
    low = successes == 0 ? 0 : max(0, center - half)
    high = successes == count ? 1 : min(1, center + half)
  }
}
