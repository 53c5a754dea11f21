import Engines
import Foundation
import LinearAlgebra
import ModelFormats
import Multipliers
import StrictJSON
import Testing
import Tokenizer

@testable import Transformer

/// SmolLM2-135M-Instruct, where the environment says that it lies.
enum RealModel {
  static let path = ProcessInfo.processInfo.environment["T2D_TEST_MODEL"]
  static let model = Result { () throws -> LanguageModel in
    // The factorization is computed anew, and kept in memory only.
    try LanguageModel.load(path: require(path), factorizationDirectory: nil)
  }

  static func expert(_ name: String) throws -> MultiplierVector {
    let file = try SafetensorsFile.open(path: fixture("expert_\(name).safetensors"))
    let layout = try model.get().layout
    var vector = MultiplierVector.ones(layout.count)
    for (index, matrix) in layout.matrices.enumerated() {
      vector.values.replaceSubrange(layout.range(of: index), with: try file.floats(matrix.name))
    }
    return vector
  }
}

@Suite(.serialized, .enabled(if: RealModel.path != nil, "T2D_TEST_MODEL names the model")) struct RealModelTests {
  private func reference() throws -> RealModelReference {
    RealModelReference(
      model: try RealModel.model.get(), values: try object("smollm2.json"),
      experts: [try RealModel.expert("alpha"), try RealModel.expert("beta")])
  }

  @Test func tokenIDsAreThoseOfTheReference() throws { #expect(try reference().textsOfOtherTokens() == []) }

  @Test func theBaseAgreesWithPyTorch() throws {
    #expect(try reference().differenceOfBase() < RealModelReference.tolerance)
  }

  @Test func theExpertAlphaAgreesWithPyTorch() throws {
    #expect(try reference().differenceOfAlpha() < RealModelReference.tolerance)
  }

  @Test func theMixturesBySumAndDeltaAgreeWithPyTorch() throws {
    let reference = try reference()
    #expect(try reference.differenceOfMixture("mixture", .sum) < RealModelReference.tolerance)
    #expect(try reference.differenceOfMixture("delta", .delta) < RealModelReference.tolerance)
  }

  @Test func theLeadingSingularValuesAreThoseOfPyTorch() throws {
    #expect(try reference().differenceOfSpectra() < 1e-4)
  }

  /// Greedy answers in one batch are those of PyTorch, and so are the rendered chats.
  @Test func greedyAnswersAreThoseOfPyTorch() throws {
    let model = try RealModel.model.get()
    let tokenizer = try require(model.tokenizer)
    let chats = try require(object("smollm2.json")["chat"]?.arrayValue).map { try require($0.objectValue) }
    let requests = try chats.map { chat in
      let rendered = try model.chatTemplate.get().render([.user(require(chat["user"]?.stringValue))])
      #expect(rendered == chat["rendered"]?.stringValue)
      let ids = tokenizer.encode(rendered, recognizeSpecial: true)
      #expect(try ids == tokens(chat["prompt_ids"]))
      return GenerationRequest(
        prompt: ids, maximumTokens: try tokens(chat["generated_ids"]).count, stopIDs: tokenizer.endOfTurn)
    }
    for (chat, answer) in zip(chats, try model.generate(requests, priority: .interactive)) {
      #expect(try answer.tokens == tokens(chat["generated_ids"]))
      let text = try require(chat["generated"]?.stringValue)
      #expect(answer.text == (text.hasSuffix("<|im_end|>") ? String(text.dropLast(10)) : text))
    }
  }

  /// More than a block of the cache: the last tokens attend to three blocks.
  @Test func cachedDecodingOfALongTextIsWhatAFullPassGives() throws {
    let model = try RealModel.model.get()
    let tokenizer = try require(model.tokenizer)
    let ids = tokenizer.encode(String(repeating: "The sun rises in the east and sets in the west. ", count: 22))
    #expect(ids.count > 2 * KeyValueCache.blockPositions - 40)
    let view = WeightView.factored(try RealModel.expert("beta"))
    let answer = try model.generate(
      [GenerationRequest(prompt: ids, view: view, maximumTokens: 60)], priority: .interactive)[0]
    let whole = try model.score(
      [ScoringItem(prompt: ids, continuations: [answer.tokens])], under: view, priority: .interactive)[0][0]
    // Each token is the most likely one of the full pass too, or within a hair of it.
    for step in stride(from: 5, to: answer.tokens.count, by: 27) {
      let logits = try model.logits(prompt: ids + answer.tokens[..<step], under: view)
      let largest = try require(logits.max())
      #expect(logits[Int(answer.tokens[step])] > largest - 1e-3)
      #expect(abs(logits[Int(answer.tokens[step])] - logSumExp(logits) - whole.logprobs[step]) < 1e-3)
    }
  }
}

extension RealModelTests {
  /// dL/dα of both experts at once, against differences of what scoring says.
  @Test func theGradientOfAlphaIsThatOfScoring() throws {
    let model = try RealModel.model.get()
    let experts = [try RealModel.expert("alpha"), try RealModel.expert("beta")]
    let mixer = Mixer(layout: model.layout, sigma: model.factorization.sigma, experts: experts, rescale: .none)
    let items = try ReferenceCase.all(object("smollm2.json")["base"]).map(\.item)
    func mean(_ alpha: [Float]) throws -> Double {
      let view = WeightView.factored(try mixer.multipliers(MixtureCoefficients(mix: .delta, alpha)))
      return try model.score(items, under: view, priority: .job)
        .reduce(0) { $0 + $1[0].sum / Double($1[0].logprobs.count) }
    }
    let alpha: [Float] = [0.4, 0.3]
    let c = MixtureCoefficients(mix: .delta, alpha)
    let tape = try model.record(items, under: mixer.multipliers(c), priority: .job)
    let derivatives = items.map { item in
      item.continuations.map { [Float](repeating: 1 / Float($0.count), count: $0.count) }
    }
    let multipliers = try tape.gradient(derivatives, priority: .job)
    let gradient = try mixer.gradient(multipliers, at: c)
    // Far from linear: steps of 0.02 miss by 7 %, of 0.005 and less by 1 %; below 0.001 rounding takes over.
    let h: Float = 0.0025
    for k in 0..<2 {
      let moved = [h, -h].map { step in alpha.indices.map { alpha[$0] + ($0 == k ? step : 0) } }
      let expected = (try mean(moved[0]) - mean(moved[1])) / Double(moved[0][k] - moved[1][k])
      #expect(abs(gradient[k][0] - expected) < 0.01 * max(1, abs(expected)), "\(gradient[k][0]) against \(expected)")
    }
    // Less memory changes time and nothing else.
    let again = try model.record(items, under: mixer.multipliers(c), memory: 0, priority: .job)
    #expect(try again.gradient(derivatives, priority: .job) == multipliers)
  }
}
