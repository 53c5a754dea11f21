import Multipliers
import Search
import StrictJSON
import TestSupport
import Testing

extension Hill {
  func answer(_ question: Question) -> Answer {
    switch question {
    case .ranking: return .ranking([])
    case .value(let request): return .value(MemberScore(score: 0.5, logLikelihood: value(request.point)))
    case .gradient(let request):
      return .gradient(
        PointGradient(
          score: MemberScore(score: 0.5, logLikelihood: value(request.point)), gradient: gradient(request.point)))
    }
  }

  func baselines(_ space: MixtureSpace) -> [(point: [Double], score: MemberScore)] {
    let points =
      [Array(repeating: 0.0, count: space.dimensions)]
      + (0..<space.experts).map { k in (0..<space.dimensions).map { $0 / space.units == k ? 1 : 0 } }
      + [Array(repeating: 1 / Double(space.experts), count: space.dimensions)]
    return points.map { ($0, MemberScore(score: 0.5, logLikelihood: value($0))) }
  }
}

@Suite struct GradientAscentTests {
  /// Its end, the points that it asked for, and what they cost.
  static func ascend(
    _ hill: Hill, _ space: MixtureSpace, knowing: Bool = true, iterations: Int = 40
  ) -> (method: GradientAscent, points: [[Double]], cost: Int) {
    var settings = GradientAscent.Settings()
    settings.iterations = iterations
    var method = GradientAscent(space: space, settings: settings, start: SearchStart(seed: 1))
    if knowing { method.begin(knowing: hill.baselines(space)) }
    var points: [[Double]] = []
    var cost = 0
    while let question = method.question {
      switch question {
      case .ranking: break
      case .value(let request):
        points.append(request.point)
        cost += 1
      case .gradient(let request):
        points.append(request.point)
        cost += 3
      }
      method.take(hill.answer(question))
    }
    return (method, points, cost)
  }

  @Test(arguments: [[0.75, 0.25], [0.1, 0.9], [1.4, 0.3], [-0.5, -0.2]], [true, false])
  func theTopIsFoundInAHandfulOfEvaluations(target: [Double], knowing: Bool) throws {
    let hill = Hill(target: target, weights: [1.5, 0.6], skew: 0.4)
    let space = SearchMethodTests.space()
    let (method, points, cost) = Self.ascend(hill, space, knowing: knowing)
    #expect(method.stopReason == .converged)
    // By looking everywhere.
    var top = -Double.infinity
    for i in 0...64 { for j in 0...64 { top = max(top, hill.value([Double(i) / 64, Double(j) / 64])) } }
    let best = try #require(method.best)
    #expect(best.score.logLikelihood > top - (knowing ? 1e-3 : 1e-2), "\(best.point) after \(points.count)")
    #expect(cost <= (knowing ? 8 : 16), "\(points)")
  }

  /// Where it begins is no news to another search on other shots, which shares the gradient.
  @Test func itBeginsWithEqualPartsWhateverIsKnownAndWhatIsKnownSavesEvaluations() throws {
    let hill = Hill(target: [0.9, 0.1], weights: [2, 0.5])
    let with = Self.ascend(hill, SearchMethodTests.space())
    let without = Self.ascend(hill, SearchMethodTests.space(), knowing: false)
    #expect(with.points.first == [0.5, 0.5] && without.points.first == [0.5, 0.5])
    #expect(with.cost < without.cost, "\(with.cost) with, \(without.cost) without")
  }

  /// A value costs a third of a gradient: two coefficients are climbed by one gradient, sixty by many.
  @Test func fewCoefficientsAreClimbedByValuesAndManyByGradients() {
    let few = Self.ascend(Hill(target: [0.9, 0.2], weights: [1.5, 0.6], skew: 0.4), SearchMethodTests.space())
    #expect(few.points.count > 1 && few.cost == 3 + few.points.count - 1)
    let many = Self.ascend(
      Hill(target: (0..<60).map { Double(($0 * 7) % 10) / 10 }, weights: Array(repeating: 1, count: 60)),
      SearchMethodTests.space(3, units: 20))
    #expect(many.points.count > 1 && many.cost == 3 * many.points.count)
  }

  /// Three times the cost, for a direction in which there is no step left.
  @Test(arguments: [(2, 1), (3, 20)]) func theLastQuestionIsForAValue(experts: Int, units: Int) throws {
    let space = SearchMethodTests.space(experts, units: units)
    let hill = Hill(
      target: (0..<space.dimensions).map { Double(($0 * 7) % 10) / 10 },
      weights: Array(repeating: 1, count: space.dimensions))
    let (method, points, cost) = Self.ascend(hill, space, iterations: 3)
    #expect(method.stopReason == .iterations && points.count == 3)
    #expect(cost == (space.dimensions == 2 ? 3 + 1 + 1 : 3 + 3 + 1), "\(points)")
    let alone = GradientAscent(space: space, settings: .init(), start: SearchStart(seed: 1, isWhole: false))
    #expect(alone.settings.foldIterations == 2, "what one step costs is what etc/results/search.md counts")
  }

  /// Beside a cliff a quadratic is wrong again and again, and each time the region in which it is believed gets smaller. Of
  /// few coefficients it stays wide enough for a dozen values to reach the top, and not a place on the way.
  @Test func aCliffNearbyDoesNotMakeTheStepsSmall() throws {
    func value(_ x: [Double]) -> Double {
      let beyond = max(0, x[1] - x[0] + 0.1)
      return -4 - (x[0] - 0.35) * (x[0] - 0.35) - 0.5 * x[1] - 60 * beyond * beyond / (1 + 4 * beyond)
    }
    func score(_ x: [Double]) -> MemberScore { MemberScore(score: 0.5, logLikelihood: value(x)) }
    var method = GradientAscent(space: SearchMethodTests.space(), settings: .init(), start: SearchStart(seed: 1))
    method.begin(knowing: [[0, 0], [1, 0], [0, 1], [0.5, 0.5]].map { ($0, score($0)) })
    var points: [[Double]] = []
    while let question = method.question {
      switch question {
      case .ranking: Issue.record("a population")
      case .value(let request):
        points.append(request.point)
        method.take(.value(score(request.point)))
      case .gradient(let request):
        let x = request.point
        let slopes = x.indices.map { i in
          let step = x.indices.map { $0 == i ? 1e-5 : 0 }
          return (value(zip(x, step).map { $0 + $1 }) - value(zip(x, step).map { $0 - $1 })) / 2e-5
        }
        method.take(.gradient(PointGradient(score: score(x), gradient: slopes)))
      }
    }
    let best = try #require(method.best)
    #expect(points.count <= 12 && best.score.logLikelihood > value([0.35, 0]) - 1e-3, "\(best.point) after \(points)")
  }

  /// What is known may be better than where it begins: nothing worse is found.
  @Test func theBestOfWhatIsKnownIsNeverLost() throws {
    var method = GradientAscent(space: SearchMethodTests.space(), settings: .init(), start: SearchStart(seed: 1))
    let hill = Hill(target: [1, 0], weights: [2, 2])
    method.begin(knowing: hill.baselines(SearchMethodTests.space()))
    #expect(try #require(method.best).point == [1, 0])
    while let question = method.question { method.take(hill.answer(question)) }
    #expect(try #require(method.best).point == [1, 0])
  }

  @Test func manyCoefficientsRiseTogether() throws {
    let space = SearchMethodTests.space(3, units: 20)
    let hill = Hill(
      target: (0..<60).map { Double(($0 * 7) % 10) / 10 }, weights: (0..<60).map { $0 % 2 == 0 ? 0.2 : 3 },
      coupling: 0.05, skew: 0.3)
    let (method, points, _) = Self.ascend(hill, space)
    let best = try #require(method.best)
    #expect(best.score.logLikelihood > hill.value(hill.target) - 2e-3, "after \(points.count)")
  }

  @Test(arguments: [(0.0, 1.0), (-0.5, 1.5), (-0.3, 0.99)])
  func everyPointLiesInTheBox(bounds: (Double, Double)) throws {
    let space = SearchMethodTests.space(lower: bounds.0, upper: bounds.1)
    let (method, points, _) = Self.ascend(Hill(target: [9, -9], weights: [1, 1]), space, knowing: false)
    for value in points.flatMap(\.self) { #expect(value >= bounds.0 && value <= bounds.1) }
    #expect(try #require(method.best).point == [bounds.1, bounds.0])
  }

  /// The gradient of normalised coefficients is taken on the simplex, and followed along it.
  @Test func normalisedCoefficientsStayOnTheSimplex() throws {
    let space = MixtureSpace(experts: 3, units: 2, granularity: .layer, mix: .sum, normalised: true)
    // The target's units sum to 1.2 and 0.9: the best point that sums to 1 is nearest to it.
    let hill = Hill(
      target: [0.7, 0.1, 0.4, 0.8, 0.1, 0], weights: Array(repeating: 1, count: 6), coupling: 0)
    let (method, points, _) = Self.ascend(hill, space, knowing: false)
    for point in points {
      for unit in 0..<2 { #expect(abs(point[unit] + point[2 + unit] + point[4 + unit] - 1) < 1e-9) }
      #expect(point.allSatisfy { $0 >= 0 && $0 <= 1 })
    }
    let best = try #require(method.best).point
    let expected = [0.7 - 0.2 / 3, 0, 0.4 - 0.2 / 3, 0, 0.1 - 0.2 / 3, 0]
    // Unit 0 is the first, third and fifth: 0.7, 0.4, 0.1 sum to 1.2. Unit 1: 0.1, 0.8, 0 sum to 0.9.
    #expect(abs(best[0] - expected[0]) < 0.01 && abs(best[2] - expected[2]) < 0.01 && abs(best[4] - expected[4]) < 0.01)
    #expect(abs(best[1] - (0.1 + 0.1 / 3)) < 0.01 && abs(best[3] - (0.8 + 0.1 / 3)) < 0.01)
  }

  @Test func aPointWithoutMixtureIsStayedClearOf() throws {
    let space = SearchMethodTests.space()
    let hill = Hill(target: [0.9, 0.8], weights: [1, 1])
    var method = GradientAscent(space: space, settings: .init(), start: SearchStart(seed: 1))
    method.begin(knowing: hill.baselines(space))
    var refused = 0
    while let question = method.question {
      switch question {
      case .value(let request) where request.point.reduce(0, +) > 1.2:
        refused += 1
        method.take(.value(.worst))
      case .gradient(let request) where request.point.reduce(0, +) > 1.2:
        refused += 1
        method.take(.gradient(PointGradient(score: .worst, gradient: [0, 0])))
      case .ranking, .value, .gradient: method.take(hill.answer(question))
      }
    }
    #expect(refused > 0)
    let best = try #require(method.best)
    #expect(best.score.logLikelihood.isFinite && best.point.reduce(0, +) <= 1.2 && best.point.reduce(0, +) > 0.9)
  }

  /// Where correct answers are the objective, the best of the points on the way is the one with most of them.
  @Test func theBestIsByTheObjective() throws {
    let hill = Hill(target: [0.8, 0.4], weights: [1, 1])
    for objective in Objective.allCases {
      var settings = GradientAscent.Settings()
      settings.objective = objective
      var method = GradientAscent(space: SearchMethodTests.space(), settings: settings, start: SearchStart(seed: 1))
      var told: [MemberScore] = []
      while let question = method.question {
        let right = told.isEmpty ? 0.9 : 0.8
        switch hill.answer(question) {
        case .ranking: break
        case .value(var score):
          score.score = right
          told.append(score)
          method.take(.value(score))
        case .gradient(var found):
          found.score.score = right
          told.append(found.score)
          method.take(.gradient(found))
        }
      }
      #expect(told.count > 1)
      let best = try #require(method.best?.score)
      #expect(best == (objective == .accuracy ? told[0] : told.max { $0.isBelow($1, by: .loglik) }))
    }
  }

  /// What a quadratic says of a top that it knows from afar is not believed.
  @Test(arguments: [[0.3, 0.1], [0.45, 0.02], [0.62, 0.4]])
  func fewCoefficientsEndWhereValuesNearbyAreKnownAlongEachOfThem(target: [Double]) throws {
    let hill = Hill(target: target, weights: [3, 5], skew: 0.6)
    let (method, points, _) = Self.ascend(hill, SearchMethodTests.space())
    let best = try #require(method.best?.point)
    #expect(method.stopReason == .converged && hill.value(best) > hill.value(hill.target) - 1e-3)
    let nearby = points.filter { point in zip(point, best).allSatisfy { abs($0 - $1) <= 0.1 } }
    for axis in best.indices {
      #expect(nearby.contains { abs($0[axis] - best[axis]) >= 0.03 }, "coefficient \(axis) of \(target)")
    }
  }

  /// What seems to be the top of a quadratic is looked at from where it is believed to be: one gradient says whether it is.
  @Test(arguments: [[0.3, 0.1, 0.5], [0.05, 0.4, 0.2], [0.7, -0.2, 0.3]])
  func threeCoefficientsEndWhereTheGradientSaysSo(target: [Double]) throws {
    let hill = Hill(target: target, weights: [3, 5, 2], skew: 1.5)
    let space = SearchMethodTests.space(3)
    var method = GradientAscent(space: space, settings: .init(), start: SearchStart(seed: 1))
    method.begin(knowing: hill.baselines(space))
    var slopes: [[Double]] = []
    while let question = method.question {
      if case .gradient(let request) = question { slopes.append(request.point) }
      method.take(hill.answer(question))
    }
    let best = try #require(method.best?.point)
    #expect(method.stopReason == .converged)
    #expect(slopes.contains { point in zip(point, best).allSatisfy { abs($0 - $1) <= 0.06 } }, "\(best) of \(slopes)")
    // Uphill is only where the box ends.
    for (x, slope) in zip(best, hill.gradient(best)) { #expect(abs(slope) < 0.08 || x == 0 && slope < 0, "\(best)") }
  }

  /// At a border that it falls away from steeply, nothing is to be learnt but what it costs.
  @Test func aBorderThatTheHillFallsAwayFromIsNotProbed() throws {
    let hill = Hill(target: [0.35, -0.4], weights: [3, 3], coupling: 0)
    let (method, points, _) = Self.ascend(hill, SearchMethodTests.space())
    let best = try #require(method.best?.point)
    #expect(method.stopReason == .converged && best[1] == 0 && abs(best[0] - 0.35) < 0.01)
    let last = try #require(points.last)
    #expect(last[1] == 0, "\(points)")
    // A gentle one is: what little is seen from afar may be wrong.
    let gentle = Self.ascend(Hill(target: [0.35, -0.002], weights: [3, 3], coupling: 0), SearchMethodTests.space())
    let end = try #require(gentle.method.best?.point)
    #expect(
      gentle.points.contains { abs($0[0] - end[0]) <= 0.1 && (0.03...0.1).contains(abs($0[1] - end[1])) },
      "\(gentle.points)")
  }

  @Test func theSameAnswersLeadToTheSameEnd() {
    let hill = Hill(target: [0.1, 0.9, 0.5, 0.3, 0.7, 0], weights: [1, 2, 0.5, 1, 3, 1], skew: 0.8)
    let ends = (0..<2).map { _ in Self.ascend(hill, SearchMethodTests.space(2, units: 3)).method }
    #expect(ends[0].generation > 2 && ends[0].state == ends[1].state)
  }
}
