import Testing

@testable import Transformer

/// Runs each test of a suite once in every form of factored rows: the models that the helpers of these tests load always
/// go in that form. What a vector changes, in halves, has tests of its own.
struct EveryForm: SuiteTrait, TestTrait, TestScoping {
  @TaskLocal static var current: FactoredForm?

  var isRecursive: Bool { true }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    for form in FactoredForm.allCases {
      try await Self.$current.withValue(form) { try await function() }
    }
  }
}

extension Trait where Self == EveryForm {
  static var inEveryForm: Self { Self() }
}

/// A model that chooses its form, and the same for each form.
struct ModelInForms: Sendable {
  let choosing: LanguageModel
  private let always: [FactoredForm: LanguageModel]

  init(_ model: LanguageModel) {
    choosing = model
    always = Dictionary(uniqueKeysWithValues: FactoredForm.allCases.map { ($0, model.always($0)) })
  }

  /// As the test that asks wants it.
  var current: LanguageModel { EveryForm.current.flatMap { always[$0] } ?? choosing }
}
