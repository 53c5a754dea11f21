import Engines
import Glibc
import LinearAlgebra
import Multipliers
import Testing

@testable import Transformer

/// The tempered model, from which answers are sampled, against its definition softmax(logits / T).
@Suite(.inEveryForm) struct TemperatureTests {
  private static let prompt: [Int32] = {
    var numbers = Numbers(61)
    return numbers.tokens(7)
  }()

  private static func vector(_ model: LanguageModel) -> MultiplierVector {
    var numbers = Numbers(62)
    return numbers.vector(model.layout.count)
  }

  @Test(arguments: [0.5, 2.5] as [Float])
  func theScoresAreThoseOfTheTemperedModel(temperature: Float) throws {
    let model = try TinyModel.model.get()
    let s = Self.vector(model)
    var numbers = Numbers(63)
    let items = numbers.items(4)
    let tape = try model.record(items, under: s, temperature: temperature, priority: .job)
    for (item, scores) in zip(items, tape.scores) {
      for (continuation, score) in zip(item.continuations, scores) {
        for (place, found) in score.logprobs.enumerated() {
          let text = item.prompt + continuation[..<place]
          let expected = try temperedLogShares(model, s, behind: text, temperature)[Int(continuation[place])]
          #expect(abs(Double(found) - expected) < 1e-4 * max(1, abs(expected)), "\(found) against \(expected)")
        }
      }
    }
  }

  /// REINFORCE over all answers of one token, each as often as it is sampled, is the gradient of the expected reward: of
  /// ln π at the temperature of the samples, and not of ln π at another.
  @Test(arguments: [0.5, 2.5] as [Float])
  func whatIsSampledIsWhatIsLearned(temperature: Float) throws {
    let model = try TinyModel.model.get()
    let s = Self.vector(model)
    var numbers = Numbers(64)
    let rewards = (0..<model.shape.vocabulary).map { _ in numbers.next() % 2 == 0 ? 1.0 : -1 }
    let d = (0..<model.layout.count).map { _ in numbers.float(-0.1, 0.1) }
    func shares(_ s: MultiplierVector) throws -> [Double] {
      try temperedLogShares(model, s, behind: Self.prompt, temperature).map { exp($0) }
    }
    func expectedReward(_ sign: Float) throws -> Double {
      let moved = MultiplierVector(zip(s.values, d).map { $0 + 0.05 * sign * $1 })
      return zip(try shares(moved), rewards).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let expected = try (expectedReward(1) - expectedReward(-1)) / 0.1

    let answers = ScoringItem(prompt: Self.prompt, continuations: rewards.indices.map { [Int32($0)] })
    let weights = zip(try shares(s), rewards).map { [Float($0 * $1)] }
    func slope(_ temperature: Float) throws -> Double {
      let tape = try model.record([answers], under: s, temperature: temperature, priority: .job)
      return zip(try tape.gradient([weights], priority: .job), d).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    let (found, another) = (try slope(temperature), try slope(1))
    #expect(abs(found - expected) < 0.01 * abs(expected), "\(found) against \(expected)")
    #expect(abs(another - expected) > 0.1 * abs(expected), "the temperature makes no difference here")
  }

  @Test func anAnswerThatFilledTheContextIsScored() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(65)
    let prompt = numbers.tokens(120)
    let answer = try model.generate([GenerationRequest(prompt: prompt, maximumTokens: 100)], priority: .job)[0]
    #expect(answer.ending == .context)
    let item = ScoringItem(prompt: prompt, continuations: [answer.tokens])
    let scores = try model.score([item], priority: .job)[0][0].logprobs
    #expect(scores.count == answer.tokens.count)
    let tape = try model.record([item], under: .ones(model.layout.count), priority: .job)
    #expect(distance(tape.scores[0][0].logprobs, scores) < 1e-3)
  }
}

/// ln softmax(logits / T) behind a text, in double.
func temperedLogShares(
  _ model: LanguageModel, _ s: MultiplierVector?, behind text: [Int32], _ temperature: Float
) throws -> [Double] {
  let view = s.map { WeightView.factored($0) } ?? .base
  let logits = try model.logits(prompt: text, under: view, priority: .job).map { Double($0) / Double(temperature) }
  let largest = logits.max() ?? 0
  let normalizer = largest + log(logits.reduce(0.0) { $0 + exp($1 - largest) })
  return logits.map { $0 - normalizer }
}
