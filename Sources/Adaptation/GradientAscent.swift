package import StrictJSON

/// Ascent of the mean log-likelihood of the gold answers by its gradient: tens of evaluations where a population takes
/// thousands.
///
/// A trust region around the best point so far, in which the log-likelihood is taken for a quadratic. Its gradient is what
/// the backward pass gives. Its curvature is learnt from how gradients differ (symmetric rank one updates), and at first
/// from the baselines, whose scores are there already: beside the gradient at one of them the values at the others say how
/// strongly the function bends towards each. The region grows where the quadratic foretells well and shrinks where it does
/// not. Nothing is drawn at random.
///
/// Projected Adam was tried first: its steps do not know how long they should be, and it spends the evaluations that this
/// search is to save on finding out.
package struct GradientAscent: SearchMethod {
  package static let name = "gradient"

  package struct Settings: Sendable, Equatable {
    /// Evaluations of the gradient at most. Many coefficients go on fitting ten examples long after it means anything.
    package var iterations = 20
    /// Ends where the next step promises less: nats a token.
    package var tolerance = 5e-5
    /// Which of the points on the way is the best.
    package var objective = Objective.loglik

    package init() {}
  }

  package let space: MixtureSpace
  package let settings: Settings

  /// What was known before the first question.
  private var known: [(point: [Double], logLikelihood: Double)] = []
  private var history: [Evaluation] = []
  /// The one with the greatest log-likelihood: the center of the region.
  private var center: Evaluation?
  private var curvature = Curvature()
  private var radius: Double
  /// The next question, and the rise that the quadratic promises there.
  private var next: (point: [Double], gain: Double)
  package private(set) var best: (point: [Double], score: MemberScore)?
  package private(set) var stopReason: StopReason?

  private struct Evaluation: Sendable {
    var point: [Double]
    var score: MemberScore
    var gradient: [Double]
  }

  package init(space: MixtureSpace, settings: Settings) {
    self.space = space
    self.settings = settings
    radius = (space.upper - space.lower) / 2
    next = (space.normalised ? Array(repeating: 1 / Double(space.experts), count: space.dimensions) : space.center, 0)
    if settings.iterations < 1 { stopReason = .iterations }
  }

  package var generation: Int { history.count }
  package var unspent: Int { 3 * (settings.iterations - generation) }

  package var question: Question? {
    stopReason == nil ? .gradient(GradientRequest(generation: generation, point: next.point)) : nil
  }

  /// Takes what is known at points of the space, and begins at the best of them.
  package mutating func begin(knowing scores: [(point: [Double], score: MemberScore)]) {
    precondition(history.isEmpty, "a search that has begun is told what was known before")
    known = scores.filter { $0.score.logLikelihood.isFinite }.map { ($0.point, $0.score.logLikelihood) }
    guard let first = known.first else { return }
    next.point = known.reduce(first) { $1.logLikelihood > $0.logLikelihood ? $1 : $0 }.point
  }

  package mutating func take(_ answer: Answer) {
    guard case .gradient(let found) = answer else { preconditionFailure("\(Self.name) asks for gradients alone") }
    guard stopReason == nil else { preconditionFailure("told a search that has ended") }
    let here = Evaluation(point: next.point, score: found.score, gradient: found.gradient)
    history.append(here)
    if best.map({ $0.score.isBelow(found.score, by: settings.objective) }) ?? true { best = (here.point, found.score) }

    guard found.score.logLikelihood.isFinite, found.gradient.allSatisfy(\.isFinite) else {
      // No mixture, or one that leaves the range of float: nearer then, if there is anywhere to be near to.
      radius /= 4
      guard center != nil else {
        stopReason = .converged
        return
      }
      goOn()
      return
    }
    if let center {
      move(from: center, to: here)
    } else {
      center = here
      curvature.begin(at: here.point, value: found.score.logLikelihood, gradient: here.gradient, known: known)
    }
    goOn()
  }

  /// Learns from a step, and takes it if it went up.
  private mutating func move(from center: Evaluation, to here: Evaluation) {
    let step = zip(here.point, center.point).map { $0 - $1 }
    curvature.learn(step: step, bend: zip(center.gradient, here.gradient).map { $0 - $1 })
    let rise = here.score.logLikelihood - center.score.logLikelihood
    let length = step.reduce(0) { max($0, abs($1)) }
    if rise < 0.25 * next.gain {
      radius = length / 2
    } else if rise > 0.75 * next.gain, length > 0.9 * radius {
      radius = min(2 * radius, space.upper - space.lower)
    }
    if rise > 0 { self.center = here }
  }

  /// The next question, or the end.
  private mutating func goOn() {
    guard let center else { return }
    let step = BoundedStep(
      space: space, around: center.point, radius: radius, gradient: center.gradient, curvature: curvature)
    next = (step.point, step.gain)
    if step.gain < settings.tolerance || step.point == center.point {
      stopReason = .converged
    } else if generation >= settings.iterations {
      stopReason = .iterations
    }
  }

  // MARK: - state

  // What it has seen is all there is to know: everything else follows, to the bit.
  package var state: JSONValue {
    var object: JSONObject = [
      "generation": .integer(Int64(generation)),
      "known": .array(known.map { .array([array($0.point), .number($0.logLikelihood)]) }),
      "history": .array(history.map { .array([array($0.point), scoreJSON($0.score), array($0.gradient)]) }),
    ]
    store(best, in: &object)
    if let stopReason { object["stop"] = .string(stopReason.rawValue) }
    return .object(object)
  }

  package mutating func restore(_ state: JSONValue) -> Bool {
    guard let known = state["known"]?.arrayValue, let history = state["history"]?.arrayValue,
      state["generation"]?.intValue == history.count, history.count <= settings.iterations
    else { return false }
    var fresh = GradientAscent(space: space, settings: settings)
    var scores: [(point: [Double], score: MemberScore)] = []
    for value in known {
      guard let parts = value.arrayValue, parts.count == 2, let point = numbers(parts[0]),
        point.count == space.dimensions, let likelihood = parts[1].doubleValue
      else { return false }
      scores.append((point, MemberScore(score: 0, logLikelihood: likelihood)))
    }
    fresh.begin(knowing: scores)
    for value in history {
      guard let parts = value.arrayValue, parts.count == 3, let point = numbers(parts[0]),
        let score = score(from: parts[1]), let gradient = numbers(parts[2]), gradient.count == space.dimensions,
        fresh.stopReason == nil, point == fresh.next.point
      else { return false }
      fresh.take(.gradient(PointGradient(score: score, gradient: gradient)))
    }
    self = fresh
    return true
  }

  private func array(_ values: [Double]) -> JSONValue { .array(values.map { .number($0) }) }
}
