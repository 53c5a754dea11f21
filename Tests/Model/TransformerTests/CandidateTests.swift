import Engines
import LinearAlgebra
import Multipliers
import Testing

@testable import Transformer

@Suite struct CandidateTests {
  /// Two random experts, one of which leaves the first layer alone.
  private func experts(_ layout: MultiplierLayout) -> [MultiplierVector] {
    var numbers = Numbers(11)
    var second = numbers.vector(layout.count)
    for index in 0..<layout.offsets[layout.matrices.count / 3] { second.values[index] = 1 }
    return [numbers.vector(layout.count), second]
  }

  private func mixer(_ model: LanguageModel, _ rescale: Rescale = .none) -> Mixer {
    Mixer(
      layout: model.layout, sigma: model.factorization.sigma, experts: experts(model.layout), rescale: rescale)
  }

  private let items: [ScoringItem] = {
    var numbers = Numbers(12)
    return numbers.items(5)
  }()

  @Test(arguments: [0, ExpertBasis.standardBudget], [Rescale.none, .nuclear])
  func materialisedCandidatesAgreeWithTheFactoredForm(budget: Int, rescale: Rescale) throws {
    let model = try TinyModel.model.get()
    let mixer = mixer(model, rescale)
    let basis = try ExpertBasis(model: model, experts: experts(model.layout), residentBudget: budget)
    #expect(basis.isResident == (budget > 0))
    let perLayer = MixtureCoefficients(
      granularity: .layer, mix: .delta, alpha: [[0.5, -0.2, 1], [0.3, 0.9, 0]])
    let alphas = [MixtureCoefficients(mix: .delta, [0.6, 0.9]), .init(mix: .sum, [0.7, 0.3]), perLayer]
    let found = try model.scoreCandidates(
      basis: basis, alphas.map { Candidate(try mixer.blend($0), items) }, priority: .job)
    for (alpha, scores) in zip(alphas, found) {
      let factored = try model.score(items, under: .factored(mixer.multipliers(alpha)), priority: .job)
      #expect(distance(scores, factored) < 1e-4)
    }
  }

  @Test func aSingleExpertIsThatExpertAndNoneIsTheBase() throws {
    let model = try TinyModel.model.get()
    let mixer = mixer(model)
    let basis = try ExpertBasis(model: model, experts: experts(model.layout))
    let found = try model.scoreCandidates(
      basis: basis,
      [.single(0, of: 2), .single(1, of: 2), .base(of: 2)].map { Candidate(try mixer.blend($0), items) },
      priority: .job)
    for k in 0..<2 {
      let alone = try model.score(items, under: .factored(experts(model.layout)[k]), priority: .job)
      #expect(distance(found[k], alone) < 1e-4)
    }
    #expect(distance(found[2], try model.score(items, priority: .job)) < 1e-4)
    // Whatever the rest of the basis: a mixture of one expert alone is that expert, exactly.
    let own = try ExpertBasis(model: model, experts: [experts(model.layout)[0]])
    let alone = Mixer(
      layout: model.layout, sigma: model.factorization.sigma, experts: own.experts, rescale: .none)
    let exact = try model.scoreCandidates(
      basis: own, [Candidate(alone.blend(.single(0, of: 1)), items)], priority: .job)
    #expect(exact[0] == found[0])
  }

  @Test func aCandidateDoesNotDependOnTheOthersNorOnThreads() throws {
    let model = try TinyModel.model.get()
    let single = try LanguageModel.load(
      path: TinyModel.path, factorizationDirectory: nil, pool: ComputePool(threads: 1))
    let mixer = mixer(model)
    let candidates = try [[0.1, 0.2], [0.6, 0.9], [1, 0]].map { (alpha: [Float]) in
      Candidate(try mixer.blend(MixtureCoefficients(mix: .delta, alpha)), items)
    }
    let basis = try ExpertBasis(model: model, experts: experts(model.layout))
    let together = try model.scoreCandidates(basis: basis, candidates, priority: .job)
    let alone = try model.scoreCandidates(basis: basis, [candidates[1]], priority: .job)
    #expect(together[1] == alone[0])
    let other = try ExpertBasis(model: single, experts: experts(model.layout), residentBudget: 0)
    #expect(try single.scoreCandidates(basis: other, candidates, priority: .interactive) == together)
  }

  @Test func candidatesMayHaveDifferentItemsAndNone() throws {
    let model = try TinyModel.model.get()
    let mixer = mixer(model)
    let basis = try ExpertBasis(model: model, experts: experts(model.layout))
    let blend = try mixer.blend(MixtureCoefficients(mix: .delta, [0.2, 0.4]))
    let found = try model.scoreCandidates(
      basis: basis,
      [
        Candidate(blend, []), Candidate(blend, [items[1]]),
        Candidate(blend, [ScoringItem(prompt: [3, 4], continuations: [])]),
      ], priority: .job)
    #expect(found[0].isEmpty)
    #expect(found[1].count == 1 && found[1][0].count == items[1].continuations.count)
    #expect(found[2] == [[]])
  }

  @Test func stoppingIsNoticedBetweenLayers() throws {
    let model = try TinyModel.model.get()
    let basis = try ExpertBasis(model: model, experts: experts(model.layout))
    let blend = try mixer(model).blend(.base(of: 2))
    var asked = 0
    do {
      _ = try model.scoreCandidates(
        basis: basis, [Candidate(blend, items)], priority: .job,
        shouldStop: {
          asked += 1
          return asked == 2
        })
      Issue.record("was not stopped")
    } catch EngineError.stopped {
      #expect(asked == 2)
    }
  }
}
