import Multipliers
import TestSupport
import Testing

/// The chain rule from dL/ds to α, z and p, against differences of L = g · s.
@Suite struct MultiplierGradientTests {
  let sigma = someSigma()
  let experts = someExperts(3)

  private func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }

  /// In random directions; where `sum` has no rescale, in those that keep Σα.
  @Test(arguments: Granularity.allCases, Rescale.allCases)
  func theGradientOfAlphaIsThatOfDifferences(granularity: Granularity, rescale: Rescale) throws {
    var random = SplitMix(seed: 41)
    let mixer = Mixer(layout: layout, sigma: sigma, experts: experts, rescale: rescale)
    let g = random.floats(layout.count)
    let units = layout.unitCount(granularity)
    for mix in MixRule.allCases {
      var c = MixtureCoefficients(
        granularity: granularity, mix: mix, alpha: experts.map { _ in random.floats(units, in: 0.2...1) })
      if mix == .sum && rescale == .none { c = c.normalized() }
      let gradient = try mixer.gradient(g, at: c)
      #expect(gradient.count == experts.count && gradient.allSatisfy { $0.count == units })
      for _ in 0..<3 {
        var d = experts.map { _ in random.floats(units) }
        if mix == .sum && rescale == .none {
          for unit in 0..<units {
            let mean = d.reduce(0) { $0 + $1[unit] } / Float(d.count)
            for k in d.indices { d[k][unit] -= mean }
          }
        }
        func value(_ step: Float) throws -> Double {
          var moved = c
          for k in d.indices { for unit in 0..<units { moved.alpha[k][unit] += step * d[k][unit] } }
          return dot(g, try mixer.multipliers(moved).values)
        }
        let expected = (try value(0.01) - value(-0.01)) / 0.02
        let found = zip(gradient, d).reduce(0.0) { sum, expert in
          zip(expert.0, expert.1).reduce(sum) { $0 + $1.0 * Double($1.1) }
        }
        #expect(abs(found - expected) < 2e-3 * max(1, abs(expected)), "\(mix)")
      }
    }
  }

  /// In `delta` without a rescale s = 1 + Σ α_k (z_k − 1), so dL/dα_k = g · (z_k − 1): to the last digit of a double.
  @Test func inDeltaItIsTheSumOfGTimesZMinusOne() throws {
    var random = SplitMix(seed: 42)
    let g = random.floats(layout.count)
    let mixer = Mixer(layout: layout, sigma: sigma, experts: experts, rescale: .none)
    let gradient = try mixer.gradient(g, at: MixtureCoefficients(mix: .delta, [0.3, 0.9, -0.2]))
    for (k, expert) in experts.enumerated() {
      let expected = zip(g, expert.values).reduce(0.0) { $0 + Double($1.0) * (Double($1.1) - 1) }
      #expect(abs(gradient[k][0] - expected) < 1e-9)
    }
  }

  @Test func aMixtureThatDoesNotExistHasNoGradient() {
    let mixer = Mixer(layout: layout, sigma: sigma, experts: experts, rescale: .nuclear)
    let g = [Float](repeating: 1, count: layout.count)
    #expect(throws: MixtureError.self) { try mixer.gradient(g, at: MixtureCoefficients(mix: .sum, [0, 0, 0])) }
    #expect(throws: MixtureError.wrongExpertCount(found: 2, expected: 3)) {
      try mixer.gradient(g, at: MixtureCoefficients(mix: .sum, [1, 0]))
    }
  }

  @Test func theWayThroughTheMaskIsThatOfDifferences() {
    let p: [Float] = [-3, -0.5, 0, 0.1, 2, 6]
    let g: [Float] = [1, -2, 0.5, 3, -1, 2]
    let gradient = gradientBeforeMask(g, at: p, space: .logit, maximumMultiplier: 2)
    for i in p.indices {
      func value(_ step: Float) -> Double {
        Double(multipliers(from: [p[i] + step], space: .logit, maximumMultiplier: 2)[0])
      }
      let expected = Double(g[i]) * (value(0.01) - value(-0.01)) / 0.02
      #expect(abs(Double(gradient[i]) - expected) < 1e-3 * max(1, abs(expected)))
    }
    #expect(gradientBeforeMask(g, at: p, space: .multiplier, maximumMultiplier: 2) == g)
  }
}
