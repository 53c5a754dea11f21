import ResultText

/// A linear scale from values to places, with round ticks.
package struct Axis {
  package let low: Double
  package let high: Double
  package let ticks: [Double]
  private let start: Double
  private let end: Double
  private let decimals: Int

  /// Covers the finite ones of `values`, or exactly `range`; `whole`: of what is counted, so no tick stands between two
  /// numbers. Nil where there is nothing to cover.
  package init?(
    covering values: [Double], within range: ClosedRange<Double>? = nil, from start: Double, to end: Double,
    about count: Int = 5, at given: [Double]? = nil, whole: Bool = false
  ) {
    let finite = values.filter(\.isFinite)
    guard let least = range?.lowerBound ?? finite.min(), let most = range?.upperBound ?? finite.max() else {
      return nil
    }
    // One value alone stands in the middle.
    let isFlat = most - least < 1e-12
    let bottom = isFlat ? least - max(0.05, abs(least) * 0.05) : least
    let top = isFlat ? most + max(0.05, abs(most) * 0.05) : most
    let step = max(whole ? 1 : 0, Self.roundStep((top - bottom) / Double(max(1, count))))
    (self.start, self.end) = (start, end)
    low = range?.lowerBound ?? (given == nil ? (bottom / step).rounded(.down) * step : bottom)
    high = range?.upperBound ?? (given == nil ? (top / step).rounded(.up) * step : top)
    let first = (low / step - 1e-9).rounded(.up)
    let last = (high / step + 1e-9).rounded(.down)
    ticks = given ?? stride(from: first, through: last, by: 1).map { $0 * step }
    var decimals = 0
    var unit = given == nil ? step : 1
    while unit < 0.999, decimals < 6 {
      unit *= 10
      decimals += 1
    }
    self.decimals = given?.allSatisfy { $0 == $0.rounded() } == false ? 2 : decimals
  }

  /// 1, 2 or 5 times a power of ten, not below `least`.
  private static func roundStep(_ least: Double) -> Double {
    var unit = 1.0
    while unit > least { unit /= 10 }
    while unit * 10 <= least { unit *= 10 }
    return [1, 2, 5].map { $0 * unit }.first { $0 >= least * 0.999 } ?? unit * 10
  }

  package func place(_ value: Double) -> Double { start + (value - low) / (high - low) * (end - start) }

  /// The nearest place on the axis.
  package func clipped(_ value: Double) -> Double { place(min(high, max(low, value))) }

  package func covers(_ value: Double) -> Bool { value >= low - 1e-9 && value <= high + 1e-9 }

  package func label(_ tick: Double) -> String { fixed(tick, decimals) }
}
