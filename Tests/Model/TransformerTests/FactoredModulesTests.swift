import Engines
import LinearAlgebra
import ModelFormats
import Multipliers
import SVF
import Testing

@testable import Transformer

/// Models of which only some matrices are factored, against the same with all: what both can say is the same.
@Suite struct FactoredModulesTests {
  /// A model in two: with some matrices factored, and with all.
  private struct Pair {
    var part: LanguageModel
    var whole: LanguageModel

    init(_ shape: AnyShape, _ modules: [String]) throws {
      part = try RandomModel.load(try shape.configuration.factoring(modules))
      whole = try shape.load()
    }

    /// A vector of the part as one of the whole.
    func widened(_ vector: MultiplierVector) -> MultiplierVector {
      MultiplierVector(
        layout: whole.layout,
        named: part.layout.factored.map { ($0, Array(vector.values[part.layout.range(of: $0)])) })
    }

    /// What a flat array of the whole has for the part's matrices.
    func narrowed(_ values: [Float]) -> [Float] {
      part.layout.factored.flatMap { values[whole.layout.range(of: $0)] }
    }
  }

  static let choices = [["mlp"], ["attention"], ["v_proj", "down_proj"], ["k_proj", "o_proj", "up_proj"]]

  private func items(_ numbers: inout Numbers, _ count: Int = 3) -> [ScoringItem] {
    numbers.items(count).map { ScoringItem(prompt: $0.prompt, continuations: Array($0.continuations.prefix(2))) }
  }

  @Test(.inEveryForm, arguments: AnyShape.allCases, choices)
  func scoresAndGradientsAreThoseOfTheWholeModel(shape: AnyShape, modules: [String]) throws {
    let pair = try Pair(shape, modules)
    #expect(pair.part.digest == pair.whole.digest && pair.part.layout.count < pair.whole.layout.count)
    var numbers = Numbers(81)
    let items = items(&numbers)
    let s = numbers.vector(pair.part.layout.count)
    let views: [WeightView] = [.base, .factored(s)]
    let found = try pair.part.score(
      items + items, under: views.flatMap { repeatElement($0, count: items.count) }, priority: .job)
    let expected = try pair.whole.score(items, under: .factored(pair.widened(s)), priority: .job)
    #expect(distance(Array(found[items.count...]), expected) < 1e-4)
    #expect(try pair.part.score(items, priority: .job) == pair.whole.score(items, priority: .job), "W, to the bit")

    let derivatives = items.map { $0.continuations.map { $0.map { _ in numbers.float(-1, 1) } } }
    let tape = try pair.part.record(items, under: s, priority: .job)
    #expect(distance(tape.scores, expected) < 1e-4)
    let gradient = try tape.gradient(derivatives, priority: .job)
    let all = try pair.whole.record(items, under: pair.widened(s), priority: .job).gradient(derivatives, priority: .job)
    let wanted = pair.narrowed(all)
    #expect(distance(gradient, wanted) < 1e-3 * max(1, wanted.map { abs($0) }.max() ?? 0))
    // Layers that are computed again on the way back.
    let again = try pair.part.record(items, under: s, memory: 0, priority: .job)
    #expect(try again.gradient(derivatives, priority: .job) == gradient)
  }

  @Test(arguments: AnyShape.allCases, choices)
  func mixturesAndAnswersAreThoseOfTheWholeModel(shape: AnyShape, modules: [String]) throws {
    let pair = try Pair(shape, modules)
    var numbers = Numbers(82)
    let items = items(&numbers)
    let experts = (0..<2).map { _ in numbers.vector(pair.part.layout.count) }
    func mixer(_ model: LanguageModel, _ experts: [MultiplierVector], _ rescale: Rescale) -> Mixer {
      Mixer(layout: model.layout, sigma: model.factorization.sigma, experts: experts, rescale: rescale)
    }
    let units = pair.part.layout.unitCount(.matrix)
    let fine = (0..<2).map { _ in (0..<units).map { _ in numbers.float(0, 0.6) } }
    let wide = fine.map { alpha in
      pair.whole.layout.matrices.indices.map { pair.part.layout.factored.firstIndex(of: $0).map { alpha[$0] } ?? 0.25 }
    }
    let mixtures: [(part: MixtureCoefficients, whole: MixtureCoefficients)] = [
      (.init(mix: .delta, [0.6, 0.5]), .init(mix: .delta, [0.6, 0.5])),
      (.init(mix: .delta, [0, 1]), .init(mix: .delta, [0, 1])),
      (
        .init(granularity: .matrix, mix: .delta, alpha: fine), .init(granularity: .matrix, mix: .delta, alpha: wide)
      ),
    ]
    for (rescale, budget) in [(Rescale.none, 0), (.nuclear, ExpertBasis.standardBudget)] {
      let basis = try ExpertBasis(model: pair.part, experts: experts, residentBudget: budget)
      let (part, whole) = (
        mixer(pair.part, experts, rescale), mixer(pair.whole, experts.map(pair.widened), rescale)
      )
      let found = try pair.part.scoreCandidates(
        basis: basis, mixtures.map { Candidate(try part.blend($0.part), items) }, priority: .job)
      for (mixture, scores) in zip(mixtures, found) {
        let expected = try pair.whole.score(
          items, under: .factored(whole.multipliers(mixture.whole)), priority: .job)
        #expect(distance(scores, expected) < 2e-4, "\(rescale), \(budget)")
      }
    }
    // What no mixture changes is not kept for any expert.
    #expect(
      pair.part.shape.searchBytes(experts: 3, threads: 2) < pair.whole.shape.searchBytes(experts: 3, threads: 2))

    let s = experts[0]
    for (part, whole) in [(pair.part, pair.whole), (pair.part.always(.weights, changes: true), pair.whole)] {
      let request = GenerationRequest(prompt: numbers.tokens(9), view: .factored(s), maximumTokens: 8)
      let tokens = try #require(try part.generate([request], priority: .job).first).tokens
      let logits = NaiveDecoder(whole, under: pair.widened(s)).logits(request.prompt + tokens.dropLast())
      for (token, row) in zip(tokens, logits.suffix(tokens.count)) {
        // Two of equal likelihood may change places; M is in halves.
        #expect(row[Int(token)] > (row.max() ?? 0) - 5e-3)
      }
    }
  }

  @Test func lowRankIsComparedOnWhatIsNotFactoredToo() throws {
    let pair = try Pair(.plain, ["mlp"])
    var numbers = Numbers(83)
    let items = items(&numbers)
    func gradient(_ model: LanguageModel) throws -> [Float] {
      let adaptable = model.layout.matrices.indices.filter { model.canBeAdapted($0) }
      let layout = LowRankLayout(rank: 2, matrices: adaptable, of: model)
      var numbers = Numbers(84)
      let adapters = LowRankAdapters(layout, parameters: (0..<layout.count).map { _ in numbers.float(-0.1, 0.1) })
      let tape = try model.record(items, under: .ones(model.layout.count), adding: adapters, priority: .job)
      return try tape.adapterGradient(tape.scores.map { $0.map { $0.derivatives(1) } }, priority: .job)
    }
    let (part, whole) = (try gradient(pair.part), try gradient(pair.whole))
    #expect(!part.isEmpty && distance(part, whole) < 1e-3 * max(1, whole.map { abs($0) }.max() ?? 0))
  }

  /// Of Llama-3-8B: time, disk and memory go down by the share of the matrices that are left out.
  @Test func whatAModelNeedsGoesDownByTheShareOfWhatIsLeftOut() throws {
    let all = ModelConfiguration(
      modelID: "8B", layers: 32, hidden: 4096, intermediate: 14336, heads: 32, kvHeads: 8, headDim: 128,
      vocabulary: 128_256, contextLength: 8192, ropeTheta: 5e5, rmsEpsilon: 1e-5, tiedEmbeddings: false)
    let (whole, part) = (
      ModelMemory(all) { _ in .bf16 }, ModelMemory(try all.factoring(["mlp"])) { _ in .bf16 }
    )
    #expect(whole.weights == part.weights)
    // Q of q, o, gate, up and down has 4096², of k and v 1024²; here in halves.
    #expect(abs(whole.factors - 32 * 2 * (5 * 4096 * 4096 + 2 * 1024 * 1024)) < 8 << 20)
    #expect(abs(part.factors - 32 * 2 * 3 * 4096 * 4096) < 8 << 20)
    let share = Double(3 * 4096 * 14336) / Double(3 * 4096 * 14336 + 2 * 4096 * 4096 + 2 * 4096 * 1024)
    // A layer at a time: three experts' matrices, beside what a thread works in.
    func basis(_ memory: ModelMemory) -> Double {
      Double(memory.shape.searchBytes(experts: 4, threads: 1) - memory.shape.searchBytes(experts: 3, threads: 1))
    }
    #expect(abs(basis(part) / basis(whole) - share) < 1e-6)
    #expect(
      part.shape.gradientBytes(rows: 1024, longest: 1024, memory: .max)
        < whole.shape.gradientBytes(rows: 1024, longest: 1024, memory: .max))
    #expect(part.held < whole.held && part.factorizingPerThread <= whole.factorizingPerThread)
  }

  @Test func aListThatMeansAllMatricesFactorsAll() throws {
    let configuration = AnyShape.fused.configuration
    #expect(try configuration.factoring(["attention", "mlp"]) == configuration)
    #expect(try configuration.factoring(["q_proj"]).factored == [.queryKeyValue])
    #expect(throws: UnknownModule.self) { try configuration.factoring(["router"]) }
  }
}
