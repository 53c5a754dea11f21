package import Multipliers

/// The box that a search moves in, and what its points mean.
///
/// A point has one coordinate for each expert and unit, expert by expert. Coordinates lie on a grid of 1/64: coarser than
/// any difference that ten examples can show, and fine enough for points to meet again, which the cache lives on.
package struct MixtureSpace: Sendable, Equatable {
  package static let gridSteps = 64.0

  package let experts: Int
  package let units: Int
  package let granularity: Granularity
  package let mix: MixRule
  /// Whether each unit's coefficients are divided by their sum.
  package let normalised: Bool
  package let lower: Double
  package let upper: Double

  package init(
    experts: Int, units: Int, granularity: Granularity, mix: MixRule, normalised: Bool = false, lower: Double = 0,
    upper: Double = 1
  ) {
    precondition(experts > 0 && units > 0 && lower < upper, "\(experts) experts, \(units) units, \(lower)...\(upper)")
    self.experts = experts
    self.units = units
    self.granularity = granularity
    self.mix = mix
    self.normalised = normalised
    self.lower = lower
    self.upper = upper
  }

  package var dimensions: Int { experts * units }

  /// All experts in equal parts: where every method begins.
  var center: [Double] { Array(repeating: snapped(1 / Double(experts)), count: dimensions) }

  func clamped(_ value: Double) -> Double { min(max(value, lower), upper) }

  /// The nearest grid point inside the box.
  package func snapped(_ value: Double) -> Double {
    clamped((clamped(value) * Self.gridSteps).rounded() / Self.gridSteps)
  }

  /// Coefficients that nothing ties to each other.
  package var freedom: Int { normalised ? dimensions - units : dimensions }

  /// The mixture at a point; nil where it is to be normalised and its coefficients sum to nothing.
  ///
  /// Normalised coefficients are rounded to the grid too, by the largest remainders, so that they still sum to exactly 1
  /// and points of one direction are one candidate. A gradient is taken where it is asked for: `onGrid` false.
  package func coefficients(at point: [Double], onGrid: Bool = true) -> MixtureCoefficients? {
    precondition(point.count == dimensions, "a point of \(point.count) coordinates in \(dimensions) dimensions")
    var alpha = (0..<experts).map { k in Array(point[k * units..<(k + 1) * units]) }
    if normalised {
      for unit in 0..<units {
        let sum = alpha.reduce(0.0) { $0 + $1[unit] }
        guard abs(sum) >= 1 / Self.gridSteps else { return nil }
        let shares = alpha.map { $0[unit] / sum }
        for (k, share) in (onGrid ? Self.rounded(shares) : shares).enumerated() { alpha[k][unit] = share }
      }
    }
    return MixtureCoefficients(granularity: granularity, mix: mix, alpha: alpha.map { $0.map { Float($0) } })
  }
}

extension MixtureSpace {
  /// Where a mixture of one coefficient for each expert lies; nil where it is not in the box, or not of the space's kind:
  /// the base is a point under `delta` only, and normalised coefficients sum to 1.
  package func point(of candidate: MixtureCoefficients) -> [Double]? {
    guard candidate.granularity == .vector, candidate.alpha.count == experts else { return nil }
    let alpha = candidate.alpha.map { Double($0[0]) }
    let isWhole = abs(alpha.reduce(0, +) - 1) < 1e-6
    // Where Σα = 1 the two rules agree.
    guard isWhole || !normalised && mix == .delta && candidate.mix == .delta else { return nil }
    guard alpha.allSatisfy({ $0 >= lower && $0 <= upper }) else { return nil }
    return alpha.flatMap { Array(repeating: $0, count: units) }
  }

  /// Shares that sum to one as multiples of a grid step that sum to one: each rounded down, and the steps that are left
  /// given to the largest remainders, the first of equal ones.
  private static func rounded(_ shares: [Double]) -> [Double] {
    var steps = shares.map { ($0 * gridSteps).rounded(.down) }
    let left = Int(gridSteps - steps.reduce(0, +))
    let byRemainder = shares.indices.sorted { a, b in
      let (x, y) = (shares[a] * gridSteps - steps[a], shares[b] * gridSteps - steps[b])
      return x != y ? x > y : a < b
    }
    for k in byRemainder.prefix(max(0, left)) { steps[k] += 1 }
    return steps.map { $0 / gridSteps }
  }
}
