import Engines
import LinearAlgebra
import ModelFormats
import Multipliers
import Testing

@testable import Transformer

/// dL/ds of the recorded pass: against PyTorch's autograd, against finite differences, and against itself.
@Suite(.inEveryForm) struct GradientTests {
  /// The loss of values.json is −Σ ln p over ids[8...16], its gradient with respect to every multiplier from autograd.
  @Test func theGradientIsThatOfPyTorch() throws {
    let model = try TinyModel.model.get()
    let ids = try TinyModel.ids()
    let item = ScoringItem(prompt: Array(ids[..<8]), continuations: [Array(ids[8...16])])
    let tape = try model.record([item], under: TinyModel.multipliers(), priority: .job)
    let loss = try require(TinyModel.values()["loss"]?.doubleValue)
    #expect(abs(-tape.scores[0][0].sum - loss) < 1e-4)

    let gradient = try tape.gradient([[[Float](repeating: -1, count: 9)]], priority: .job)
    let named = try require(TinyModel.values()["gradient"]?.objectValue)
    #expect(named.members.count == model.layout.matrices.count)
    for (name, value) in named.members {
      let expected = try floats(value)
      let range = model.layout.range(of: try require(model.layout.index(of: name)))
      let scale = max(1, expected.map { abs($0) }.max() ?? 0)
      #expect(distance(Array(gradient[range]), expected) < 1e-4 * scale, "\(name)")
    }
  }

  @Test func theScoresAreThoseOfScoring() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(21)
    let items = numbers.items(7)
    let s = numbers.vector(model.layout.count)
    let tape = try model.record(items, under: s, priority: .job)
    #expect(distance(tape.scores, try model.score(items, under: .factored(s), priority: .job)) < 1e-5)
    let base = try model.record(items, under: .ones(model.layout.count), priority: .job)
    #expect(distance(base.scores, try model.score(items, priority: .job)) < 1e-5)
  }

  /// What leads to a continuation belongs to its prompt: it says nothing of its own, forth and back.
  @Test func whatOnlyLeadsToAContinuationDoesNotCount() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(29)
    let s = numbers.vector(model.layout.count)
    let (prompt, first, second) = (numbers.tokens(5), numbers.tokens(3), numbers.tokens(2))
    let (wanted, other) = (numbers.tokens(4), numbers.tokens(3))
    let leading = ScoringItem(prompt: prompt, continuations: [first + wanted, second + other], leads: [3, 2])
    let apart = [
      ScoringItem(prompt: prompt + first, continuations: [wanted]),
      ScoringItem(prompt: prompt + second, continuations: [other]),
    ]
    let scores = try model.score([leading], under: .factored(s), priority: .job)[0]
    let expected = try model.score(apart, under: .factored(s), priority: .job).map { $0[0] }
    for (score, expected) in zip(scores, expected) {
      #expect(abs(score.sum - expected.sum) < 1e-4 && abs(score.mean - expected.mean) < 1e-4)
    }
    let tape = try model.record([leading], under: s, priority: .job)
    let mine = try tape.gradient([tape.scores[0].map { $0.derivatives(1) }], priority: .job)
    let tapes = try model.record(apart, under: s, priority: .job)
    let theirs = try tapes.gradient(tapes.scores.map { $0.map { $0.derivatives(1) } }, priority: .job)
    #expect(distance(mine, theirs) < 1e-4 * max(1, theirs.map { abs($0) }.max() ?? 0))
    #expect(throws: EngineError.self) {
      try model.score([ScoringItem(prompt: prompt, continuations: [first], leads: [3])], priority: .job)
    }
  }

  /// A loss with a weight of its own for every token of items that share a beginning and whose choices share a question.
  private struct Case {
    var items: [ScoringItem]
    var s: MultiplierVector
    var derivatives: [[[Float]]]

    init(_ model: LanguageModel, seed: UInt64, items count: Int = 4, prefix: Int = 3) {
      var numbers = Numbers(seed)
      let prefix = numbers.tokens(prefix)
      items = numbers.items(count).map { ScoringItem(prompt: prefix + $0.prompt, continuations: $0.continuations) }
      s = numbers.vector(model.layout.count)
      derivatives = items.map { $0.continuations.map { $0.map { _ in numbers.float(-1, 1) } } }
    }

    func loss(_ scores: [[ContinuationScore]]) -> Double {
      zip(derivatives, scores).reduce(0) { sum, item in
        zip(item.0, item.1).reduce(sum) { sum, continuation in
          zip(continuation.0, continuation.1.logprobs).reduce(sum) { $0 + Double($1.0) * Double($1.1) }
        }
      }
    }
  }

  /// (L(s + h d) − L(s − h d)) / 2h by the naive twin, whose arithmetic is double.
  private func difference(_ model: LanguageModel, _ loss: Case, along d: [Float], step h: Float = 0.02) -> Double {
    func value(_ sign: Float) -> Double {
      let s = MultiplierVector(zip(loss.s.values, d).map { $0 + sign * h * $1 })
      return loss.loss(NaiveDecoder(model, under: s).score(loss.items))
    }
    return (value(1) - value(-1)) / Double(2 * h)
  }

  /// In a random direction within the matrices of one kind, so an error in any kind shows.
  @Test(arguments: [Projection.query, .key, .value, .output, .gate, .up, .down])
  func everyKindOfMatrixAgreesWithFiniteDifferences(projection: Projection) throws {
    let model = try TinyModel.model.get()
    let loss = Case(model, seed: 22, items: 2)
    let gradient = try model.record(loss.items, under: loss.s, priority: .job)
      .gradient(loss.derivatives, priority: .job)
    var numbers = Numbers(23)
    var d = [Float](repeating: 0, count: model.layout.count)
    for index in matrices(model, [projection]) {
      for i in model.layout.range(of: index) { d[i] = numbers.float(-0.4, 0.4) }
    }
    let expected = difference(model, loss, along: d)
    #expect(abs(dot(gradient, d) - expected) < 4e-3 * max(1, abs(expected)))
  }

  @Test func aTiedHeadAgreesWithFiniteDifferences() throws {
    let model = try TiedModel.load()
    let loss = Case(model, seed: 24, items: 2)
    let gradient = try model.record(loss.items, under: loss.s, priority: .job)
      .gradient(loss.derivatives, priority: .job)
    var numbers = Numbers(25)
    let d = (0..<model.layout.count).map { _ in numbers.float(-0.1, 0.1) }
    let expected = difference(model, loss, along: d)
    #expect(abs(dot(gradient, d) - expected) < 4e-3 * max(1, abs(expected)))
  }

  /// What a question's choices share collects from all of them: together they have the sum of their own gradients.
  @Test func sharedPrefixesCollectTheGradientsOfTheirChildren() throws {
    let model = try TinyModel.model.get()
    let loss = Case(model, seed: 26, items: 5, prefix: 9)
    let together = try model.record(loss.items, under: loss.s, priority: .job)
      .gradient(loss.derivatives, priority: .job)
    var sum = [Float](repeating: 0, count: model.layout.count)
    for (item, derivatives) in zip(loss.items, loss.derivatives) {
      for (continuation, derivative) in zip(item.continuations, derivatives) {
        let alone = try model.record(
          [ScoringItem(prompt: item.prompt, continuations: [continuation])], under: loss.s, priority: .job)
        for (i, g) in try alone.gradient([[derivative]], priority: .job).enumerated() { sum[i] += g }
      }
    }
    let scale = together.map { abs($0) }.max() ?? 0
    #expect(distance(together, sum) < 1e-4 * max(1, scale))
  }

  /// Longer than a block of attention, so gradients of keys come from several blocks, their own among them.
  @Test func aLongSequenceAgreesWithFiniteDifferences() throws {
    let model = try TinyModel.model.get()
    var loss = Case(model, seed: 27, items: 1)
    var numbers = Numbers(28)
    let ids = numbers.tokens(101)
    loss.items = [ScoringItem(prompt: Array(ids[..<70]), continuations: [Array(ids[70...])])]
    loss.derivatives = [[(0..<31).map { _ in numbers.float(-1, 1) }]]
    let gradient = try model.record(loss.items, under: loss.s, priority: .job)
      .gradient(loss.derivatives, priority: .job)
    let d = (0..<model.layout.count).map { _ in numbers.float(-0.1, 0.1) }
    let expected = difference(model, loss, along: d)
    #expect(abs(dot(gradient, d) - expected) < 4e-3 * max(1, abs(expected)))
  }

  @Test func computingAgainGivesTheBitsThatKeepingGives() throws {
    let model = try TinyModel.model.get()
    let loss = Case(model, seed: 29, items: 6)
    let all = try model.record(loss.items, under: loss.s, priority: .job)
    let expected = try all.gradient(loss.derivatives, priority: .job)
    for memory in [0, all.recordBytes / 2] {
      let some = try model.record(loss.items, under: loss.s, memory: memory, priority: .job)
      #expect(some.recordBytes <= memory && some.recordBytes < all.recordBytes)
      #expect(try some.gradient(loss.derivatives, priority: .job) == expected)
      #expect(some.scores == all.scores)
    }
    // And asking again gives the same again.
    #expect(try all.gradient(loss.derivatives, priority: .job) == expected)
  }

  @Test func theGradientDoesNotDependOnTheNumberOfThreads() throws {
    let gradients = try [1, 2, 3].map { threads in
      let model = try TinyModel.load(threads: threads)
      let loss = Case(model, seed: 30, items: 12)
      return try model.record(loss.items, under: loss.s, priority: .job).gradient(loss.derivatives, priority: .job)
    }
    #expect(gradients[0] == gradients[1])
    #expect(gradients[0] == gradients[2])
  }

  @Test func manyItemsGoInSeveralPasses() throws {
    let model = try TinyModel.model.get()
    var loss = Case(model, seed: 31, items: 1)
    var numbers = Numbers(32)
    loss.items = (0..<40).map { _ in
      ScoringItem(prompt: numbers.tokens(40), continuations: [numbers.tokens(3), numbers.tokens(2)])
    }
    loss.derivatives = loss.items.map { $0.continuations.map { $0.map { _ in numbers.float(-1, 1) } } }
    let tape = try model.record(loss.items, under: loss.s, priority: .job)
    #expect(tape.rowCount > LanguageModel.batchRows)
    let gradient = try tape.gradient(loss.derivatives, priority: .job)
    var sum = [Float](repeating: 0, count: model.layout.count)
    for part in [0..<17, 17..<40] {
      let own = try model.record(Array(loss.items[part]), under: loss.s, priority: .job)
      for (i, g) in try own.gradient(Array(loss.derivatives[part]), priority: .job).enumerated() { sum[i] += g }
    }
    #expect(distance(gradient, sum) < 1e-4 * max(1, gradient.map { abs($0) }.max() ?? 0))
  }

  @Test func lowerLayersThatAreNotWantedCostNothingAndSayNothing() throws {
    let model = try TinyModel.model.get()
    let loss = Case(model, seed: 33)
    let tape = try model.record(loss.items, under: loss.s, priority: .job)
    let all = try tape.gradient(loss.derivatives, priority: .job)
    let upper = try tape.gradient(loss.derivatives, fromLayer: 1, priority: .job)
    let border = model.layout.offsets[model.shape.matrices.count]
    #expect(upper[..<border].allSatisfy { $0 == 0 })
    #expect(upper[border...] == all[border...])
  }

  @Test func aLossThatAsksForNothingHasNoGradient() throws {
    let model = try TinyModel.model.get()
    let loss = Case(model, seed: 34)
    let zeros = loss.derivatives.map { $0.map { $0.map { _ in Float.zero } } }
    let tape = try model.record(loss.items, under: loss.s, priority: .job)
    #expect(try tape.gradient(zeros, priority: .job).allSatisfy { $0 == 0 })
    let none = try model.record([ScoringItem(prompt: [1, 2], continuations: [])], under: loss.s, priority: .job)
    #expect(none.scores == [[]])
    #expect(try none.gradient([[]], priority: .job).allSatisfy { $0 == 0 })
  }

  @Test func badInputIsAnErrorThatSaysWhat() throws {
    let model = try TinyModel.model.get()
    let item = ScoringItem(prompt: [1, 2, 3], continuations: [[4, 5]])
    let ones = MultiplierVector.ones(model.layout.count)
    func problem(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return ""
    }
    #expect(problem { _ = try model.record([item], under: .ones(5), priority: .job) }.contains("5 values"))
    #expect(problem { _ = try model.record([item], under: .ones(5), priority: .job) }.contains("\(model.layout.count)"))
    let tape = try model.record([item], under: ones, priority: .job)
    #expect(problem { _ = try tape.gradient([], priority: .job) } == "0 items' derivatives given, 1 expected")
    #expect(
      problem { _ = try tape.gradient([[[1]]], priority: .job) }
        == "1 derivatives of continuation 0 of item 0 given, 2 expected")
    #expect(
      problem { _ = try tape.gradient([[[1, .nan]]], priority: .job) }
        == "the loss has a derivative that is not finite for continuation 0 of prompt 0")
    let huge = MultiplierVector([Float](repeating: 1e38, count: model.layout.count))
    #expect(
      problem { _ = try model.record([item], under: huge, priority: .job) }.contains(
        "logits of prompt 0 are not finite"))
    let steep = [[[Float](repeating: 3e38, count: 2)]]
    #expect(problem { _ = try tape.gradient(steep, priority: .job) }.contains("gradient of the multipliers of 'model."))
    #expect(
      problem { _ = try model.record([item], under: ones, priority: .job, shouldStop: { true }) }
        == "stopped on request")
    #expect(
      problem { _ = try tape.gradient([[[1, 1]]], priority: .job, shouldStop: { true }) } == "stopped on request")
  }
}

/// From the network to the coefficients of a mixture: what a search by gradient follows, against differences of scoring.
@Suite(.inEveryForm) struct AlphaGradientTests {
  @Test(
    arguments: [Granularity.vector, .layer, .matrix],
    [(MixRule.delta, Rescale.none), (.delta, .nuclear), (.sum, .nuclear), (.sum, .none)])
  func theGradientOfAlphaIsThatOfScoring(granularity: Granularity, rule: (mix: MixRule, rescale: Rescale)) throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(41)
    let experts = (0..<3).map { _ in numbers.vector(model.layout.count) }
    let mixer = Mixer(
      layout: model.layout, sigma: model.factorization.sigma, experts: experts, rescale: rule.rescale)
    let units = model.layout.unitCount(granularity)
    func draw(_ low: Float, _ high: Float) -> [[Float]] {
      experts.map { _ in (0..<units).map { _ in numbers.float(low, high) } }
    }
    var c = MixtureCoefficients(granularity: granularity, mix: rule.mix, alpha: draw(0.2, 0.6))
    var d = draw(-1, 1)
    if rule == (.sum, .none) {
      // There the coefficients of a unit sum to 1, before and after a step.
      c = c.normalized()
      for unit in 0..<units {
        let mean = d.reduce(0) { $0 + $1[unit] } / 3
        for k in d.indices { d[k][unit] -= mean }
      }
    }
    let items = numbers.items(4)

    // The mean over the tokens of each item's first continuation.
    let tape = try model.record(items, under: try mixer.multipliers(c), priority: .job)
    let derivatives = items.map { item in
      item.continuations.enumerated().map { index, tokens in
        [Float](repeating: index == 0 ? 1 / Float(tokens.count) : 0, count: tokens.count)
      }
    }
    let gradient = try mixer.gradient(tape.gradient(derivatives, priority: .job), at: c)
    let found = zip(gradient, d).reduce(0.0) { sum, expert in
      zip(expert.0, expert.1).reduce(sum) { $0 + $1.0 * Double($1.1) }
    }

    let h: Float = 0.01
    func value(_ sign: Float) throws -> Double {
      var moved = c
      for k in d.indices { for unit in 0..<units { moved.alpha[k][unit] += sign * h * d[k][unit] } }
      return try model.score(items, under: .factored(mixer.multipliers(moved)), priority: .job)
        .reduce(0) { $0 + $1[0].sum / Double($1[0].logprobs.count) }
    }
    let expected = (try value(1) - value(-1)) / Double(2 * h)
    #expect(abs(found - expected) < 5e-3 * max(1, abs(expected)), "\(found) against \(expected)")
  }
}
