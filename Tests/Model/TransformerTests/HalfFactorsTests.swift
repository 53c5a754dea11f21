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

  /// In every form, few rows and many.
  @Test(arguments: [AnyShape.plain, .oneKeyHead, .fused, .narrowMLP], [1, 12])
  func halvesMoveScoresByLittleAndTheBaseNotAtAll(shape: AnyShape, count: Int) throws {
    let (single, half) = (try load(shape, .single), try load(shape, .half))
    #expect(half.factorization.precision == .half)
    var numbers = Numbers(51)
    let items = (0..<count).map { _ in ScoringItem(prompt: numbers.tokens(9), continuations: [numbers.tokens(3)]) }
    let vector = numbers.vector(single.layout.count)
    #expect(try half.score(items, priority: .job) == single.score(items, priority: .job))
    let (exact, rounded) = (NaiveDecoder(single, under: vector), NaiveDecoder(half, under: vector))
    for form in FactoredForm.allCases {
      let scores = try half.always(form).score(items, under: .factored(vector), priority: .job)
      #expect(distance(scores, exact.score(items)) < 5e-3, "\(form)")
      // They are halves, as the twin has them. Q is not quite orthogonal then, which the forms see in different ways.
      #expect(distance(scores, exact.score(items)) > 1e-6, "\(form)")
      #expect(distance(scores, rounded.score(items)) < 5e-3, "\(form)")
    }
  }

  @Test func gradientsOfHalvesAreNearly() throws {
    let models = [try load(.oneKeyHead, .single), try load(.oneKeyHead, .half)]
    var numbers = Numbers(52)
    let items = (0..<4).map { _ in ScoringItem(prompt: numbers.tokens(9), continuations: [numbers.tokens(3)]) }
    let vector = numbers.vector(models[0].layout.count)
    let ones = items.map { $0.continuations.map { $0.map { _ in Float(1) } } }
    let gradients = try FactoredForm.allCases.flatMap { form in
      try models.map {
        try $0.always(form).record(items, under: vector, priority: .job).gradient(ones, priority: .job)
      }
    }
    let size = dot(gradients[0], gradients[0]).squareRoot()
    for gradient in gradients {
      let change = zip(gradient, gradients[0]).map { $0 - $1 }
      #expect(dot(change, change).squareRoot() < 1e-2 * size)
    }
  }
}
