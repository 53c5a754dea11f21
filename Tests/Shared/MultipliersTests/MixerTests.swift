import Multipliers
import TestSupport
import Testing

@Suite struct MixerTests {
  let sigma = someSigma()
  let experts = someExperts(3)

  /// The naive twin, straight from Sources/README.md, "The mathematics": mix, then rescale each matrix.
  func mixedByDefinition(_ c: MixtureCoefficients, rescale: Rescale) -> [Float] {
    var out = [Float]()
    for matrix in layout.matrices.indices {
      let range = layout.range(of: matrix)
      var s = range.map { index in
        var value = c.mix == .delta ? 1.0 : 0.0
        for (k, expert) in experts.enumerated() {
          let alpha = Double(c.alpha[k][layout.unit(ofMatrix: matrix, c.granularity)])
          let z = Double(expert.values[index])
          value += c.mix == .delta ? alpha * (z - 1) : alpha * z
        }
        return value
      }
      if rescale == .nuclear {
        let factor =
          range.reduce(0.0) { $0 + Double(sigma[$1]) } / zip(range, s).reduce(0.0) { $0 + Double(sigma[$1.0]) * $1.1 }
        s = s.map { $0 * factor }
      }
      out += s.map { Float($0) }
    }
    return out
  }

  @Test(arguments: Granularity.allCases, Rescale.allCases)
  func mixturesEqualTheDefinition(granularity: Granularity, rescale: Rescale) throws {
    var random = SplitMix(seed: 11)
    for mix in MixRule.allCases {
      var c = MixtureCoefficients(
        granularity: granularity, mix: mix,
        alpha: experts.map { _ in random.floats(layout.unitCount(granularity), in: 0...1) })
      if mix == .sum && rescale == .none { c = c.normalized() }
      let found = try mixedMultipliers(c, experts: experts, layout: layout, sigma: sigma, rescale: rescale)
      #expect(largestDifference(found.values, mixedByDefinition(c, rescale: rescale)) < 1e-6)
    }
  }

  /// The blend of materialised matrices carries the same s: base + Σ coefficient_k z_k, index by index.
  @Test(arguments: Granularity.allCases, Rescale.allCases)
  func theBlendIsTheMixture(granularity: Granularity, rescale: Rescale) throws {
    var random = SplitMix(seed: 12)
    let c = MixtureCoefficients(
      granularity: granularity, mix: .delta,
      alpha: experts.map { _ in random.floats(layout.unitCount(granularity), in: -0.3...1.2) })
    let mixer = Mixer(layout: layout, sigma: sigma, experts: experts, rescale: rescale)
    let blend = try mixer.blend(c)
    let s = try mixer.multipliers(c)
    for matrix in layout.matrices.indices {
      for index in layout.range(of: matrix) {
        let value = experts.indices.reduce(blend.base[matrix]) {
          $0 + blend.experts[matrix][$1] * experts[$1].values[index]
        }
        #expect(abs(value - s.values[index]) < 1e-5)
      }
    }
  }

  @Test func alphaOfOneExpertIsThatExpertExactly() throws {
    for k in experts.indices {
      let c = MixtureCoefficients.single(k, of: experts.count)
      let mixed = try mixedMultipliers(c, experts: experts, layout: layout, sigma: sigma, rescale: .none)
      #expect(mixed == experts[k])
      let mixedAndRescaled = try mixedMultipliers(
        c, experts: experts, layout: layout, sigma: sigma, rescale: .nuclear)
      #expect(try mixedAndRescaled == rescaled(experts[k], layout: layout, sigma: sigma, rescale: .nuclear))
    }
  }

  @Test func alphaZeroInDeltaIsTheBaseExactly() throws {
    for rescale in Rescale.allCases {
      let mixed = try mixedMultipliers(
        .base(of: 3), experts: experts, layout: layout, sigma: sigma, rescale: rescale)
      #expect(mixed.isIdentity)
    }
  }

  @Test func sumAndDeltaAgreeWhereAlphaSumsToOne() throws {
    let alpha: [Float] = [0.5, 0.125, 0.375]
    for rescale in Rescale.allCases {
      let mixer = Mixer(layout: layout, sigma: sigma, experts: experts, rescale: rescale)
      let sum = try mixer.multipliers(MixtureCoefficients(mix: .sum, alpha))
      let delta = try mixer.multipliers(MixtureCoefficients(mix: .delta, alpha))
      #expect(largestDifference(sum.values, delta.values) < 1e-6)
    }
  }

  @Test func theRescaleKeepsTheNuclearNormAndIgnoresTheScaleOfAlpha() throws {
    let mixer = Mixer(layout: layout, sigma: sigma, experts: experts, rescale: .nuclear)
    let s = try mixer.multipliers(MixtureCoefficients(mix: .sum, [0.2, 0.4, 0.1]))
    for matrix in layout.matrices.indices {
      let range = layout.range(of: matrix)
      let norm = range.reduce(Float(0)) { $0 + sigma[$1] }
      #expect(abs(range.reduce(Float(0)) { $0 + sigma[$1] * s.values[$1] } - norm) < 1e-5 * norm)
    }
    let doubled = try mixer.multipliers(MixtureCoefficients(mix: .sum, [0.4, 0.8, 0.2]))
    #expect(largestDifference(s.values, doubled.values) < 1e-6)
  }

  @Test func matricesThatNoExpertNamesStayTheBaseUnderTheRescale() throws {
    let quiet = [MultiplierVector.ones(layout.count), .ones(layout.count)]
    let s = try mixedMultipliers(
      MixtureCoefficients(mix: .sum, [0.3, 0.4]), experts: quiet, layout: layout, sigma: sigma, rescale: .nuclear)
    #expect(s.isIdentity)
  }

  @Test func aVanishingDenominatorIsAnErrorThatNamesTheMatrix() {
    let c = MixtureCoefficients(mix: .sum, [0, 0, 0])
    #expect {
      try mixedMultipliers(c, experts: experts, layout: layout, sigma: sigma, rescale: .nuclear)
    } throws: { error in
      "\(error)".contains("'model.layers.0.self_attn.q_proj.weight'") && "\(error)".contains("'delta'")
    }
    // A negative sum is as little to rescale as none.
    let negative = MixtureCoefficients(mix: .sum, [-1, -1, -1])
    #expect(throws: MixtureError.self) {
      try mixedMultipliers(negative, experts: experts, layout: layout, sigma: sigma, rescale: .nuclear)
    }
  }

  @Test func sumWithoutRescaleMustSumToOne() throws {
    let c = MixtureCoefficients(mix: .sum, [0.7, 0.7, 0.6])
    #expect(
      throws: MixtureError.unnormalizedSum(matrix: "model.layers.0.self_attn.q_proj.weight", total: 2)
    ) {
      try mixedMultipliers(c, experts: experts, layout: layout, sigma: sigma, rescale: .none)
    }
    let normalized = try mixedMultipliers(
      c.normalized(), experts: experts, layout: layout, sigma: sigma, rescale: .none)
    #expect(largestDifference(normalized.values, mixedByDefinition(c.normalized(), rescale: .none)) < 1e-6)
  }

  @Test func coefficientsOfTheWrongShapeAreRefused() {
    func error(_ c: MixtureCoefficients) -> MixtureError? {
      do throws(MixtureError) {
        _ = try blend(c, experts: experts, layout: layout, sigma: sigma, rescale: .nuclear)
        return nil
      } catch { return error }
    }
    #expect(error(MixtureCoefficients(mix: .delta, [1])) == .wrongExpertCount(found: 1, expected: 3))
    #expect(
      error(MixtureCoefficients(granularity: .layer, mix: .delta, alpha: [[0, 0, 0], [0, 0], [0, 0, 0]]))
        == .wrongUnitCount(expert: 1, found: 2, expected: 3, granularity: .layer))
    #expect(error(MixtureCoefficients(mix: .delta, [0, .nan, 0])) == .notFinite(expert: 1, unit: 0))
  }

  @Test func aMatrixOfZerosNeedsNoRescale() throws {
    let zeros = [Float](repeating: 0, count: layout.count)
    let s = try mixedMultipliers(
      .single(1, of: 3), experts: experts, layout: layout, sigma: zeros, rescale: .nuclear)
    #expect(s == experts[1])
  }
}
