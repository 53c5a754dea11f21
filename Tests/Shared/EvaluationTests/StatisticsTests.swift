import Glibc
import Testing

@testable import Evaluation

@Suite struct StatisticsTests {
  private func isNear(_ value: Double, _ expected: Double, _ tolerance: Double = 1e-9) -> Bool {
    abs(value - expected) <= tolerance * max(1, abs(expected))
  }

  @Test func wilsonHasItsKnownValues() {
    // The formula worked by hand in rational arithmetic; 8 of 10 is also a common textbook example.
    let eight = WilsonInterval(successes: 8, of: 10)
    #expect(isNear(eight.low, 0.490162, 1e-6) && isNear(eight.high, 0.943318, 1e-6))
    let none = WilsonInterval(successes: 0, of: 10)
    #expect(none.low == 0 && isNear(none.high, 0.277533, 1e-6))
    let all = WilsonInterval(successes: 10, of: 10)
    #expect(isNear(all.low, 0.722467, 1e-6) && all.high == 1)
    let empty = WilsonInterval(successes: 0, of: 0)
    #expect(empty.low == 0 && empty.high == 1)
  }

  @Test func mcNemarHasItsKnownValues() {
    #expect(isNear(McNemarTest(firstOnly: 0, secondOnly: 5).pValue, 0.0625))  // 2 / 2^5
    #expect(isNear(McNemarTest(firstOnly: 1, secondOnly: 9).pValue, 0.021484375))  // 2 * 11 / 2^10
    #expect(isNear(McNemarTest(firstOnly: 10, secondOnly: 20).pValue, 0.0987371467053890, 1e-9))
    #expect(McNemarTest(firstOnly: 0, secondOnly: 0).pValue == 1)
    #expect(McNemarTest(firstOnly: 7, secondOnly: 7).pValue == 1)
    #expect(McNemarTest(firstOnly: 9, secondOnly: 1).pValue == McNemarTest(firstOnly: 1, secondOnly: 9).pValue)
    #expect(isNear(McNemarTest(firstOnly: 4900, secondOnly: 5100).pValue, 0.04658552770494739, 1e-9))
    let tiny = McNemarTest(firstOnly: 0, secondOnly: 1000).pValue
    #expect(isNear(tiny / 1.8665272370064355e-301, 1, 1e-9))  // 2^-999
  }

  @Test func mcNemarPairsItems() {
    let test = McNemarTest(first: [true, true, false, false, true], second: [true, false, true, true, false])
    #expect(test.firstOnly == 2 && test.secondOnly == 2)
  }

  @Test func logGammaIsTheFactorial() {
    var factorial = 0.0  // ln of 1 * 2 * ... * n
    for n in 1...170 {
      factorial += log(Double(n))
      #expect(isNear(logGamma(Double(n) + 1), factorial, 1e-13 * 170))
    }
    #expect(isNear(logGamma(10001), 82108.927836814353, 1e-14))  // ln 10000!
  }

  @Test func signFlipCountsAllPatterns() {
    #expect(SignFlipTest([1, 1, 1, 1, 1]).pValue == 2.0 / 32)
    #expect(SignFlipTest([1, 2, 3]).pValue == 2.0 / 8)
    #expect(SignFlipTest([1, 2, -3]).pValue == 1)
    #expect(SignFlipTest([3, 2, -1]).pValue == 4.0 / 8)  // |sum| of 4 or more: ±6, ±4
    #expect(SignFlipTest([0, 0]).pValue == 1)
    #expect(SignFlipTest([]).pValue == 1)
    let withZeros = SignFlipTest([1, 0, 1, 0, 1, 1, 1])
    #expect(withZeros.pValue == 2.0 / 32 && withZeros.isExact && isNear(withZeros.mean, 5.0 / 7))
  }

  @Test func sumsThatDifferByRoundingOnlyAreTies() {
    #expect(SignFlipTest([0.1, 0.2, -0.3]).pValue == 1)
    #expect(SignFlipTest([0.3, 0.2, 0.1, -0.6]).pValue == 1)
  }

  @Test func theSampledTestAgreesWithTheBinomialAndItsSeed() {
    let differences = Array(repeating: 1.0, count: 25) + Array(repeating: -1.0, count: 10)
    let test = SignFlipTest(differences, seed: 3)
    #expect(!test.isExact)
    // With differences of one size the test is McNemar's.
    #expect(abs(test.pValue - McNemarTest(firstOnly: 10, secondOnly: 25).pValue) < 0.003)
    #expect(SignFlipTest(differences, seed: 3) == test)
    #expect(SignFlipTest(differences, seed: 4).pValue != test.pValue)
    #expect(SignFlipTest(Array(repeating: 1, count: 100)).pValue > 0)
  }

  @Test func counterRandomIsEvenAndIndependentOfOrder() {
    var ones = 0
    for counter in 0..<1000 { ones += counterRandom(seed: 1, counter: UInt64(counter)).nonzeroBitCount }
    #expect(abs(Double(ones) / 64000 - 0.5) < 0.01)
    #expect(counterRandom(seed: 1, counter: 5) == counterRandom(seed: 1, counter: 5))
    #expect(counterRandom(seed: 1, counter: 5) != counterRandom(seed: 2, counter: 5))
  }
}
