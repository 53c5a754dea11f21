import Engines
import LinearAlgebra
import Multipliers
import StrictJSON
import Testing

@testable import Transformer

/// Models of every family, in every form in which they come, against PyTorch's values.
@Suite(.inEveryForm) struct FixtureModelTests {
  @Test(arguments: FixtureModel.all) func scoresAreThoseOfPyTorch(model fixture: FixtureModel) throws {
    let (model, reference) = (try fixture.load(), try fixture.reference())
    let multipliers = try reference.vector("multipliers", model)
    for (group, view) in [("base", WeightView.base), ("adapted", .factored(multipliers))] {
      for sequence in try reference.list(group, "sequences") {
        let found = try model.logits(prompt: try tokens(sequence["ids"]), under: view)
        #expect(distance(found, try floats(sequence["last_logits"])) < 2e-4)
        let normalizer = try require(sequence["logsumexp"]?.doubleValue)
        #expect(abs(Double(logSumExp(found)) - normalizer) < 2e-4)
      }
      let continuations = try reference.list(group, "continuations")
      let items = try continuations.map {
        ScoringItem(prompt: try tokens($0["prompt_ids"]), continuations: [try tokens($0["continuation_ids"])])
      }
      let scores = try model.score(items, under: view, priority: .job)
      for (score, expected) in zip(scores, continuations) {
        #expect(distance(score[0].logprobs, try floats(expected["continuation_logprobs"])) < 2e-4)
      }
    }
  }

  @Test(arguments: FixtureModel.all) func lossAndGradientAreThoseOfPyTorch(model fixture: FixtureModel) throws {
    let (model, reference) = (try fixture.load(), try fixture.reference())
    let item = try reference.lossItem()
    let tape = try model.record([item], under: reference.vector("multipliers", model), priority: .job)
    let loss = try require(reference.values["loss"]?.doubleValue)
    #expect(abs(-tape.scores[0][0].sum - loss) < 1e-3)
    let derivatives = [[[Float](repeating: -1, count: item.continuations[0].count)]]
    let gradient = try tape.gradient(derivatives, priority: .job)
    let expected = try reference.vector("gradient", model).values
    let worst = zip(gradient, expected).map { abs($0 - $1) / (1 + abs($1)) }.max() ?? .infinity
    #expect(worst < 1e-3)
  }

  /// Base and adapted in one batch, end tokens not obeyed.
  @Test(arguments: FixtureModel.all) func decodedTokensAreThoseOfPyTorch(model fixture: FixtureModel) throws {
    let (model, reference) = (try fixture.load(), try fixture.reference())
    let multipliers = try reference.vector("multipliers", model)
    var requests: [GenerationRequest] = []
    var expected: [[Int32]] = []
    for (group, view) in [("base", WeightView.base), ("adapted", .factored(multipliers))] {
      for answer in try reference.list(group, "greedy") {
        let ids = try tokens(answer["generated_ids"])
        expected.append(ids)
        requests.append(
          GenerationRequest(prompt: try tokens(answer["prompt_ids"]), view: view, maximumTokens: ids.count))
      }
    }
    let batch = DecodingBatch(model, priority: .job, prefillRows: 16)
    for request in requests { _ = try batch.add(request) }
    var found = [[Int32]?](repeating: nil, count: requests.count)
    while !batch.isEmpty {
      batch.step { if case .ended(let number, let generation) = $0 { found[number] = generation.tokens } }
    }
    #expect(found == expected)
  }
}
