import Glibc
package import StrictJSON

/// Separable CMA-ES (Ros and Hansen, "A simple modification in CMA-ES achieving linear time and space complexity", PPSN
/// 2008): covariance matrix adaptation with a diagonal matrix, so that its cost and its learning rates fit hundreds of
/// coefficients.
///
/// The box: a member is drawn, clamped to the box, and then rounded to the grid to be scored. The update uses the clamped
/// point before it was rounded. So the mean, an average of points in the box, never leaves it; a step that was cut at a
/// border teaches its cut length, which draws the spread towards the border instead of beyond; and the grid, whose steps
/// say nothing about the function, does not enter the covariance. Spreads below the grid's step would draw one point
/// again and again: a floor holds each up, and the search has converged when all are there.
///
/// Member 0, the best so far, is not among the parents.
package struct SeparableCMAES: PopulationMethod {
  package static let name = SearchMethodName(declaring: "cma-es")
  package static let summary = "CMA-ES with a diagonal matrix: learns a spread for each coefficient, for many of them"
  package static let journalName = "covariance"

  package struct Settings: PopulationSettings {
    package var population = StandardSearch.population
    package var iterations = StandardSearch.iterations
    package var floor = StandardSearch.floor
    package var patience = StandardSearch.patience

    package init() {}
  }

  package let space: MixtureSpace
  private let settings: Settings
  private let rates: Rates
  package private(set) var progress: PopulationProgress
  private var mean: [Double]
  /// σ, and the diagonal of C.
  private var stepSize: Double
  package private(set) var variances: [Double]
  private var stepPath: [Double]
  private var variancePath: [Double]

  /// Weights and learning rates, which depend on the population and the dimensions alone.
  struct Rates {
    let weights: [Double]
    /// The variance effective selection mass.
    let mass: Double
    let stepPath, damping, variancePath, covariance: Double
    /// The expected length of a standard normal vector.
    let length: Double

    init(drawn: Int, dimensions: Int) {
      let parents = max(1, drawn / 2)
      let raw = (1...parents).map { log((Double(drawn) + 1) / 2) - log(Double($0)) }
      // A single draw has a weight of log 1.
      let positive = raw.map { max($0, 1e-9) }
      let total = positive.reduce(0, +)
      weights = positive.map { $0 / total }
      mass = 1 / weights.reduce(0) { $0 + $1 * $1 }
      let n = Double(dimensions)
      stepPath = (mass + 2) / (n + mass + 3)
      damping = 1 + 2 * max(0, ((mass - 1) / (n + 1)).squareRoot() - 1) + stepPath
      variancePath = 4 / (n + 4)
      let root = n + 2.0.squareRoot()
      let full = 2 / (mass * root * root) + (1 - 1 / mass) * min(1, (2 * mass - 1) / ((n + 2) * (n + 2) + mass))
      // The step of Ros and Hansen: a diagonal has n numbers to learn and not n²/2, so it may learn faster.
      covariance = min(1, full * (n + 2) / 3)
      length = n.squareRoot() * (1 - 1 / (4 * n) + 1 / (21 * n * n))
    }
  }

  package init(space: MixtureSpace, settings: Settings, start: SearchStart) {
    precondition(settings.population > 1, "a population of \(settings.population)")
    self.space = space
    self.settings = settings
    progress = PopulationProgress(
      population: settings.population, iterations: settings.iterations, patience: settings.patience, start: start)
    rates = Rates(drawn: settings.population - 1, dimensions: space.dimensions)
    mean = space.center
    stepSize = 0.3 * (space.upper - space.lower)
    variances = Array(repeating: 1, count: space.dimensions)
    stepPath = Array(repeating: 0, count: space.dimensions)
    variancePath = stepPath
  }

  /// The parents, and the best so far, which may stand before them.
  package var leaderCount: Int { rates.weights.count + 1 }
  package var spread: Double? { deviation.reduce(0, +) / Double(deviation.count) }

  /// The spread of each coordinate, held up by the floor and inside the box's width.
  private var deviation: [Double] {
    variances.map { min(max(stepSize * $0.squareRoot(), settings.floor), space.upper - space.lower) }
  }

  package func member(_ number: Int) -> [Double] { drawn(number).map(space.snapped) }

  /// A member in the box, not yet on the grid.
  private func drawn(_ member: Int) -> [Double] {
    let deviation = deviation
    let normals = progress.normals(space.dimensions, member: member)
    return mean.indices.map { space.clamped(mean[$0] + deviation[$0] * normals[$0]) }
  }

  package mutating func tell(_ leaders: [RankedMember]) {
    let best = points(of: leaders)[0]
    update(leaders.filter { $0.member > 0 }.prefix(rates.weights.count).map { drawn($0.member) })
    progress.advance(best, leaders[0].score, hasConverged: deviation.allSatisfy { $0 <= settings.floor })
  }

  private mutating func update(_ parents: [[Double]]) {
    let before = mean
    for i in mean.indices {
      mean[i] = zip(rates.weights, parents).reduce(0) { $0 + $1.0 * $1.1[i] }
      let step = (mean[i] - before[i]) / stepSize
      stepPath[i] =
        (1 - rates.stepPath) * stepPath[i]
        + (rates.stepPath * (2 - rates.stepPath) * rates.mass).squareRoot() * step / variances[i].squareRoot()
    }
    let length = stepPath.reduce(0) { $0 + $1 * $1 }.squareRoot()
    let begun = (1 - pow(1 - rates.stepPath, 2 * Double(progress.generation + 1))).squareRoot()
    // While the step size still grows fast, the path of the covariance waits, or one axis would take it all.
    let isCalm = length / begun < (1.4 + 2 / (Double(mean.count) + 1)) * rates.length
    for i in mean.indices {
      let step = (mean[i] - before[i]) / stepSize
      variancePath[i] =
        (1 - rates.variancePath) * variancePath[i]
        + (isCalm ? (rates.variancePath * (2 - rates.variancePath) * rates.mass).squareRoot() * step : 0)
      let spread = zip(rates.weights, parents).reduce(0) { sum, parent in
        let distance = (parent.1[i] - before[i]) / stepSize
        return sum + parent.0 * distance * distance
      }
      variances[i] =
        (1 - rates.covariance) * variances[i]
        + rates.covariance / rates.mass * variancePath[i] * variancePath[i]
        + rates.covariance * (1 - 1 / rates.mass) * spread
      // A coordinate whose parents agree to the last bit keeps a spread to divide by; the floor holds it up when drawing.
      variances[i] = max(variances[i], 1e-20)
    }
    stepSize *= exp(min(1, rates.stepPath / rates.damping * (length / rates.length - 1)))
    stepSize = min(max(stepSize, 1e-6), 10 * (space.upper - space.lower))
  }

  package var state: JSONValue {
    progress.state([
      "mean": list(mean), "step": .number(stepSize), "variances": list(variances), "step_path": list(stepPath),
      "variance_path": list(variancePath),
    ])
  }
}
