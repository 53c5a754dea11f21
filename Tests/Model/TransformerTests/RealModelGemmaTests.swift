import Engines
import Foundation
import ModelFormats
import Multipliers
import StrictJSON
import Testing

@testable import Transformer

/// Gemma 3 270M, where the environment says that it lies.
private enum RealGemma {
  static let path = ProcessInfo.processInfo.environment["T2D_TEST_GEMMA"]
  static let reference = Result { () throws -> RealModelReference in
    let model = try LanguageModel.load(path: require(path), factorizationDirectory: nil)
    return RealModelReference(
      model: model, values: try object("gemma3-270m.json"), experts: try experts(model.layout))
  }

  /// 1 + 0.15 times torch's normal numbers, all of alpha before all of beta.
  private static func experts(_ layout: MultiplierLayout) throws -> [MultiplierVector] {
    var numbers = TorchNumbers(seed: 1)
    let matrices = ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down"]
    return try (0..<2).map { _ in
      var expert = MultiplierVector.ones(layout.count)
      for layer in 0..<18 {
        for matrix in matrices {
          let range = layout.range(of: try require(layout.index(of: "model.layers.\(layer).\(matrix)_proj.weight")))
          expert.values.replaceSubrange(range, with: numbers.normals(range.count).map { 1 + 0.15 * $0 })
        }
      }
      return expert
    }
  }
}

@Suite(.serialized, .enabled(if: RealGemma.path != nil, "T2D_TEST_GEMMA names no model; etc/test --all sets it"))
struct RealModelGemmaTests {
  @Test func theDigestIsThatOfPyTorchsTensors() throws {
    let reference = try RealGemma.reference.get()
    let digest = try require(reference.values["digest"]?.stringValue)
    #expect(try openModel(at: require(RealGemma.path)).digest().description == "sha256:\(digest)")
  }

  @Test func tokenIDsAreThoseOfTheReference() throws {
    #expect(try RealGemma.reference.get().textsOfOtherTokens() == [])
  }

  @Test func theBaseAgreesWithPyTorch() throws {
    #expect(try RealGemma.reference.get().differenceOfBase() < RealModelReference.tolerance)
  }

  @Test func theExpertAlphaAgreesWithPyTorch() throws {
    #expect(try RealGemma.reference.get().differenceOfAlpha() < RealModelReference.tolerance)
  }

  @Test func theMixturesBySumAndDeltaAgreeWithPyTorch() throws {
    let reference = try RealGemma.reference.get()
    #expect(try reference.differenceOfMixture("mixture", .sum) < RealModelReference.tolerance)
    #expect(try reference.differenceOfMixture("delta", .delta) < RealModelReference.tolerance)
  }

  @Test func theLeadingSingularValuesAreThoseOfPyTorch() throws {
    #expect(try RealGemma.reference.get().differenceOfSpectra() < 1e-4)
  }

  /// 700 tokens, of which fifteen of the eighteen layers see the last 512.
  @Test func aTextThatIsLongerThanTheWindowAgreesWithPyTorch() throws {
    let reference = try RealGemma.reference.get()
    let long = try require(reference.values["longer_than_the_window"])
    let ids = try tokens(long["ids"])
    #expect(ids.count == 700)
    let logits = try reference.model.logits(prompt: ids, under: .base)
    let top = try tokens(long["top10_ids"]).map { logits[Int($0)] }
    #expect(distance(top, try floats(long["top10_logits"])) < RealModelReference.tolerance)
    let normalizer = Float(try require(long["logsumexp"]?.doubleValue))
    #expect(abs(logSumExp(logits) - normalizer) < RealModelReference.tolerance)
  }

  /// All three in one batch. The smallest distance of a chosen token to the next is 0.012.
  @Test func greedyAnswersAreThoseOfPyTorch() throws {
    let reference = try RealGemma.reference.get()
    let cases = try require(reference.values["greedy"]?.arrayValue)
    #expect(cases.count == 3)
    let requests = try cases.map {
      GenerationRequest(
        prompt: try tokens($0["prompt_ids"]), maximumTokens: try tokens($0["generated_ids"]).count, stopIDs: [])
    }
    for (expected, answer) in zip(cases, try reference.model.generate(requests, priority: .interactive)) {
      #expect(try answer.tokens == tokens(expected["generated_ids"]))
      #expect(try answer.text == require(expected["generated"]?.stringValue))
    }
  }
}
