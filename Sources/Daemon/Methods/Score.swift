import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import WorkerProtocol

extension Service {
  static let score: Handler = { (service, params, reply) throws(RPCError) in
    let model = try service.snapshots.get().resolveModel(params["model"]?.stringValue)
    let (weights, shown) = try service.resolveWeights(
      expert: params["expert"]?.stringValue, mixture: params["mixture"]?.stringValue,
      alpha: params["alpha"]?.objectValue, mix: params["mix"]?.stringValue, model: model)
    let prompt = try text("prompt", params)
    let continuation = try text("continuation", params)
    let top = Int(params["top"]?.integerValue ?? 0)
    let special = params["special"]?.boolValue ?? false
    service.onCatalogue(reply) { steward throws(RPCError) in
      let call = ScoreCall(
        model: steward.reference(model), prompt: prompt, continuation: continuation, weights: weights, top: top,
        special: special)
      steward.send(.score(call)) { answer in
        reply.finish(
          answer.map { result in
            var object = result.objectValue ?? [:]
            let sum = object["logprobs"]?.arrayValue?.compactMap(\.doubleValue).reduce(0, +) ?? 0
            object["sum"] = .number(sum)
            object["model"] = .string(model.name)
            object["weights"] = shown
            return .object(object)
          })
      }
    }
  }

  /// A text parameter. Token ids are for models without a tokenizer, which the worker does not score yet.
  private static func text(_ name: String, _ params: JSONObject) throws(RPCError) -> String {
    if let text = params[name]?.stringValue { return text }
    throw RPCError(.invalidParams, "'\(name)' is a list of token ids, and only a text can be scored here")
  }
}
