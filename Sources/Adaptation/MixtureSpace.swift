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

  /// The nearest grid point inside the box.
  package func snapped(_ value: Double) -> Double {
    let clamped = min(max(value, lower), upper)
    return min(max((clamped * Self.gridSteps).rounded() / Self.gridSteps, lower), upper)
  }

  /// The mixture at a point; nil where it is to be normalised and its coefficients sum to nothing.
  package func coefficients(at point: [Double]) -> MixtureCoefficients? {
    precondition(point.count == dimensions, "a point of \(point.count) coordinates in \(dimensions) dimensions")
    var alpha = (0..<experts).map { k in Array(point[k * units..<(k + 1) * units]) }
    if normalised {
      for unit in 0..<units {
        let sum = alpha.reduce(0.0) { $0 + $1[unit] }
        guard abs(sum) >= 1 / Self.gridSteps else { return nil }
        for k in 0..<experts { alpha[k][unit] /= sum }
      }
    }
    return MixtureCoefficients(granularity: granularity, mix: mix, alpha: alpha.map { $0.map { Float($0) } })
  }
}

/// What makes two mixtures the same to the cache: the same numbers, used the same way.
struct MixtureKey: Hashable, Sendable {
  private let granularity: Granularity
  private let mix: MixRule
  private let bits: [UInt32]

  init(_ coefficients: MixtureCoefficients) {
    granularity = coefficients.granularity
    mix = coefficients.mix
    // −0 is 0: both give the same products.
    bits = coefficients.alpha.flatMap { $0.map { ($0 == 0 ? 0 : $0).bitPattern } }
  }
}
