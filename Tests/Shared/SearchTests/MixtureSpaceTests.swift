import Multipliers
import Search
import Testing

@Suite struct MixtureSpaceTests {
  @Test func coordinatesFallOnTheGridInsideTheBox() {
    let space = MixtureSpace(experts: 2, units: 1, granularity: .vector, mix: .delta)
    #expect(space.snapped(0.51) == 33.0 / 64)
    #expect(space.snapped(-3) == 0)
    #expect(space.snapped(7) == 1)
    let odd = MixtureSpace(experts: 2, units: 1, granularity: .vector, mix: .delta, lower: -0.3, upper: 0.99)
    #expect(odd.snapped(2) == 0.984375)
    #expect(odd.snapped(-2) >= -0.3)
  }

  @Test func aPointIsReadExpertByExpert() throws {
    let space = MixtureSpace(experts: 2, units: 3, granularity: .layer, mix: .sum)
    let mixture = try #require(space.coefficients(at: [1, 2, 3, 4, 5, 6].map { $0 / 8 }))
    #expect(mixture.alpha == [[0.125, 0.25, 0.375], [0.5, 0.625, 0.75]])
    #expect(mixture.granularity == .layer && mixture.mix == .sum)
  }

  @Test func normalisedCoefficientsSumToOneInEveryUnit() throws {
    let space = MixtureSpace(experts: 2, units: 2, granularity: .layer, mix: .delta, normalised: true)
    let mixture = try #require(space.coefficients(at: [0.5, 0.25, 0.5, 0.75]))
    #expect(mixture.alpha == [[0.5, 0.25], [0.5, 0.75]])
    #expect(space.coefficients(at: [0, 0.5, 0, 0.5]) == nil)
  }

  /// Thirds are no sixty-fourths: the largest remainder takes the step that is left, the first of equal ones.
  @Test func normalisedCoefficientsAreRoundedToTheGridAndStillSumToOne() throws {
    let space = MixtureSpace(experts: 3, units: 1, granularity: .vector, mix: .sum, normalised: true)
    let thirds = try #require(space.coefficients(at: [0.5, 0.5, 0.5]))
    let expected: [[Float]] = [[0.34375], [0.328125], [0.328125]]
    #expect(thirds.alpha == expected)
    // Points of one direction are one candidate.
    #expect(space.coefficients(at: [0.25, 0.25, 0.25]) == thirds)
    let exact = try #require(space.coefficients(at: [0.5, 0.5, 0.5], onGrid: false))
    let third: Float = 1.0 / 3
    #expect(exact.alpha == [[third], [third], [third]])
    let signed = MixtureSpace(
      experts: 2, units: 1, granularity: .vector, mix: .sum, normalised: true, lower: -1, upper: 1)
    for step in 1...40 {
      let point = [Double(step) / 64, (Double(step % 3) - 16) / 64]
      guard let alpha = signed.coefficients(at: point)?.alpha else {
        #expect(point[0] + point[1] == 0)
        continue
      }
      #expect(alpha[0][0] + alpha[1][0] == 1)
    }
  }

  @Test func normalisingTakesOneFreedomFromEveryUnit() {
    let space = MixtureSpace(experts: 3, units: 4, granularity: .layer, mix: .sum, normalised: true)
    #expect(space.dimensions == 12 && space.freedom == 8)
  }
}
