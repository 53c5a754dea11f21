import EngineLink
import Engines
import Experts
import LinearAlgebra
import ModelFormats
import Multipliers
import Settings
import SystemSupport
import Tokenizer
import WorkerProtocol

/// A model that can be asked, and the experts that were read for it.
final class LoadedModel: Sendable {
  let model: any Engine
  private let cache = Mutex<[(path: String, expert: LoadedExpert)]>([])
  /// An expert of SmolLM2-135M has half a megabyte; nobody mixes more of them at a time than this.
  private static let cachedExperts = 32

  struct LoadedExpert: Sendable {
    var reference: ExpertReference
    var multipliers: MultiplierVector
    var rescale: Rescale
  }

  init(_ model: any Engine) { self.model = model }

  /// Whether another process computes it, for which this one waits.
  var isElsewhere: Bool { model is RemoteEngine }

  /// What is wrong with its factorization, which is the mapped file. Read as a whole `thoroughly`, else only where the
  /// file was written to since it was read last. Nil: nothing, or `shouldStop` said so before the end.
  func damage(thoroughly: Bool = false, shouldStop: @escaping @Sendable () -> Bool = { false }) -> String? {
    model.damage(thoroughly: thoroughly, shouldStop: shouldStop)
  }

  /// For a result that was computed with what turned out to be damaged.
  func damaged(_ problem: String) -> WorkerFault {
    var fault = WorkerFault.damaged(
      "the factorization of model '\(model.facts.modelID)'", model.facts.path, problem + "; it is computed anew")
    fault.retry = true
    return fault
  }

  // MARK: - experts

  /// Reads experts, or finds them; blobs never change, so the path decides.
  func experts(_ references: [ExpertReference]) throws(WorkerFault) -> [LoadedExpert] {
    var experts: [LoadedExpert] = []
    for reference in references {
      let known = cache.withLock { cache in cache.first { $0.path == reference.path }?.expert }
      if var known {
        known.reference = reference
        experts.append(known)
        continue
      }
      let expert = try readExpert(reference)
      cache.withLock { cache in
        if cache.count >= Self.cachedExperts { cache.removeFirst() }
        cache.append((reference.path, expert))
      }
      experts.append(expert)
    }
    return experts
  }

  /// The rescale that all share; a mixture has one.
  static func rescale(of experts: [LoadedExpert]) throws(WorkerFault) -> Rescale {
    guard let first = experts.first else {
      throw WorkerFault(.mixtureInvalid, "a mixture needs at least one expert")
    }
    for other in experts where other.rescale != first.rescale {
      throw WorkerFault(
        .mixtureInvalid,
        "cannot mix '\(first.reference.name)' (rescale \(first.rescale.rawValue)) with '\(other.reference.name)' "
          + "(rescale \(other.rescale.rawValue)): all experts of a mixture need the same rescale")
    }
    return first.rescale
  }

  func mixer(_ experts: [LoadedExpert], _ rescale: Rescale) -> Mixer {
    Mixer(
      layout: model.layout, sigma: model.facts.sigma, experts: experts.map(\.multipliers), rescale: rescale)
  }

  func view(_ weights: Weights) throws(WorkerFault) -> WeightView {
    guard case .mixture(let mixture) = weights else { return .base }
    let mixer = mixer(try experts(mixture.experts), mixture.rescale)
    return try faulting {
      .factored(
        try mixer.multipliers(
          MixtureCoefficients(granularity: mixture.granularity, mix: mixture.mix, alpha: mixture.alpha)))
    }
  }

  /// What names the multipliers of a view; nil for the base, which a vector of ones is too.
  func digest(of view: WeightView) -> String? {
    guard case .factored(let vector) = view, !vector.isIdentity else { return nil }
    return vector.digest(in: model.layout).description
  }

  // MARK: - short requests

  var tokenizer: Tokenizer {
    get throws(WorkerFault) {
      guard let tokenizer = model.facts.tokenizer else {
        throw WorkerFault(
          .noTokenizer,
          "the model '\(model.facts.modelID)' has no tokenizer: it takes token ids only, unless its tokenizer.json is put "
            + "beside the weights")
      }
      return tokenizer
    }
  }

  func tokenize(_ text: String, special: Bool) throws(WorkerFault) -> TokenizeAnswer {
    TokenizeAnswer(ids: try tokenizer.encode(text, recognizeSpecial: special))
  }

  /// A text as a prompt begins with what the model's file asks for; one as a continuation goes on where the prompt ends.
  private func tokens(_ call: ScoreCall) throws(WorkerFault) -> (prompt: [Int32], continuation: [Int32]) {
    switch (call.prompt, call.continuation) {
    case (.tokens(let prompt), .tokens(let continuation)): return (prompt, continuation)
    case (.tokens(let prompt), .text(let text)):
      return (prompt, try tokenizer.continuation(text, recognizeSpecial: call.special))
    case (.text(let text), .tokens(let continuation)):
      return (try tokenizer.encode(PromptText.text(text, recognizeSpecial: call.special)), continuation)
    case (.text(let prompt), .text(let text)):
      let tokenizer = try tokenizer
      let prompt = PromptText.text(prompt, recognizeSpecial: call.special)
      return (
        tokenizer.encode(prompt), tokenizer.continuation(text, of: prompt, recognizeSpecial: call.special)
      )
    }
  }

  func answer(_ call: ScoreCall) throws(WorkerFault) -> ScoreAnswer {
    let (prompt, continuation) = try tokens(call)
    let view = try view(call.weights)
    return try faulting {
      let scores = try model.score(
        ScoringItem(prompt: prompt, continuations: [continuation]), under: view, inPiecesOf: model.shortPassRows,
        priority: .interactive)
      var top: [ScoreAnswer.Top] = []
      if call.top > 0 {
        let logits = try model.logits(
          prompt: prompt, under: view, inPiecesOf: model.shortPassRows, priority: .interactive)
        let order = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }
        top = order.prefix(call.top).map { ScoreAnswer.Top(id: Int32($0), logit: logits[$0]) }
      }
      return ScoreAnswer(
        promptIDs: prompt, continuationIDs: continuation, logprobs: scores[0].logprobs, top: top)
    }
  }

  // MARK: - facts

  func facts(seconds: Double) -> ModelFacts {
    let facts = model.facts
    let (template, problem): (String?, String?) =
      switch facts.chatTemplate {
      case .success(let template): (template.name, nil)
      case .failure(let error): (nil, error.description)
      }
    return ModelFacts(
      digest: facts.digest, modelID: facts.modelID, architecture: facts.architecture, parameters: facts.parameters,
      layers: facts.layers, hidden: facts.hidden, vocabulary: facts.vocabulary, contextLength: facts.context,
      quantization: facts.quantization, hasTokenizer: facts.tokenizer != nil, chatTemplate: template,
      chatTemplateProblem: problem, warnings: facts.warnings, targets: facts.layout.matrices,
      factorizationSeconds: seconds, computedBy: isElsewhere ? facts.tag.description : nil)
  }
}
