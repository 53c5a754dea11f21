import Engines
import Foundation
import LinearAlgebra
import ModelFormats
import Multipliers
import Testing

@testable import Transformer

/// What a configuration may ask for, in every form of computing, against the naive twin.
@Suite(.inEveryForm) struct AnyShapeTests {
  /// Items that share a beginning, longer than the short windows, some with one token to a continuation.
  private func items(_ numbers: inout Numbers, _ count: Int = 3, prefix: Int = 6) -> [ScoringItem] {
    let prefix = numbers.tokens(prefix)
    return numbers.items(count).map {
      ScoringItem(prompt: prefix + $0.prompt, continuations: Array($0.continuations.prefix(2)))
    }
  }

  @Test(arguments: AnyShape.allCases)
  func scoresAreThoseOfTheTwinUnderEveryView(shape: AnyShape) throws {
    let model = try shape.load()
    var numbers = Numbers(71)
    let items = items(&numbers)
    let vectors = (0..<2).map { _ in numbers.vector(model.layout.count) }
    let expected = [
      NaiveDecoder(model), NaiveDecoder(model, under: vectors[0]), NaiveDecoder(model, under: vectors[1]),
    ].map { $0.score(items) }
    #expect(distance(try model.score(items, priority: .job), expected[0]) < 1e-4)
    // All of them in one batch.
    let views: [WeightView] = [.base, .factored(vectors[0]), .factored(vectors[1])]
    let found = try model.score(
      items + items + items, under: views.flatMap { repeatElement($0, count: items.count) }, priority: .job)
    #expect(distance(found, expected.flatMap { $0 }) < 1e-4)
    let tape = try model.record(items, under: vectors[0], priority: .job)
    #expect(distance(tape.scores, expected[1]) < 1e-4)
  }

  /// Materialised mixtures of two experts, resident and layer by layer.
  @Test(arguments: AnyShape.allCases)
  func aMixtureIsTheSameInEveryForm(shape: AnyShape) throws {
    let model = try shape.load()
    var numbers = Numbers(72)
    let items = items(&numbers)
    let experts = (0..<2).map { _ in numbers.vector(model.layout.count) }
    let mixer = Mixer(layout: model.layout, sigma: model.factorization.sigma, experts: experts, rescale: .none)
    let mixtures = [MixtureCoefficients(mix: .delta, [0.6, 0.5]), .init(mix: .delta, [0, 1])]
    for budget in [0, ExpertBasis.standardBudget] {
      let basis = try ExpertBasis(model: model, experts: experts, residentBudget: budget)
      let found = try model.scoreCandidates(
        basis: basis, mixtures.map { Candidate(try mixer.blend($0), items) }, priority: .job)
      for (mixture, scores) in zip(mixtures, found) {
        let factored = try model.score(items, under: .factored(mixer.multipliers(mixture)), priority: .job)
        #expect(distance(scores, factored) < 1e-4)
      }
    }
  }

  /// Greedy, with a prompt that goes in pieces and neighbours under other weights: every token is the twin's choice.
  @Test(arguments: AnyShape.allCases)
  func decodedTokensAreTheChoicesOfTheTwin(shape: AnyShape) throws {
    let model = try shape.load()
    var numbers = Numbers(73)
    let s = numbers.vector(model.layout.count)
    let requests = [
      GenerationRequest(prompt: numbers.tokens(70), maximumTokens: 12),
      GenerationRequest(prompt: numbers.tokens(3), view: .factored(s), maximumTokens: 12),
    ]
    let batch = DecodingBatch(model, priority: .job, prefillRows: 16)
    for request in requests { _ = try batch.add(request) }
    var ended: [Int: Generation] = [:]
    while !batch.isEmpty {
      batch.step { if case .ended(let number, let generation) = $0 { ended[number] = generation } }
    }
    for (number, twin) in [NaiveDecoder(model), NaiveDecoder(model, under: s)].enumerated() {
      let tokens = try #require(ended[number]).tokens
      let logits = twin.logits(requests[number].prompt + tokens.dropLast()).suffix(tokens.count)
      for (token, row) in zip(tokens, logits) {
        // Two of equal likelihood may change places.
        #expect(row[Int(token)] > (row.max() ?? 0) - 2e-4)
      }
    }
  }

  /// In a random direction within the matrices of one kind, under a loss with a weight of its own for every token.
  @Test(arguments: AnyShape.allCases)
  func theGradientOfEveryKindOfMatrixIsThatOfDifferences(shape: AnyShape) throws {
    let model = try shape.load()
    var numbers = Numbers(74)
    let items = items(&numbers, 2, prefix: 3).map {
      ScoringItem(prompt: $0.prompt, continuations: [$0.continuations[0]])
    }
    let s = numbers.vector(model.layout.count)
    let derivatives = items.map { $0.continuations.map { $0.map { _ in numbers.float(-1, 1) } } }
    func loss(_ d: [Float], _ step: Float) -> Double {
      let moved = MultiplierVector(zip(s.values, d).map { $0 + step * $1 })
      return weighted(NaiveDecoder(model, under: moved).score(items), derivatives)
    }
    let tape = try model.record(items, under: s, priority: .job)
    let gradient = try tape.gradient(derivatives, priority: .job)
    for projection in model.configuration.projections {
      var d = [Float](repeating: 0, count: model.layout.count)
      for index in matrices(model, [projection]) {
        for i in model.layout.range(of: index) { d[i] = numbers.float(-0.4, 0.4) }
      }
      let expected = (loss(d, 0.01) - loss(d, -0.01)) / 0.02
      #expect(abs(dot(gradient, d) - expected) < 2e-3 * max(1, abs(expected)), "\(projection)")
    }
    let again = try model.record(items, under: s, memory: 0, priority: .job)
    #expect(again.recordBytes == 0)
    #expect(try again.gradient(derivatives, priority: .job) == gradient)
  }

  @Test(arguments: AnyShape.allCases)
  func additionsOfLowRankAreScoredAndLearned(shape: AnyShape) throws {
    let model = try shape.load()
    var numbers = Numbers(75)
    let items = items(&numbers, 2)
    let adaptable = model.layout.matrices.indices.filter { model.canBeAdapted($0) }
    #expect(adaptable.count == (model.configuration.isFused ? 1 : 3) * model.shape.layers)
    let layout = LowRankLayout(rank: 2, matrices: adaptable, of: model)
    let start = (0..<layout.count).map { _ in numbers.float(-0.3, 0.3) }
    let ones = MultiplierVector.ones(model.layout.count)
    let derivatives = items.map { $0.continuations.map { $0.map { _ in numbers.float(-1, 1) } } }
    func tape(_ parameters: [Float]) throws -> GradientTape {
      try model.record(
        items, under: ones, adding: LowRankAdapters(layout, parameters: parameters), priority: .job)
    }
    let recorded = try tape(start)
    let view = WeightView.lowRank(LowRankWeights([(LowRankAdapters(layout, parameters: start), 1)], model: model))
    #expect(distance(recorded.scores, try model.score(items, under: view, priority: .job)) < 1e-4)
    #expect(distance(recorded.scores, try model.score(items, priority: .job)) > 1e-3)
    let gradient = try recorded.adapterGradient(derivatives, priority: .job)
    let d = (0..<layout.count).map { _ in numbers.float(-0.3, 0.3) }
    func loss(_ step: Double) throws -> Double {
      weighted(try tape(zip(start, d).map { $0 + Float(step) * $1 }).scores, derivatives)
    }
    // Two steps, whose errors of the second order cancel (Richardson).
    let differences = try [0.01, 0.02].map { (try loss($0) - loss(-$0)) / (2 * $0) }
    let expected = (4 * differences[0] - differences[1]) / 3
    #expect(abs(dot(gradient, d) - expected) < 0.02 * max(1, abs(expected)), "\(dot(gradient, d)) against \(expected)")
  }

  /// c tanh(z / c) / T, and not a cap of z / T: against the definition, and the gradient against differences, with logits
  /// that are kept and that are computed again.
  @Test(arguments: [AnyShape.cap, .everything, .plain], [1, 0.5, 2.5] as [Float])
  func theTemperatureDividesCappedLogits(shape: AnyShape, temperature: Float) throws {
    let model = try shape.load()
    var numbers = Numbers(80)
    let items = items(&numbers, 2)
    let s = numbers.vector(model.layout.count)
    let nothing = items.map { $0.continuations.map { $0.map { _ in Float.zero } } }
    let derivatives = nothing.map { $0.map { $0.map { _ in numbers.float(-1, 1) } } }
    let d = (0..<model.layout.count).map { _ in numbers.float(-0.1, 0.1) }
    func tape(_ step: Double, memory: Int = GradientTape.standardMemory) throws -> GradientTape {
      try model.record(
        items, under: MultiplierVector(zip(s.values, d).map { $0 + Float(step) * $1 }), temperature: temperature,
        divergence: .paper, memory: memory, priority: .job)
    }
    let recorded = try tape(0)
    for (item, scores) in zip(items, recorded.scores) {
      for (continuation, score) in zip(item.continuations, scores) {
        for (place, found) in score.logprobs.enumerated() {
          let text = item.prompt + continuation[..<place]
          let expected = try temperedLogShares(model, s, behind: text, temperature)[Int(continuation[place])]
          #expect(abs(Double(found) - expected) < 1e-4 * max(1, abs(expected)))
        }
      }
    }
    let weight: Float = 0.7
    func loss(_ step: Double) throws -> Double {
      let tape = try tape(step)
      return weighted(tape.scores, derivatives)
        + Double(weight) * (tape.divergences ?? []).joined().reduce(0, +)
    }
    let differences = try [0.02, 0.04].map { (try loss($0) - loss(-$0)) / (2 * $0) }
    let expected = (4 * differences[0] - differences[1]) / 3
    let gradient = try recorded.gradient(derivatives, divergenceWeight: weight, priority: .job)
    #expect(
      abs(dot(gradient, d) - expected) < 1e-2 * max(0.3, abs(expected)), "\(dot(gradient, d)) against \(expected)")
    let again = try tape(0, memory: 0)
    #expect(again.recordBytes == 0 && again.divergences == recorded.divergences)
    #expect(try again.gradient(derivatives, divergenceWeight: weight, priority: .job) == gradient)
  }

  private static let seeds = ProcessInfo.processInfo.environment["T2D_TEST_ALL"] == nil ? 1...12 : 1...100

  /// Scores in one batch, a decoded text, and the gradient in a random direction, of configurations that nobody thought of.
  @Test(arguments: seeds) func anyConfigurationIsThatOfTheTwin(seed: Int) throws {
    let model = try RandomModel.load(.random(seed: UInt64(seed)), seed: UInt64(seed))
    var numbers = Numbers(UInt64(seed) + 90)
    let items = items(&numbers, 2, prefix: 30)
    let s = numbers.vector(model.layout.count)
    let (base, adapted) = (NaiveDecoder(model), NaiveDecoder(model, under: s))
    let found = try model.score(
      items + items, under: [.base, .base, .factored(s), .factored(s)], priority: .job)
    #expect(distance(found, base.score(items) + adapted.score(items)) < 2e-4)

    let request = GenerationRequest(prompt: numbers.tokens(40), view: .factored(s), maximumTokens: 30)
    let text = try model.generate([request], priority: .job)[0].tokens
    for (token, row) in zip(text, adapted.logits(request.prompt + text.dropLast()).suffix(text.count)) {
      #expect(row[Int(token)] > (row.max() ?? 0) - 2e-4)
    }

    let derivatives = items.map { $0.continuations.map { $0.map { _ in numbers.float(-1, 1) } } }
    let gradient = try model.record(items, under: s, priority: .job).gradient(derivatives, priority: .job)
    let d = (0..<model.layout.count).map { _ in numbers.float(-0.1, 0.1) }
    func loss(_ step: Double) -> Double {
      let moved = MultiplierVector(zip(s.values, d).map { $0 + Float(step) * $1 })
      return weighted(NaiveDecoder(model, under: moved).score(items), derivatives)
    }
    let differences = [0.003, 0.006].map { (loss($0) - loss(-$0)) / (2 * $0) }
    let expected = (4 * differences[0] - differences[1]) / 3
    #expect(abs(dot(gradient, d) - expected) < 4e-3 * max(1, abs(expected)), "\(dot(gradient, d)) against \(expected)")
  }

  @Test func resultsDoNotDependOnThreads() throws {
    let configuration = AnyShape.everything.configuration
    var numbers = Numbers(76)
    let items = items(&numbers, 9)
    // Few rows are cut by threads, many are not.
    let prompt = Array(items[0].prompt.prefix(3))
    let found = try [1, 3].map { threads in
      let model = try RandomModel.load(configuration, pool: ComputePool(threads: threads))
      var numbers = Numbers(77)
      let s = numbers.vector(model.layout.count)
      let tape = try model.record(items, under: s, priority: .job)
      let ones = items.map { $0.continuations.map { $0.map { _ in Float(1) } } }
      return try (
        scores: model.score(items, under: .factored(s), priority: .job), gradient: tape.gradient(ones, priority: .job),
        logits: FactoredForm.allCases.flatMap { form in
          try [WeightView.base, .factored(s)].map { try model.always(form).logits(prompt: prompt, under: $0) }
        }
      )
    }
    #expect(found[0].scores == found[1].scores)
    #expect(found[0].gradient == found[1].gradient)
    #expect(found[0].logits == found[1].logits)
  }

  @Test func aVectorOfOnesIsTheBaseBitForBit() throws {
    let model = try AnyShape.everything.load()
    var numbers = Numbers(78)
    let items = items(&numbers)
    let ones = WeightView.factored(.ones(model.layout.count))
    #expect(try model.score(items, under: ones, priority: .job) == model.score(items, priority: .job))
  }

  /// The weights of a layer, fused: the same values in seven matrices and in four.
  @Test func fusedMatricesGiveWhatTheirPartsGive() throws {
    let fused = try AnyShape.fused.load()
    var configuration = AnyShape.fused.configuration
    configuration.isFused = false
    let plain = try RandomModel.load(configuration)
    // The parts of a fused matrix follow each other.
    for layer in 0..<configuration.layers {
      for stage in plain.shape.stages {
        for part in stage.matrices {
          let whole = try #require(
            zip(fused.shape.stages, plain.shape.stages).first { $0.1 == stage }?.0.matrices
              .first { $0.outputs.contains(part.outputs.lowerBound) })
          unsafe copy(
            fused.weights.matrix(fused.shape.index(layer, whole)).from(
              part.outputs.lowerBound - whole.outputs.lowerBound),
            to: plain.weights.matrix(plain.shape.index(layer, part)), rows: part.outputs.count)
        }
      }
      for place in [LayerNorm.beforeAttention, .beforeMLP] {
        let to = unsafe try require(plain.weights.norm(layer, place))
        unsafe to.update(from: try require(fused.weights.norm(layer, place)), count: fused.shape.hidden)
      }
    }
    unsafe plain.weights.finalNorm.update(from: fused.weights.finalNorm, count: fused.shape.hidden)
    unsafe copy(fused.weights.embedding, to: plain.weights.embedding, rows: fused.shape.vocabulary)
    var numbers = Numbers(79)
    let items = items(&numbers)
    #expect(distance(try plain.score(items, priority: .job), try fused.score(items, priority: .job)) < 1e-5)
  }
}

/// Rows of one type and length.
private func copy(_ source: StoredRows, to target: StoredRows, rows: Int) {
  unsafe precondition(source.type == target.type && source.stride == target.stride, "rows of two kinds")
  unsafe UnsafeMutableRawPointer(mutating: target.start).copyMemory(
    from: source.start, byteCount: rows * source.stride)
}

/// Σ weight · ln p over all tokens.
func weighted(_ scores: [[ContinuationScore]], _ weights: [[[Float]]]) -> Double {
  zip(weights.joined(), scores.joined()).reduce(0) { sum, continuation in
    zip(continuation.0, continuation.1.logprobs).reduce(sum) { $0 + Double($1.0) * Double($1.1) }
  }
}

func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
