import Engines
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

/// A real model before PyTorch's values of it: what differs, for tests to bound.
struct RealModelReference {
  /// Of logits and log-probabilities.
  static let tolerance: Float = 2e-3

  let model: LanguageModel
  let values: JSONObject
  /// alpha and beta of the values.
  let experts: [MultiplierVector]

  /// The largest difference of a log-probability, a logit of the ten likeliest, or the log-sum-exp of all: scored in one
  /// batch, and the logits of each alone.
  func difference(of cases: [ReferenceCase], under view: WeightView) throws -> Float {
    guard !cases.isEmpty else { return .infinity }
    let scores = try model.score(cases.map(\.item), under: view, priority: .job)
    return try zip(cases, scores).map { expected, found in
      let logits = try model.logits(prompt: expected.prompt, under: view)
      return distance(
        found[0].logprobs + expected.topIDs.map { logits[Int($0)] } + [logSumExp(logits)],
        expected.logprobs + expected.topLogits + [expected.logSumExp])
    }.reduce(0) { $0 > $1 ? $0 : $1 }
  }

  /// The same of a mixture of the experts, and of the log-probabilities as a population of one, with materialised weights.
  private func difference(of cases: [ReferenceCase], under coefficients: MixtureCoefficients) throws -> Float {
    let mixer = Mixer(layout: model.layout, sigma: model.factorization.sigma, experts: experts, rescale: .none)
    let factored = try difference(of: cases, under: .factored(mixer.multipliers(coefficients)))
    let basis = try ExpertBasis(model: model, experts: experts, residentBudget: 0)
    let found = try model.scoreCandidates(
      basis: basis, [Candidate(mixer.blend(coefficients), cases.map(\.item))], priority: .job)[0]
    return max(factored, distance(found.flatMap { $0[0].logprobs }, cases.flatMap(\.logprobs)))
  }

  func differenceOfBase() throws -> Float { try difference(of: ReferenceCase.all(values["base"]), under: .base) }

  func differenceOfAlpha() throws -> Float {
    let cases = try ReferenceCase.all(values["adapted"]?["alpha"])
    return try max(difference(of: cases, under: .factored(experts[0])), difference(of: cases, under: .single(0, of: 2)))
  }

  func differenceOfMixture(_ name: String, _ mix: MixRule) throws -> Float {
    let mixture = try require(values["adapted"]?[name])
    return try difference(
      of: ReferenceCase.all(mixture["cases"]), under: MixtureCoefficients(mix: mix, floats(mixture["coefficients"])))
  }

  /// The texts that have other ids.
  func textsOfOtherTokens() throws -> [String] {
    let tokenizer = try require(model.tokenizer)
    return try ReferenceCase.all(values["base"]).filter {
      tokenizer.encode(.text($0.text)) != $0.prompt || tokenizer.continuation($0.continuationText) != $0.continuation
    }.map(\.text)
  }

  /// Relative, of the leading singular values of two matrices.
  func differenceOfSpectra() throws -> Float {
    let spectra = try require(values["spectra"]?.objectValue)
    guard spectra.members.count == 2 else { return .infinity }
    return try spectra.members.map { name, value in
      let first = model.layout.offsets[try require(model.layout.index(of: name))]
      let expected = try floats(value)
      let found = expected.indices.map { model.factorization.sigma[first + $0] / expected[$0] }
      return distance(found, [Float](repeating: 1, count: expected.count))
    }.reduce(0) { $0 > $1 ? $0 : $1 }
  }
}
