package import StrictJSON

/// Ascent of the mean log-likelihood of the gold answers by its gradient: tens of evaluations where a population takes
/// thousands.
///
/// A trust region around the best point so far, in which the log-likelihood is taken for a quadratic. It passes through
/// a point whose gradient the backward pass gave; its curvature is learnt from values at other points (the baselines to
/// begin with, whose scores are there already) and from how gradients differ. The region grows where the quadratic
/// foretells well and shrinks where it does not. Nothing is drawn at random.
///
/// A gradient costs three times a value and says as many numbers as there are coefficients. So few coefficients are
/// climbed by one gradient and then by values, many by gradients.
///
/// The first gradient is asked for where all experts have equal parts, whatever the shots say: searches of the same task
/// on other shots ask there too, and share what it cost.
///
/// Projected Adam was tried first: its steps do not know how long they should be, and it spends the evaluations that this
/// search is to save on finding out.
package struct GradientAscent: SearchMethod {
  package static let name = SearchMethodName(declaring: "gradient")
  package static let summary = "ascends the gold choices' log-likelihood by its gradient: the fewest evaluations"
  package static let needsGradients = true
  package static let isOnGrid = false
  package static let followsFolds = true

  package struct Settings: SearchMethodSettings {
    /// Evaluations at most. Many coefficients go on fitting ten examples long after it means anything.
    package var iterations = 20
    /// The same of a search without a fold: one step from the uniform mixture, whose gradient it shares. On five shots it
    /// would wander along what is flat.
    package var foldIterations = 2
    /// Ends where the next step promises less: nats a token.
    package var tolerance = 2e-4
    /// The same of a search without a fold, which only asks what the other shots say: on five shots two hundredths of a nat
    /// say nothing.
    package var foldTolerance = 2e-2
    /// Which of the points on the way is the best.
    package var objective = Objective.loglik

    package init() {}

    package mutating func apply(_ requested: RequestedSettings) {
      // What is asked for is meant for populations, and never more than this method has use for.
      iterations = min(iterations, requested.iterations ?? iterations)
      objective = requested.objective ?? objective
    }
  }

  package let space: MixtureSpace
  package let settings: Settings
  private let tolerance: Double
  private let iterations: Int

  /// What was known before the first question.
  private var known: [(point: [Double], score: MemberScore)] = []
  private var history: [Evaluation] = []
  private var radius: Double
  private var next: Step
  package private(set) var best: (point: [Double], score: MemberScore)?
  package private(set) var stopReason: StopReason?

  private struct Evaluation: Sendable {
    var point: [Double]
    var score: MemberScore
    /// Nil where only the value was asked for.
    var gradient: [Double]?

    var value: Double { score.logLikelihood }
  }

  private struct Step: Sendable {
    var point: [Double]
    var wantsGradient = true
    /// To learn more of what lies near the center, whatever is promised there.
    var isProbe = false
    /// The rise that the quadratic promises.
    var gain = 0.0
    /// From the center of the region, and the value there.
    var length = 0.0
    var height = -Double.infinity
  }

  package init(space: MixtureSpace, settings: Settings, start: SearchStart) {
    self.space = space
    self.settings = settings
    tolerance = start.isWhole ? settings.tolerance : settings.foldTolerance
    iterations = start.isWhole ? settings.iterations : min(settings.iterations, settings.foldIterations)
    radius = 0.3 * (space.upper - space.lower)
    let equal = 1 / Double(space.experts)
    next = Step(point: Array(repeating: space.normalised ? equal : space.clamped(equal), count: space.dimensions))
    if iterations < 1 { stopReason = .iterations }
  }

  package var generation: Int { history.count }
  package var unspent: Int { 3 * (iterations - generation) }

  package var question: Question? {
    guard stopReason == nil else { return nil }
    let request = PointRequest(generation: generation, point: next.point)
    return next.wantsGradient ? .gradient(request) : .value(request)
  }

  package mutating func begin(knowing scores: [(point: [Double], score: MemberScore)]) {
    precondition(history.isEmpty, "a search that has begun is told what was known before")
    known = scores.filter { $0.score.logLikelihood.isFinite }
    for one in known { keepBest(one.point, one.score) }
  }

  package mutating func take(_ answer: Answer) {
    guard stopReason == nil else { preconditionFailure("told a search that has ended") }
    switch (answer, next.wantsGradient) {
    case (.gradient(let found), true):
      history.append(Evaluation(point: next.point, score: found.score, gradient: found.gradient))
    case (.value(let score), false): history.append(Evaluation(point: next.point, score: score))
    case (.gradient, _), (.value, _), (.ranking, _):
      preconditionFailure("\(Self.name) asked for another thing than it was told")
    }
    learn(from: history[history.count - 1])
    goOn()
  }

  private mutating func keepBest(_ point: [Double], _ score: MemberScore) {
    if best.map({ $0.score.isBelow(score, by: settings.objective) }) ?? true { best = (point, score) }
  }

  /// How far the quadratic can be trusted.
  private mutating func learn(from here: Evaluation) {
    keepBest(here.point, here.score)
    guard here.value.isFinite, here.gradient?.allSatisfy(\.isFinite) ?? true else {
      // No mixture, or one that leaves the range of float: nearer then, if there is anywhere to be near to.
      history[history.count - 1].gradient = nil
      radius /= 4
      return
    }
    guard history.count > 1, !next.isProbe else { return }
    let rise = here.value - next.height
    if rise < 0.25 * next.gain {
      // What values at other points bent wrongly, the value here has mended; a tiny region would only make it slow.
      radius = max(next.length / 2, next.wantsGradient ? 0 : Self.leastRadius * (space.upper - space.lower))
    } else if rise > 0.75 * next.gain, next.length > 0.9 * radius {
      radius = min(2 * radius, space.upper - space.lower)
    }
  }

  /// The next question, or the end.
  private mutating func goOn() {
    let sound = known.map { Evaluation(point: $0.point, score: $0.score) } + history.filter(\.value.isFinite)
    let slopes = sound.filter { $0.gradient != nil }
    guard let center = sound.max(by: { $0.value < $1.value }),
      let anchor = slopes.max(by: { $0.value < $1.value }), let slope = anchor.gradient
    else {
      stopReason = .converged
      return
    }
    var curvature = Curvature(
      at: anchor.point, value: anchor.value, gradient: slope, known: sound.map { ($0.point, $0.value) },
      near: center.point)
    // Of the numbers that make a quadratic, value and gradient at the anchor aside.
    let freedom = space.freedom
    let values = sound.count { one in !slopes.contains { $0.point == one.point } }
    let isFew = values + (slopes.count - 1) * (freedom + 1) >= freedom * (freedom + 1) / 2
    let gradient: [Double]
    if isFew {
      let start = history[0].point
      let data = sound.map { one in
        // Where it begins, every expert has a good part of its strength and an edge may be near: what is seen around says
        // more of what lies ahead than the slope on the one side of it.
        let isTrusted = one.point != center.point || one.point != start
        return LocalQuadratic.Datum(
          step: difference(one.point, center.point), rise: one.value - center.value,
          gradient: isTrusted ? one.gradient : nil)
      }
      let fit = LocalQuadratic(dimensions: space.dimensions, scale: curvature.diagonal, data: data)
      (gradient, curvature) = (fit.gradient, fit.curvature)
    } else {
      for other in slopes where other.point != anchor.point {
        guard let there = other.gradient else { continue }
        curvature.learn(step: difference(other.point, anchor.point), bend: difference(slope, there))
      }
      gradient = difference(slope, curvature.times(difference(center.point, anchor.point)))
    }
    let step = BoundedStep(
      space: space, around: center.point, radius: radius, gradient: gradient, curvature: curvature)
    next = Step(
      point: step.point, wantsGradient: !isFew, gain: step.gain,
      length: zip(step.point, center.point).reduce(0) { max($0, abs($1.0 - $1.1)) }, height: center.value)
    // A small promise within a small region says nothing of what lies beyond it.
    let isInside = next.length < 0.99 * radius || radius < 1 / MixtureSpace.gridSteps
    if step.gain < tolerance && isInside || step.point == center.point {
      // A quadratic that was fitted to what lies far away may see no rise where there is one.
      if isFew, let probe = probe(near: center.point, sound.map(\.point), slopes.map(\.point), uphill: gradient) {
        next = probe
      } else {
        stopReason = .converged
      }
    }
    // Nobody would follow the last gradient, and at a point that is known there is nothing else to ask.
    let isLast = generation + 1 >= iterations
    if stopReason == nil, generation >= iterations || isLast && next.isProbe && next.wantsGradient {
      stopReason = .iterations
    }
    if isLast { next.wantsGradient = false }
  }

  /// Of the range of a coefficient, where values are asked for.
  private static let leastRadius = 0.06
  private static let (nearby, probeLength) = (0.1, 0.06)

  /// What to ask near the center before the end; nil where enough is known there.
  ///
  /// Of two coefficients a value beside it, along the one of which the points nearby say least, but not where a step away
  /// from a border would lose ten times what counts. Of three and more the gradient, which says all at the cost of three.
  private func probe(
    near center: [Double], _ points: [[Double]], _ slopes: [[Double]], uphill gradient: [Double]
  ) -> Step? {
    guard !space.normalised else { return nil }
    if space.freedom > 2 {
      let isKnown = slopes.contains { difference($0, center).allSatisfy { abs($0) <= Self.probeLength } }
      return isKnown ? nil : Step(point: center, isProbe: true)
    }
    let steps = points.map { difference($0, center) }
      .filter { step in step.contains { $0 != 0 } && step.allSatisfy { abs($0) <= Self.nearby } }
    let known = center.indices.map { i in steps.reduce(0) { max($0, abs($1[i])) } }
    let open = center.indices.filter { i in
      let outward = center[i] <= space.lower ? -gradient[i] : center[i] >= space.upper ? gradient[i] : 0
      return outward * Self.probeLength <= 10 * tolerance
    }
    guard let axis = open.min(by: { known[$0] < known[$1] }), known[axis] < Self.probeLength / 2 else { return nil }
    let length = gradient[axis] < 0 ? -Self.probeLength : Self.probeLength
    let isInside = (space.lower...space.upper).contains(center[axis] + length)
    var point = center
    point[axis] = space.clamped(center[axis] + (isInside ? length : -length))
    return point == center ? nil : Step(point: point, wantsGradient: false, isProbe: true)
  }

  private func difference(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 - $1 } }

  // What it has seen is all there is to know: everything else follows, to the bit.
  package var state: JSONValue {
    var object: JSONObject = [
      "generation": .integer(Int64(generation)),
      "known": .array(known.map { .array([list($0.point), $0.score.json]) }),
      "history": .array(
        history.map { .array([list($0.point), $0.score.json, $0.gradient.map(list) ?? .null]) }),
    ]
    store(best, in: &object)
    if let stopReason { object["stop"] = .string(stopReason.rawValue) }
    return .object(object)
  }
}
