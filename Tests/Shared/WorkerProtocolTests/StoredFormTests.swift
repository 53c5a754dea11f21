import Foundation
import Multipliers
import Records
import Results
import Settings
import StrictJSON
import Testing
import WorkerProtocol

/// What is public or stored stays as it was, member for member: `Fixtures/stored.jsonl` holds a full example of each such
/// type, written by the version that read and wrote them by hand.
@Suite struct StoredFormTests {
  static let facts = ModelFacts(
    digest: "sha256:aa", modelID: "SmolLM2", architecture: "LlamaForCausalLM", parameters: 134_515_008, layers: 30,
    hidden: 576, vocabulary: 49152, contextLength: 8192, quantization: "Q4_1", hasTokenizer: true,
    chatTemplate: "chatml", chatTemplateProblem: "no template",
    targets: [
      TargetMatrix(name: "model.layers.0.self_attn.q_proj.weight", rows: 576, columns: 576, layer: 0),
      TargetMatrix(name: "lm_head.weight", rows: 49152, columns: 576, layer: nil),
    ],
    factorizationSeconds: 5.5)

  static let paired = EvalSummary.Paired(wins: 60, losses: 20, p: 1e-5)
  static let eval = EvalSummary(
    value: 0.6, count: 400, lower: 0.55, upper: 0.65, versusBase: paired,
    versusBestExpert: .init(wins: 1, losses: 2, p: 1))
  static let scores = ScoreSummary(
    fit: 0.5, fitLogLikelihood: -.infinity, heldOut: 0.4, heldOutLogLikelihood: -1.5, eval: eval)
  static let generation = GenerationSummary(
    generation: 0, best: 0.5, bestLogLikelihood: -.infinity, mean: nil, spread: 0.125, prompts: 40)
  static let costs = CostSummary(
    prompts: 900, savedByCache: 100, savedByPruning: 40, savedByConvergence: 7, secondsPerPrompt: 0.5)
  static let configuration = ConfigurationSummary(
    method: "random", granularity: .layer, mix: .sum, coefficients: 60, alpha: [[0.1, 1], [0.25, 0]], scores: scores,
    generations: 4, stopReason: "stalled", seconds: 3.5, costs: costs, isChosen: true,
    history: [generation, .init(generation: 1, best: 1, bestLogLikelihood: -2, mean: 0.5, spread: nil, prompts: 60)])
  static let items = EvalItems(
    bestExpert: "science", differing: 240,
    items: [
      .init(
        id: "q7", line: 7, question: "a\nb?", gold: "x", base: .init(text: "y", isRight: false),
        bestExpert: .init(text: "x", isRight: true), mixture: .init(text: "", isRight: false))
    ])

  static var check: CheckResult {
    let comparison = CheckResult.Comparison(
      effect: 0.1, low: -0.05, high: 0.25, mcNemar: 0.03, signFlip: 0.04, won: [5, 6], lost: [1, 0])
    let versusBase = CheckResult.Comparison(
      effect: 0.1, low: -0.05, high: 0.25, mcNemar: 0.03, won: [5, 6], lost: [1, 0])
    func outcome(_ metric: String) -> CheckResult.Outcome {
      .init(
        metric: metric, verdict: .ordered, versusShuffles: comparison, versusBase: versusBase, base: 0.5, expert: 0.6,
        shuffles: [0.4, 0.5])
    }
    return CheckResult(
      summary: CheckSummary(
        kind: .transfer, outcomes: [outcome("acc"), outcome("acc_norm")], passes: true, count: 12, split: .eval,
        seed: .max, template: "Question: {question}", kernel: "Haswell", seconds: 2.5), rowIDs: ["a", "b"],
      items: [.init(name: "base", right: ["10", "01"]), .init(name: "expert", right: ["11", "11"])])
  }

  static let task = WorkerMessageTests.task
  static let model = WorkerMessageTests.model

  /// By name: as it is written, and (where it is read) as it is written after it was read.
  static let forms: [(name: String, written: JSONValue, again: @Sendable (JSONValue) throws -> JSONValue?)] = {
    let mixture = WorkerMessageTests.result.mixture
    var forms: [(String, JSONValue, @Sendable (JSONValue) throws -> JSONValue?)] = [
      ("ModelFacts", facts.json, { try ModelFacts(decoding: $0).json }),
      form("EvalSummary", eval), form("ScoreSummary", scores), form("ConfigurationSummary", configuration),
      form("EvalItems", items), form("Mixture", mixture), form("Mixture.Scores", mixture.scores),
      form("SearchSummary", mixture.search),
      ("CheckResult", check.json, { try CheckResult(decoding: $0).json }),
      form("CheckResult.summary", check.summary),
      ("Decision", WorkerMessageTests.decision.json, { try Decision(decoding: $0).json }),
      (
        "ScoreAnswer",
        ScoreAnswer(
          promptIDs: [1], continuationIDs: [2, 3], logprobs: [-0.1, -2.5e-7], top: [.init(id: 9, logit: 17.25)]
        ).json, { try ScoreAnswer(decoding: $0).json }
      ),
    ]
    for case .startJob(let start) in WorkerMessageTests.calls {
      let kind = start.spec.kind
      forms.append(("job \(start.job) \(kind)", start.spec.json, { try kind.decode($0).json }))
    }
    return forms
  }()

  private static func form<Value: Codable & Sendable>(
    _ name: String, _ value: Value
  ) -> (String, JSONValue, @Sendable (JSONValue) throws -> JSONValue?) {
    (
      name, RecordWriter.json(value),
      { RecordWriter.json(try RecordReader(unknownMembers: .ignored).read($0, as: Value.self)) }
    )
  }

  static let recorded: [String: JSONValue] = {
    let path = Bundle.module.bundlePath + "/Fixtures/stored.jsonl"
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [:] }
    var found: [String: JSONValue] = [:]
    for line in text.split(separator: "\n") {
      guard let entry = try? parseJSON(Array(line.utf8)), let name = entry["name"]?.stringValue else { continue }
      found[name] = entry["json"]
    }
    return found
  }()

  @Test(arguments: forms.map(\.name))
  func whatIsStoredOrPublicStaysAsItWas(name: String) throws {
    let form = try #require(Self.forms.first { $0.name == name })
    let recorded = try #require(Self.recorded[name], "no example of \(name) is recorded")
    #expect(form.written.jsonText == recorded.jsonText)
    if let again = try form.again(recorded) { #expect(again.jsonText == recorded.jsonText) }
  }
}
