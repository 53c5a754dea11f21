import Engines
import LinearAlgebra
import ModelFormats
import Multipliers
import Testing

@testable import Transformer

/// LoRA beside the multipliers: against PyTorch's autograd, against finite differences, and against the base.
@Suite(.inEveryForm) struct LowRankTests {
  /// Everything but 0: A and B alike.
  private func parameters(_ layout: LowRankLayout, _ numbers: inout Numbers) -> [Float] {
    (0..<layout.count).map { _ in numbers.float(-0.3, 0.3) }
  }

  @Test func lossAndGradientAreThoseOfPyTorch() throws {
    let model = try TinyModel.model.get()
    let values = try object("lora.json")
    let layout = LowRankLayout(
      rank: try require(values["rank"]?.intValue), matrices: matrices(model, [.query, .value]), of: model)
    let names = try require(values["names"]?.arrayValue?.compactMap(\.stringValue))
    #expect(layout.matrices.map { model.layout.matrices[$0].name } == names)
    let adapters = LowRankAdapters(layout, parameters: try floats(values["parameters"]))
    let ids = try TinyModel.ids()
    let item = ScoringItem(prompt: Array(ids[..<8]), continuations: [Array(ids[8...16])])
    let tape = try model.record([item], under: .ones(model.layout.count), adding: adapters, priority: .job)
    let loss = try require(values["loss"]?.doubleValue)
    #expect(abs(-tape.scores[0][0].sum - loss) < 1e-4)
    let scored = try model.score([item], under: .lowRank(LowRankWeights([(adapters, 1)], model: model)), priority: .job)
    #expect(abs(-scored[0][0].sum - loss) < 1e-4)

    let gradient = try tape.adapterGradient([[[Float](repeating: -1, count: 9)]], priority: .job)
    let expected = try floats(values["gradient"])
    for number in layout.matrices.indices {
      for range in [layout.ranges(of: number).a, layout.ranges(of: number).b] {
        let scale = max(1, expected[range].map { abs($0) }.max() ?? 0)
        #expect(distance(Array(gradient[range]), Array(expected[range])) < 1e-4 * scale, "\(names[number]) \(range)")
      }
    }
  }

  /// Several items of unequal lengths, all three projections and every layer, multipliers that are not ones, and layers that
  /// are computed again on the way back.
  @Test func theGradientAgreesWithFiniteDifferences() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(41)
    let layout = LowRankLayout(rank: 2, matrices: matrices(model, [.query, .key, .value]), of: model)
    let start = parameters(layout, &numbers)
    let items = numbers.items(4)
    let s = numbers.vector(model.layout.count)
    let derivatives = items.map { $0.continuations.map { $0.map { _ in numbers.float(-1, 1) } } }
    func loss(_ parameters: [Float]) throws -> Double {
      let tape = try model.record(
        items, under: s, adding: LowRankAdapters(layout, parameters: parameters), priority: .job)
      return zip(derivatives.joined(), tape.scores.joined()).reduce(0) { sum, continuation in
        zip(continuation.0, continuation.1.logprobs).reduce(sum) { $0 + Double($1.0) * Double($1.1) }
      }
    }
    let adapters = LowRankAdapters(layout, parameters: start)
    let kept = try model.record(items, under: s, adding: adapters, priority: .job)
    let gradient = try kept.adapterGradient(derivatives, priority: .job)
    let again = try model.record(items, under: s, adding: adapters, memory: 0, priority: .job)
    #expect(try again.adapterGradient(derivatives, priority: .job) == gradient)
    for number in layout.matrices.indices {
      for range in [layout.ranges(of: number).a, layout.ranges(of: number).b] {
        var d = [Float](repeating: 0, count: layout.count)
        for i in range { d[i] = numbers.float(-1, 1) }
        let h: Float = 0.003
        let difference =
          (try loss(zip(start, d).map { $0 + h * $1 }) - loss(zip(start, d).map { $0 - h * $1 })) / Double(2 * h)
        let expected = zip(gradient, d).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        #expect(abs(difference - expected) < 0.02 * max(1, abs(expected)), "matrix \(layout.matrices[number]) \(range)")
      }
    }
    // The multipliers' own gradient sees the additions too.
    let own = try kept.gradient(derivatives, priority: .job)
    let d = (0..<own.count).map { _ in numbers.float(-0.01, 0.01) }
    func shifted(_ sign: Float) throws -> Double {
      let tape = try model.record(
        items, under: MultiplierVector(zip(s.values, d).map { $0 + sign * $1 }), adding: adapters, priority: .job)
      return zip(derivatives.joined(), tape.scores.joined()).reduce(0) { sum, continuation in
        zip(continuation.0, continuation.1.logprobs).reduce(sum) { $0 + Double($1.0) * Double($1.1) }
      }
    }
    let expected = zip(own, d).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    #expect(abs(try shifted(1) / 2 - shifted(-1) / 2 - expected) < 0.02 * max(1, abs(expected)))
  }

  @Test func whereBIsZeroItIsTheBase() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(42)
    let layout = LowRankLayout(rank: 4, matrices: matrices(model, [.query, .value]), of: model)
    var start = parameters(layout, &numbers)
    for number in layout.matrices.indices { for i in layout.ranges(of: number).b { start[i] = 0 } }
    let adapters = LowRankAdapters(layout, parameters: start)
    let items = numbers.items(5)
    let base = try model.score(items, priority: .job)
    // Bit for bit where it is scored, and within float where it is recorded, which is factored.
    #expect(
      try model.score(items, under: .lowRank(LowRankWeights([(adapters, 1)], model: model)), priority: .job) == base)
    let ones = MultiplierVector.ones(model.layout.count)
    let tape = try model.record(items, under: ones, adding: adapters, priority: .job)
    #expect(tape.scores == (try model.record(items, under: ones, priority: .job)).scores)
    #expect(distance(tape.scores, base) < 2e-5)
    // Only B has a slope there: A stands before a 0.
    let gradient = try tape.adapterGradient(
      items.map { $0.continuations.map { $0.map { _ in 1 } } }, priority: .job)
    for number in layout.matrices.indices {
      #expect(layout.ranges(of: number).a.allSatisfy { gradient[$0] == 0 })
      #expect(layout.ranges(of: number).b.contains { gradient[$0] != 0 })
    }
  }

  @Test func aSumOfHalvesIsTheWhole() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(43)
    let layout = LowRankLayout(rank: 2, matrices: matrices(model, [.query, .value]), of: model)
    let (one, other) = (parameters(layout, &numbers), parameters(layout, &numbers))
    let items = numbers.items(3)
    func scores(_ parts: [([Float], Float)]) throws -> [[ContinuationScore]] {
      let parts = parts.map { (LowRankAdapters(layout, parameters: $0.0), $0.1) }
      return try model.score(items, under: .lowRank(LowRankWeights(parts, model: model)), priority: .job)
    }
    #expect(distance(try scores([(one, 0.25), (one, 0.75)]), try scores([(one, 1)])) < 1e-4)
    #expect(try scores([(one, 1), (other, 0)]) == scores([(one, 1)]))
    #expect(distance(try scores([(one, 0.5), (other, 0.5)]), try scores([(one, 1)])) > 1e-3)
  }

  @Test func itScoresAndGeneratesNothing() throws {
    let model = try TinyModel.model.get()
    let layout = LowRankLayout(rank: 1, matrices: [0], of: model)
    let adapters = LowRankAdapters(layout, parameters: [Float](repeating: 0, count: layout.count))
    let weights = LowRankWeights([(adapters, 1)], model: model)
    let request = GenerationRequest(prompt: [1, 2], view: .lowRank(weights), maximumTokens: 2)
    #expect(throws: EngineError.self) { try model.check(request, index: 0) }
  }
}
