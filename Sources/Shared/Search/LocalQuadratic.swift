/// The quadratic f(c) + g·p − pᵀ B p / 2 around a point, fitted to values and gradients at others by least squares.
///
/// It has d + d(d+1)/2 numbers and is for few coefficients, where about as many are known. What no quadratic has, a third
/// power, grows with the distance: a value that lies r away may be missed by 0.3 r³, a gradient by 0.9 r², each in units of
/// the curvature. So what is near decides, and what is far only leans.
struct LocalQuadratic {
  let gradient: [Double]
  let curvature: Curvature

  /// What was seen at a point, as seen from the center.
  struct Datum {
    var step: [Double]
    /// Above the center.
    var rise: Double
    var gradient: [Double]?
  }

  /// `scale` is about how strongly the function bends: what B is drawn to where nothing says more.
  init(dimensions: Int, scale: Double, data: [Datum]) {
    let places = (0..<dimensions).flatMap { i in (i..<dimensions).map { (i, $0) } }
    let count = dimensions + places.count
    var normal = Array(repeating: Array(repeating: 0.0, count: count), count: count)
    var right = Array(repeating: 0.0, count: count)
    func add(_ row: [Double], _ target: Double, variance: Double) {
      for i in row.indices where row[i] != 0 {
        right[i] += row[i] * target / variance
        for j in row.indices { normal[i][j] += row[i] * row[j] / variance }
      }
    }
    for datum in data {
      let step = datum.step
      let distance = step.reduce(0) { max($0, abs($1)) }
      let square = distance * distance
      if distance > 0 {
        // Of float passes: hundred thousandths of a nat.
        let error = 0.3 * scale * square * distance
        add(
          step + places.map { -step[$0] * step[$1] * ($0 == $1 ? 0.5 : 1) },
          datum.rise + scale * dot(step, step) / 2, variance: error * error + 1e-10)
      }
      guard let gradient = datum.gradient else { continue }
      let slope = 0.9 * scale * square
      for i in 0..<dimensions {
        var row = Array(repeating: 0.0, count: count)
        row[i] = 1
        for (number, place) in places.enumerated() {
          if place.0 == i { row[dimensions + number] = -step[place.1] }
          if place.1 == i { row[dimensions + number] = -step[place.0] }
        }
        add(row, gradient[i] + scale * step[i], variance: slope * slope + 1e-8)
      }
    }
    // B is about `scale` times the identity, within twice that; of the gradient nothing is known beforehand.
    let prior = 1 / (4 * scale * scale)
    let ridge = Array(repeating: 1e-6 * prior, count: dimensions) + Array(repeating: prior, count: places.count)
    let found = solved(normal, ridge: ridge, right)
    gradient = Array(found[..<dimensions])
    curvature = Curvature(
      diagonal: scale, changes: zip(places, found[dimensions...]).map { ($0.0, $0.1, $1) }, dimensions: dimensions)
  }
}
