import Evaluation
import Testing

@Suite struct OrderTestTests {
  /// `right` of `count` items, each decided by a hash of its number and the stream.
  private func items(_ count: Int, rate: Double, stream: UInt64) -> [Bool] {
    (0..<UInt64(count)).map { item in
      var z = (item &+ 1) &* 0x9E37_79B9_7F4A_7C15 &+ stream &* 0xD1B5_4A32_D192_ED03
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return Double((z ^ (z >> 31)) >> 11) * 0x1p-53 < rate
    }
  }

  @Test func anExpertFarAboveItsShufflesIsOrdered() {
    let test = OrderTest(
      expert: items(400, rate: 0.65, stream: 1), shuffles: (2..<7).map { items(400, rate: 0.5, stream: $0) })
    #expect(test.verdict == .ordered)
    #expect(test.pValue < 0.01 && test.effect.low > 0)
    #expect(test.mcNemar.count == 5)
  }

  @Test func anExpertBelowItsShufflesIsNoBetter() {
    let test = OrderTest(
      expert: items(400, rate: 0.4, stream: 1), shuffles: (2..<7).map { items(400, rate: 0.5, stream: $0) })
    #expect(test.verdict == .noBetterThanShuffled)
    #expect(test.effect.high < 0.02)
  }

  @Test func equalItemsAreNoBetterWhereTheyAreManyAndInconclusiveWhereTheyAreFew() {
    let many = items(400, rate: 0.5, stream: 1)
    #expect(OrderTest(expert: many, shuffles: [many, many, many]).verdict == .noBetterThanShuffled)
    let few = Array(many.prefix(30))
    let test = OrderTest(expert: few, shuffles: [few, few, few])
    #expect(test.verdict == .inconclusive)
    #expect(test.pValue == 1 && test.effect.mean == 0 && test.effect.high > 0.02)
  }

  @Test func aGainThatFewRowsCannotProveIsInconclusive() {
    let expert = items(40, rate: 0.6, stream: 1)
    let test = OrderTest(expert: expert, shuffles: (2..<7).map { items(40, rate: 0.5, stream: $0) })
    #expect(test.verdict == .inconclusive)
  }

  @Test func rowsThatWereNotHeldOutProveNothing() {
    let expert = items(400, rate: 0.9, stream: 1)
    let shuffles = (2..<7).map { items(400, rate: 0.3, stream: $0) }
    #expect(OrderTest(expert: expert, shuffles: shuffles).verdict == .ordered)
    #expect(OrderTest(expert: expert, shuffles: shuffles, isHeldOut: false).verdict == .inconclusive)
  }

  /// One permutation among five that happens to do as well as the expert does not turn the verdict; three do.
  @Test func theMedianDecidesAndNotOneLuckyShuffle() {
    let expert = items(400, rate: 0.65, stream: 1)
    let weak = (2..<7).map { items(400, rate: 0.45, stream: $0) }
    #expect(OrderTest(expert: expert, shuffles: [expert] + weak.prefix(4)).verdict == .ordered)
    let test = OrderTest(expert: expert, shuffles: [expert, expert, expert] + weak.prefix(2))
    #expect(test.medianP == 1 && test.verdict == .inconclusive)
  }

  /// Bonett and Price (2012): of 100 pairs, 20 and 10 discordant give (21 - 11) / 102 and its standard error.
  @Test func theIntervalIsThatOfBonettAndPrice() {
    let effect = PairedEffect(
      [Double](repeating: 1, count: 20) + [Double](repeating: -1, count: 10) + [Double](repeating: 0, count: 70))
    #expect(effect.mean == 0.1)
    let (p, q) = (21.0 / 102, 11.0 / 102)
    let error = ((p + q - (p - q) * (p - q)) / 102).squareRoot()
    #expect(abs(effect.low - (p - q - 1.959963984540054 * error)) < 1e-12)
    #expect(abs(effect.high - (p - q + 1.959963984540054 * error)) < 1e-12)
  }

  /// The interval must hold the truth in about 95 of 100 samples of the size that checks use.
  @Test func theIntervalCoversTheTruth() {
    var covered = 0
    for sample in 0..<400 {
      let a = items(100, rate: 0.6, stream: UInt64(10_000 + 2 * sample))
      let b = items(100, rate: 0.5, stream: UInt64(10_001 + 2 * sample))
      let effect = PairedEffect(first: a, second: b)
      if effect.low <= 0.1, effect.high >= 0.1 { covered += 1 }
    }
    #expect(covered >= 366 && covered <= 396, "\(covered) of 400")
  }

  @Test func harmAgainstTheBaseIsSeen() {
    let base = items(200, rate: 0.5, stream: 1)
    #expect(!BaseComparison(expert: items(200, rate: 0.3, stream: 2), base: base).isNoHarm)
    #expect(!BaseComparison(expert: base, base: base).isNoHarm)
    #expect(BaseComparison(expert: items(200, rate: 0.75, stream: 2), base: base).isNoHarm)
  }
}
