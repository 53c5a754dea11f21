import Adaptation
import Testing

@Suite struct ShotPlanTests {
  @Test func aSeedsFewerShotsAreAmongItsMoreAndAnotherSeedDrawsOthers() {
    let draws = [3, 5, 10, 20].map { ShotPlan.drawn($0, of: 40, seed: 7) }
    for (fewer, more) in zip(draws, draws.dropFirst()) { #expect(Set(fewer).isSubset(of: Set(more))) }
    for (count, draw) in zip([3, 5, 10, 20], draws) {
      #expect(draw.count == count && Set(draw).count == count && draw == draw.sorted())
      #expect(draw.allSatisfy { (0..<40).contains($0) })
    }
    #expect(ShotPlan.drawn(10, of: 40, seed: 8) != draws[2])
    #expect(ShotPlan.drawn(40, of: 40, seed: 7) == Array(0..<40))
  }
}
