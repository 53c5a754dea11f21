import Engines
import Settings
import Glibc
import LinearAlgebra
import Multipliers
import Testing

@testable import Transformer

/// How far the adapted model is from its base, against the definition and against finite differences.
@Suite(.inEveryForm) struct DivergenceTests {
  private static let items: [ScoringItem] = {
    var numbers = Numbers(51)
    let prefix = numbers.tokens(4)
    return numbers.items(4).map { ScoringItem(prompt: prefix + $0.prompt, continuations: $0.continuations) }
  }()

  private static func vector(_ model: LanguageModel) -> MultiplierVector {
    var numbers = Numbers(52)
    return numbers.vector(model.layout.count)
  }

  /// Σ p (ln p − ln q) in double, of the distributions behind a text.
  private func expected(
    _ model: LanguageModel, _ s: MultiplierVector, behind text: [Int32], _ temperature: Float,
    _ direction: DivergenceDirection
  ) throws -> Double {
    let adapted = try temperedLogShares(model, s, behind: text, temperature)
    let base = try temperedLogShares(model, nil, behind: text, temperature)
    let (p, q) = direction == .paper ? (adapted, base) : (base, adapted)
    return zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
  }

  @Test(arguments: DivergenceDirection.allCases, [1, 2.5] as [Float])
  func itIsThatOfTheDistributionsBeforeEveryToken(direction: DivergenceDirection, temperature: Float) throws {
    let model = try TinyModel.model.get()
    let s = Self.vector(model)
    let tape = try model.record(
      Self.items, under: s, temperature: temperature, divergence: direction, priority: .job)
    let found = try #require(tape.divergences)
    for (item, found) in zip(Self.items, found) {
      for (continuation, found) in zip(item.continuations, found) {
        let places = continuation.indices.map { item.prompt + continuation[..<$0] }
        let sum = try places.reduce(0.0) { try $0 + expected(model, s, behind: $1, temperature, direction) }
        #expect(abs(found - sum) < 1e-4 * max(1, sum), "\(found) against \(sum)")
      }
    }
    let again = try model.record(
      Self.items, under: s, temperature: temperature, divergence: direction, memory: 0, priority: .job)
    #expect(again.divergences == tape.divergences)
  }

  @Test func theBaseIsNotFarFromItself() throws {
    let model = try TinyModel.model.get()
    let tape = try model.record(
      Self.items, under: .ones(model.layout.count), divergence: .paper, priority: .job)
    #expect(try #require(tape.divergences).joined().allSatisfy { abs($0) < 1e-5 })
    #expect(try model.record(Self.items, under: .ones(model.layout.count), priority: .job).divergences == nil)
  }

  /// Alone and beside a loss of the tokens, with logits that are kept and that are computed again.
  @Test(
    arguments: DivergenceDirection.allCases, [(0, 1), (Int.max / 2, 1), (0, 2.5), (Int.max / 2, 0.7)] as [(Int, Float)])
  func theGradientIsThatOfFiniteDifferences(direction: DivergenceDirection, kept: (memory: Int, temperature: Float))
    throws
  {
    let model = try TinyModel.model.get()
    let s = Self.vector(model)
    let weight: Float = 0.7
    var numbers = Numbers(53)
    let derivatives = Self.items.map { $0.continuations.map { $0.map { _ in numbers.float(-0.5, 0.5) } } }
    let nothing = derivatives.map { $0.map { $0.map { _ in Float.zero } } }
    let d = (0..<model.layout.count).map { _ in numbers.float(-0.1, 0.1) }
    func loss(_ step: Float) throws -> Double {
      let moved = MultiplierVector(zip(s.values, d).map { $0 + step * $1 })
      let tape = try model.record(
        Self.items, under: moved, temperature: kept.temperature, divergence: direction, priority: .job)
      return Double(weight) * (tape.divergences ?? []).joined().reduce(0, +)
    }
    func along(_ gradient: [Float]) -> Double { zip(gradient, d).reduce(0) { $0 + Double($1.0) * Double($1.1) } }

    let tape = try model.record(
      Self.items, under: s, temperature: kept.temperature, divergence: direction, memory: kept.memory, priority: .job)
    let alone = try tape.gradient(nothing, divergenceWeight: weight, priority: .job)
    // Two steps, whose differences of the second order cancel (Richardson): a low temperature bends the loss.
    let differences = try [0.02, 0.04].map { try (loss(Float($0)) - loss(Float(-$0))) / (2 * $0) }
    let expected = (4 * differences[0] - differences[1]) / 3
    #expect(abs(along(alone) - expected) < 1e-2 * max(0.1, abs(expected)), "\(along(alone)) against \(expected)")
    let together = try tape.gradient(derivatives, divergenceWeight: weight, priority: .job)
    let tokens = try tape.gradient(derivatives, priority: .job)
    let scale = max(1, together.map { abs($0) }.max() ?? 0)
    #expect(distance(together, zip(alone, tokens).map { $0 + $1 }) < 1e-4 * scale)
  }
}
