/// Where a quadratic g·p − pᵀ B p / 2 is greatest, within a radius of a point (in every coordinate), within the box of a
/// space, and, where its coefficients are normalised, among those that sum to 1 in every unit.
///
/// By projected gradients with momentum, begun anew where it points down. A quadratic that rises without end is climbed to a
/// border.
struct BoundedStep {
  let point: [Double]
  /// What the quadratic rises.
  private(set) var gain = 0.0

  private static let rounds = 400
  /// Points end on multiples of this or at a border: short numbers, finer than any difference that shots can show.
  private static let steps = 4096.0

  init(space: MixtureSpace, around center: [Double], radius: Double, gradient: [Double], curvature: Curvature) {
    let lower = center.map { max(space.lower, $0 - radius) }
    let upper = center.map { min(space.upper, $0 + radius) }
    let largest = gradient.reduce(0) { max($0, abs($1)) }
    let scale = max(curvature.norm(dimensions: center.count), 1e-6 * largest)
    guard largest > 0, scale > 0 else {
      point = center
      return
    }
    func rise(_ x: [Double]) -> Double {
      let p = zip(x, center).map { $0 - $1 }
      return dot(gradient, p) - dot(p, curvature.times(p)) / 2
    }

    var x = center
    var ahead = center
    var momentum = 1.0
    for _ in 0..<Self.rounds {
      let bend = curvature.times(zip(ahead, center).map { $0 - $1 })
      let slope = zip(gradient, bend).map { $0 - $1 }
      let moved = Self.projected(
        zip(ahead, slope).map { $0 + $1 / scale }, lower, upper, units: space.normalised ? space.units : nil)
      let step = zip(moved, x).map { $0 - $1 }
      if dot(slope, step) < 0, momentum > 1 {
        momentum = 1
        ahead = x
        continue
      }
      let following = (1 + (1 + 4 * momentum * momentum).squareRoot()) / 2
      ahead = zip(moved, step).map { $0 + (momentum - 1) / following * $1 }
      momentum = following
      x = moved
      if step.allSatisfy({ abs($0) < 1e-9 }) { break }
    }
    if !space.normalised {
      for i in x.indices where x[i] > lower[i] && x[i] < upper[i] {
        x[i] = min(max((x[i] * Self.steps).rounded() / Self.steps, lower[i]), upper[i])
      }
    }
    point = Self.awayFromNothing(x, center, space)
    gain = rise(point)
  }

  /// The nearest point within the bounds, and on the simplex of each unit.
  private static func projected(_ x: [Double], _ lower: [Double], _ upper: [Double], units: Int?) -> [Double] {
    guard let units else { return x.indices.map { min(max(x[$0], lower[$0]), upper[$0]) } }
    var result = x
    for unit in 0..<units {
      let places = Array(stride(from: unit, to: x.count, by: units))
      // x − t clamped sums to 1 for some t; the sum falls with t.
      var low = places.reduce(Double.infinity) { min($0, x[$1] - upper[$1]) }
      var high = places.reduce(-Double.infinity) { max($0, x[$1] - lower[$1]) }
      func clamped(_ place: Int, _ shift: Double) -> Double { min(max(x[place] - shift, lower[place]), upper[place]) }
      for _ in 0..<80 {
        let middle = (low + high) / 2
        if places.reduce(0, { $0 + clamped($1, middle) }) > 1 { low = middle } else { high = middle }
      }
      for place in places { result[place] = clamped(place, (low + high) / 2) }
    }
    return result
  }

  /// `sum` has no mixture where a unit's coefficients sum to nothing: such a step is shortened.
  private static func awayFromNothing(_ x: [Double], _ center: [Double], _ space: MixtureSpace) -> [Double] {
    guard space.mix == .sum, !space.normalised else { return x }
    var x = x
    for _ in 0..<40 {
      let isThere = (0..<space.units).allSatisfy { unit in
        stride(from: unit, to: x.count, by: space.units).reduce(0) { $0 + x[$1] } >= 1 / MixtureSpace.gridSteps
      }
      if isThere { return x }
      x = zip(x, center).map { ($0 + $1) / 2 }
    }
    return center
  }
}
