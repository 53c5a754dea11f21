import Search
import Testing

@Suite struct MemberScoreTests {
  @Test func choiceRowsAverageTheGoldOverAllShots() {
    let shots = [ShotScore(right: 1, logLikelihood: -1), ShotScore(right: 0, logLikelihood: -3)]
    #expect(MemberScore(shots, rule: .everyShot) == MemberScore(score: 0.5, logLikelihood: -2))
  }

  @Test func generatedRowsAverageTheRightAnswersOnly() {
    let shots = [ShotScore(right: 1, logLikelihood: -1), ShotScore(right: 0, logLikelihood: nil)]
    #expect(MemberScore(shots, rule: .rightShots) == MemberScore(score: 0.5, logLikelihood: -1))
    let wrong = [ShotScore(right: 0, logLikelihood: nil)]
    #expect(MemberScore(wrong, rule: .rightShots) == MemberScore(score: 0, logLikelihood: -.infinity))
  }

  @Test func aLogSoftmaxThatEndsAboveZeroIsZeroAndNaNIsNothing() {
    #expect(ShotScore(right: 1, logLikelihood: 2e-7).logLikelihood == 0)
    #expect(ShotScore(right: 1, logLikelihood: .nan).logLikelihood == -.infinity)
  }

  @Test func theOrderIsScoreThenLikelihoodOrTheOtherWay() {
    let a = MemberScore(score: 0.5, logLikelihood: -3)
    let b = MemberScore(score: 0.4, logLikelihood: -1)
    #expect(b.isBelow(a, by: .accuracy) && !a.isBelow(b, by: .accuracy))
    #expect(a.isBelow(b, by: .loglik) && !b.isBelow(a, by: .loglik))
    #expect(!a.isBelow(a, by: .accuracy) && !a.isBelow(a, by: .loglik))
    #expect(MemberScore.worst.isBelow(MemberScore(score: 0, logLikelihood: -.infinity), by: .accuracy))
  }

  @Test(arguments: [LikelihoodRule.everyShot, .rightShots])
  func noScoreExceedsTheBoundOfAnyPartOfIt(rule: LikelihoodRule) {
    let generator = Philox(seed: 5)
    for trial in 0..<300 {
      let shots = (0..<9).map { shot -> ShotScore in
        let (u, v) = generator.uniforms([UInt32(trial), UInt32(shot), 0, 0])
        let right = u < 0.5
        return ShotScore(right: right ? 1 : 0, logLikelihood: rule == .everyShot || right ? -4 * v : nil)
      }
      let whole = MemberScore(shots, rule: rule)
      let (mask, _) = generator.uniforms([UInt32(trial), 0, 1, 0])
      let hidden = Int(mask * 512)
      let part = shots.enumerated().map { hidden >> $0.offset & 1 == 1 ? nil : $0.element }
      let bound = MemberScore(part, rule: rule)
      for objective in Objective.allCases {
        #expect(!bound.isBelow(whole, by: objective), "trial \(trial)")
      }
    }
  }
}
