import Engines
import LinearAlgebra
import ModelFormats
import Multipliers
import SVF
import Testing

@testable import Transformer

/// Models whose Q is kept in halves.
@Suite struct HalfFactorsTests {
  private func load(_ shape: AnyShape, _ precision: FactorPrecision) throws -> LanguageModel {
    try RandomModel.loadInForms(shape.configuration, precision: precision).choosing
  }

  /// Few rows and many.
  @Test(arguments: [AnyShape.plain, .oneKeyHead, .fused, .narrowMLP], [1, 12])
  func halvesMoveScoresByLittleAndTheBaseNotAtAll(shape: AnyShape, count: Int) throws {
    let (single, half) = (try load(shape, .single), try load(shape, .half))
    #expect(half.factorization.precision == .half)
    var numbers = Numbers(51)
    let items = (0..<count).map { _ in ScoringItem(prompt: numbers.tokens(9), continuations: [numbers.tokens(3)]) }
    let vector = numbers.vector(single.layout.count)
    #expect(try half.score(items, priority: .job) == single.score(items, priority: .job))
    let expected = NaiveDecoder(single, under: vector).score(items)
    let scores = try half.score(items, under: .factored(vector), priority: .job)
    #expect(distance(scores, expected) < 5e-3)
    // They are halves.
    #expect(distance(scores, expected) > 1e-6)
  }

  /// With products the rounding of Q would weigh on all of W.
  @Test func modelsWithHalvesMultiplyByTheWeights() throws {
    let half = try load(.plain, .half)
    for rows in [1, 64, 1024] { #expect(half.forms.form(rows: rows) == .weights) }
  }

  @Test func gradientsOfHalvesAreNearlyThoseOfSingles() throws {
    let models = [try load(.oneKeyHead, .single), try load(.oneKeyHead, .half)]
    var numbers = Numbers(52)
    let items = (0..<4).map { _ in ScoringItem(prompt: numbers.tokens(9), continuations: [numbers.tokens(3)]) }
    let vector = numbers.vector(models[0].layout.count)
    let ones = items.map { $0.continuations.map { $0.map { _ in Float(1) } } }
    let gradients = try models.map {
      try $0.record(items, under: vector, priority: .job).gradient(ones, priority: .job)
    }
    let change = zip(gradients[0], gradients[1]).map { $0 - $1 }
    #expect(dot(change, change) < 1e-4 * dot(gradients[0], gradients[0]))
  }
}
