/// The mean of paired differences with its 95 % interval, for items on which two scorers are compared.
///
/// The interval is that of Bonett and Price (Adjusted Wald intervals for a difference of binomial proportions based on
/// paired data, JEBS 37, 2012): a normal interval after one item that the first wins and one that it loses were added.
/// Not a bootstrap, which for hundreds of items gives the same to three digits, needs a seed, and, like the plain normal
/// interval, says 0 ± 0 where the few items there are happen to be ties: three rows would then prove anything.
package struct PairedEffect: Sendable, Equatable {
  package let count: Int
  package let mean: Double
  package let low: Double
  package let high: Double

  /// - Parameter differences: of each item, in -1...1; between two scorers, or between one and the mean of several.
  package init(_ differences: [Double], z: Double = WilsonInterval.z95) {
    precondition(differences.allSatisfy { abs($0) <= 1 }, "a difference is not within -1...1")
    count = differences.count
    let n = Double(count)
    mean = differences.isEmpty ? 0 : differences.reduce(0, +) / n
    let adjusted = (n + 2, sum: differences.reduce(0, +), squares: differences.reduce(2) { $0 + $1 * $1 })
    let center = adjusted.sum / adjusted.0
    let variance = (adjusted.squares / adjusted.0 - center * center) / adjusted.0
    let half = z * max(0, variance).squareRoot()
    low = max(-1, center - half)
    high = min(1, center + half)
  }

  /// Of two scorers' items, in their order.
  package init(first: [Bool], second: [Bool]) {
    precondition(first.count == second.count, "\(first.count) items against \(second.count)")
    self.init(zip(first, second).map { ($0 ? 1 : 0) - ($1 ? 1 : 0) })
  }
}
