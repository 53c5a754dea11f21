import Adaptation
import Multipliers
import Search
import Testing

@Suite struct EvaluatorTests {
  /// Populations with repeated members, members that do not exist, few levels, and known members.
  static func population(_ trial: UInt32, count: Int, seed: UInt64) -> [MixtureCoefficients?] {
    let generator = Philox(seed: seed)
    return (0..<count).map { member in
      let (u, v) = generator.uniforms([UInt32(member), trial, 0, 77])
      if u < 0.05 { return nil }
      return MixtureCoefficients(mix: .delta, [Float((u * 6).rounded() / 6), Float((v * 6).rounded() / 6)])
    }
  }

  @Test(arguments: [LikelihoodRule.everyShot, .rightShots], Objective.allCases)
  func pruningNeverChangesTheLeaders(rule: LikelihoodRule, objective: Objective) throws {
    var saved = 0
    for trial in 0..<48 {
      let levels = [1, 3, 1 << 20][trial % 3]
      let shots = 4 + trial % 9
      let scorer = TableScorer(
        shots: shots, rule: rule, chunkSize: 1 + trial % 4, levels: levels,
        target: trial % 2 == 0 ? nil : [0.7, 0.2], seed: UInt64(trial))
      let chunks = scorer.chunks(of: Array(0..<shots))
      var pruning = Evaluator(scorer, chunks: chunks)
      var whole = Evaluator(scorer, chunks: chunks, prunes: false)
      for generation in 0..<2 {
        let members = Self.population(UInt32(generation), count: 32, seed: UInt64(trial))
        let all = Array(chunks.indices)
        let leaders = 1 + trial % 8
        let mine = try pruning.rank(members, on: all, leaders: leaders, objective: objective)
        let theirs = try whole.rank(members, on: all, leaders: leaders, objective: objective)
        #expect(mine == theirs, "trial \(trial), generation \(generation)")
      }
      #expect(pruning.costs.prompts <= whole.costs.prompts)
      saved += pruning.costs.savedByPruning
    }
    #expect(saved > 0)
  }

  @Test func leadersAreThoseOfPlainSorting() throws {
    let scorer = TableScorer(shots: 10, levels: 4)
    let chunks = scorer.chunks(of: Array(0..<10))
    var evaluator = Evaluator(scorer, chunks: chunks)
    let members = Self.population(0, count: 32, seed: 3)
    let leaders = try evaluator.rank(members, on: Array(chunks.indices), leaders: 6, objective: .accuracy)
    let scores = members.map { member in
      member.map { member in
        MemberScore((0..<10).map { scorer.score(member, shot: $0) }, rule: .everyShot)
      } ?? .worst
    }
    let expected = members.indices.sorted {
      (-scores[$0].score, -scores[$0].logLikelihood, $0) < (-scores[$1].score, -scores[$1].logLikelihood, $1)
    }
    #expect(leaders.map(\.member) == Array(expected.prefix(6)))
    #expect(leaders.map(\.score) == expected.prefix(6).map { scores[$0] })
  }

  @Test func nothingIsScoredTwice() throws {
    let scorer = TableScorer(shots: 9)
    let chunks = scorer.chunks(of: Array(0..<9))
    var evaluator = Evaluator(scorer, chunks: chunks)
    let members = Self.population(0, count: 32, seed: 4)
    for _ in 0..<2 {
      _ = try evaluator.rank(members, on: [0, 1], leaders: 6, objective: .accuracy)
      _ = try evaluator.rank(members, on: [0, 1, 2], leaders: 6, objective: .loglik)
    }
    #expect(scorer.asked.values.allSatisfy { $0 == 1 })
    #expect(evaluator.costs.savedByCache > 0)
  }

  @Test func aCandidateThatDoesNotExistIsLast() throws {
    let scorer = TableScorer(shots: 4)
    scorer.refused = { $0 == [[0], [0]] }
    var evaluator = Evaluator(scorer, chunks: scorer.chunks(of: [0, 1, 2, 3]))
    let zero = MixtureCoefficients(mix: .sum, [0, 0])
    let one = MixtureCoefficients(mix: .sum, [1, 0])
    let ranked = try evaluator.rank([zero, nil, one], on: [0, 1], leaders: 3, objective: .accuracy)
    #expect(ranked.map(\.member) == [2, 0, 1])
    #expect(ranked[1].score == .worst)
    let scores = try evaluator.scores(of: [zero], on: [0])
    #expect(scores == [.worst])
  }
}
