import Registry
import RPCProtocol
import RPCServer
import Settings
import WorkerProtocol

extension Score: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let model = try service.snapshots.get().resolveModel(asked.weights.model, task: asked.weights.mixture)
    let (weights, shown) = try service.resolveWeights(
      expert: asked.weights.expert, mixture: asked.weights.mixture, alpha: asked.weights.alpha,
      mix: asked.weights.mix, model: model)
    let prompt = try input("prompt", asked.prompt, asked.promptIDs, model: model)
    let continuation = try input("continuation", asked.continuation, asked.continuationIDs, model: model)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let call = ScoreCall(
        model: coordinator.reference(model), prompt: prompt, continuation: continuation, weights: weights,
        top: asked.top, special: asked.special)
      coordinator.calls.send(.score(call), as: ScoreAnswer.self) { answer in
        reply.finish(
          answer.map { found in
            Result(
              promptIDs: found.promptIDs, continuationIDs: found.continuationIDs, logprobs: found.logprobs,
              top: found.top.map { .init(id: $0.id, logit: $0.logit) }, model: model.name, weights: shown)
          })
      }
    }
  }

  /// A text or token ids, given as `name` or `name_ids`.
  private static func input(
    _ name: String, _ given: TextOrTokens?, _ ids: [Int32]?, model: ModelRecord
  ) throws(RPCError) -> TextOrTokens {
    switch (given, ids) {
    case (nil, nil): throw RPCError(.invalidParams, "score needs '\(name)' or '\(name)_ids'")
    case (.some, .some): throw RPCError(.invalidParams, "'\(name)' and '\(name)_ids' exclude each other")
    case (nil, let ids?), (.tokens(let ids), nil): return .tokens(ids)
    case (.text(let text), nil):
      guard model.facts?.hasTokenizer != false else {
        throw RPCError(
          .noTokenizer, "model '\(model.name)' has no tokenizer, so it takes token ids only",
          hint: "give \(name)_ids, or put its tokenizer.json beside the weights and add the model again")
      }
      return .text(text)
    }
  }
}
