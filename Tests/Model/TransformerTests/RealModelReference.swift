import Multipliers
import StrictJSON
import Testing

@testable import Transformer

/// A text of a model's reference file with what PyTorch says follows.
struct ReferenceCase {
  let text: String
  let prompt: [Int32]
  let continuation: [Int32]
  let continuationText: String
  let topIDs: [Int32]
  let topLogits: [Float]
  let logSumExp: Float
  let logprobs: [Float]

  init(_ value: JSONValue) throws {
    let object = try require(value.objectValue)
    text = try require(object["text"]?.stringValue)
    continuationText = try require(object["continuation"]?.stringValue)
    prompt = try tokens(object["prompt_ids"])
    continuation = try tokens(object["continuation_ids"])
    topIDs = try tokens(object["top10_ids"])
    topLogits = try floats(object["top10_logits"])
    logSumExp = Float(try require(object["logsumexp"]?.doubleValue))
    logprobs = try floats(object["continuation_logprobs"])
  }

  var item: ScoringItem { ScoringItem(prompt: prompt, continuations: [continuation]) }

  static func all(_ value: JSONValue?) throws -> [ReferenceCase] {
    try require(value?.arrayValue).map { try ReferenceCase($0) }
  }
}

/// A real model before PyTorch's values of it.
struct RealModelReference {
  static let tolerance: Float = 2e-3

  let model: LanguageModel
  let values: JSONObject
  /// alpha and beta of the values.
  let experts: [MultiplierVector]

  /// Scores all cases in one batch, and the logits of each alone.
  func check(_ cases: [ReferenceCase], under view: WeightView) throws {
    #expect(!cases.isEmpty)
    let scores = try model.score(cases.map(\.item), under: view, priority: .job)
    for (expected, found) in zip(cases, scores) {
      #expect(distance(found[0].logprobs, expected.logprobs) < Self.tolerance, "\(expected.text)")
      let logits = try model.logits(prompt: expected.prompt, under: view)
      #expect(
        distance(expected.topIDs.map { logits[Int($0)] }, expected.topLogits) < Self.tolerance, "\(expected.text)")
      #expect(abs(logSumExp(logits) - expected.logSumExp) < Self.tolerance, "\(expected.text)")
    }
  }

  /// The same as a population of one, with materialised weights.
  private func check(_ cases: [ReferenceCase], _ coefficients: MixtureCoefficients) throws {
    let mixer = Mixer(layout: model.layout, sigma: model.factorization.sigma, experts: experts, rescale: .none)
    try check(cases, under: .factored(mixer.multipliers(coefficients)))
    let basis = try ExpertBasis(model: model, experts: experts, residentBudget: 0)
    let found = try model.scoreCandidates(
      basis: basis, [Candidate(mixer.blend(coefficients), cases.map(\.item))], priority: .job)[0]
    for (expected, found) in zip(cases, found) {
      #expect(distance(found[0].logprobs, expected.logprobs) < Self.tolerance, "\(expected.text)")
    }
  }

  func checkAlpha() throws {
    let cases = try ReferenceCase.all(values["adapted"]?["alpha"])
    try check(cases, under: .factored(experts[0]))
    try check(cases, .single(0, of: 2))
  }

  func checkMixtures() throws {
    let adapted = try require(values["adapted"])
    #expect(adapted["delta"]?["mix"]?.stringValue == "delta")
    for (name, mix) in [("mixture", MixRule.sum), ("delta", .delta)] {
      let mixture = try require(adapted[name])
      try check(
        ReferenceCase.all(mixture["cases"]), MixtureCoefficients(mix: mix, floats(mixture["coefficients"])))
    }
  }

  func checkTokens() throws {
    let tokenizer = try require(model.tokenizer)
    for reference in try ReferenceCase.all(values["base"]) {
      #expect(tokenizer.encode(.text(reference.text)) == reference.prompt)
      #expect(tokenizer.continuation(reference.continuationText) == reference.continuation)
    }
  }

  func checkSpectra() throws {
    let spectra = try require(values["spectra"]?.objectValue)
    #expect(spectra.members.count == 2)
    for (name, value) in spectra.members {
      let first = model.layout.offsets[try require(model.layout.index(of: name))]
      for (place, expected) in try floats(value).enumerated() {
        #expect(abs(model.factorization.sigma[first + place] / expected - 1) < 1e-4, "\(name) \(place)")
      }
    }
  }
}
