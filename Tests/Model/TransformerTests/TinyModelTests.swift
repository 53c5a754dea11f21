import Engines
import LinearAlgebra
import Multipliers
import StrictJSON
import Testing

@testable import Transformer

/// Against PyTorch's values, and against the naive twin.
@Suite(.inEveryForm) struct TinyModelTests {
  @Test func baseLogitsAreThoseOfPyTorch() throws {
    let expected = try floats(TinyModel.values()["base_last_logits"])
    let found = try TinyModel.model.get().logits(prompt: TinyModel.ids())
    #expect(distance(found, expected) < 1e-4)
  }

  @Test func adaptedLogitsAndLossAreThoseOfPyTorch() throws {
    let model = try TinyModel.model.get()
    let view = try WeightView.factored(TinyModel.multipliers())
    let ids = try TinyModel.ids()
    let expected = try floats(TinyModel.values()["last_logits"])
    #expect(distance(try model.logits(prompt: ids, under: view), expected) < 1e-4)

    // The loss sums over ids[8...16].
    let item = ScoringItem(prompt: Array(ids[..<8]), continuations: [Array(ids[8...16])])
    let sum = try model.score([item], under: view, priority: .job)[0][0].sum
    let loss = try require(TinyModel.values()["loss"]?.doubleValue)
    #expect(abs(-sum - loss) < 1e-4)
  }

  @Test func theForwardPassAgreesWithItsNaiveTwin() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(1)
    let items = numbers.items(3)
    #expect(distance(try model.score(items, priority: .job), NaiveDecoder(model).score(items)) < 1e-4)
    let s = numbers.vector(model.layout.count)
    let adapted = try model.score(items, under: .factored(s), priority: .job)
    #expect(distance(adapted, NaiveDecoder(model, under: s).score(items)) < 1e-4)
  }

  /// Longer than a block of attention and not a multiple of it, so rows attend across blocks.
  @Test func aLongSequenceIsSplitWithoutATrace() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(2)
    let ids = numbers.tokens(101)
    let item = ScoringItem(prompt: Array(ids[..<70]), continuations: [Array(ids[70...])])
    #expect(distance(try model.score([item], priority: .job), NaiveDecoder(model).score([item])) < 1e-4)
  }

  @Test func aCommonPrefixChangesNothing() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(3)
    let prefix = numbers.tokens(9)
    let items = numbers.items(6).map { ScoringItem(prompt: prefix + $0.prompt, continuations: $0.continuations) }
    let together = try model.score(items, priority: .job)
    let alone = try items.map { try model.score([$0], priority: .job)[0] }
    #expect(distance(together, alone) < 1e-4)
    // And it is really shared.
    let rows = ItemBatch(items, views: items.map { _ in -1 }).batch.tokens.count
    #expect(rows == items.reduce(0) { $0 + $1.rowCount } - 5 * 9)
  }

  @Test func continuationsOfAPromptDoNotSeeEachOther() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(4)
    let item = ScoringItem(
      prompt: numbers.tokens(12), continuations: (0..<4).map { _ in numbers.tokens(5) } + [numbers.tokens(1)])
    let together = try model.score([item], priority: .job)[0]
    for (index, continuation) in item.continuations.enumerated() {
      let alone = try model.score(
        [ScoringItem(prompt: item.prompt, continuations: [continuation])], priority: .job)[0]
      #expect(distance([[together[index]]], [alone]) < 1e-4)
    }
  }

  @Test func theOrderOfABatchChangesNothing() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(5)
    let items = numbers.items(7)
    let views: [WeightView] = (0..<7).map { $0 % 3 == 0 ? .base : .factored(numbers.vector(model.layout.count)) }
    let forward = try model.score(items, under: views, priority: .job)
    let backward = try model.score(items.reversed(), under: views.reversed(), priority: .job)
    #expect(distance(forward, backward.reversed()) < 1e-4)
  }

  @Test func rowsWithVectorsOfTheirOwnShareABatch() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(6)
    let items = numbers.items(6)
    let views: [WeightView] = items.indices.map { $0 == 2 ? .base : .factored(numbers.vector(model.layout.count)) }
    let together = try model.score(items, under: views, priority: .job)
    for index in items.indices {
      let alone = try model.score([items[index]], under: views[index], priority: .job)
      #expect(distance([together[index]], alone) < 1e-4)
    }
  }

  @Test func aVectorOfOnesIsTheBaseBitForBit() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(7)
    let items = numbers.items(4)
    let ones = WeightView.factored(.ones(model.layout.count))
    #expect(try model.score(items, under: ones, priority: .job) == model.score(items, priority: .job))
    let prompt = numbers.tokens(5)
    #expect(try model.logits(prompt: prompt, under: ones) == model.logits(prompt: prompt))
  }

  @Test func resultsDoNotDependOnTheNumberOfThreads() throws {
    let (one, three) = (try TinyModel.load(threads: 1), try TinyModel.load(threads: 3))
    var numbers = Numbers(8)
    let items = numbers.items(9)
    let s = WeightView.factored(numbers.vector(one.layout.count))
    #expect(try one.score(items, priority: .job) == three.score(items, priority: .job))
    #expect(try one.score(items, under: s, priority: .job) == three.score(items, under: s, priority: .job))
  }

  @Test func manyItemsGoInSeveralBatches() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(9)
    let items = (0..<40).map { _ in
      ScoringItem(prompt: numbers.tokens(40), continuations: [numbers.tokens(3), numbers.tokens(2)])
    }
    #expect(items.reduce(0) { $0 + $1.rowCount } > 1024)
    let all = try model.score(items, priority: .job)
    for index in [0, 21, 39] {
      #expect(distance([all[index]], try model.score([items[index]], priority: .job)) < 1e-4)
    }
  }
}
