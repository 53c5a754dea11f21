import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import WorkerProtocol

extension Service {
  static let score: Handler = { (service, params, reply) throws(RPCError) in
    let model = try service.snapshots.get().resolveModel(
      params["model"]?.stringValue, task: params["mixture"]?.stringValue)
    let (weights, shown) = try service.resolveWeights(
      expert: params["expert"]?.stringValue, mixture: params["mixture"]?.stringValue,
      alpha: params["alpha"]?.objectValue, mix: params["mix"]?.stringValue, model: model)
    let prompt = try text("prompt", params, model: model)
    let continuation = try text("continuation", params, model: model)
    let top = Int(params["top"]?.integerValue ?? 0)
    let special = params["special"]?.boolValue ?? false
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let call = ScoreCall(
        model: coordinator.reference(model), prompt: prompt, continuation: continuation, weights: weights, top: top,
        special: special)
      coordinator.calls.send(.score(call)) { answer in
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

  /// `name` as a text or as token ids, or `name_ids`.
  private static func text(
    _ name: String, _ params: JSONObject, model: ModelRecord
  ) throws(RPCError) -> InputText {
    let given = [name, name + "_ids"].filter { params[$0] != nil }
    guard given.count == 1 else {
      throw RPCError(
        .invalidParams,
        given.isEmpty
          ? "score needs '\(name)' or '\(name)_ids'" : "'\(name)' and '\(name)_ids' exclude each other")
    }
    if let ids = tokenIDs(params[given[0]]) { return .ids(ids) }
    guard model.facts?.hasTokenizer != false else {
      throw RPCError(
        .noTokenizer, "model '\(model.name)' has no tokenizer, so it takes token ids only",
        hint: "give \(name)_ids, or put its tokenizer.json beside the weights and add the model again")
    }
    return .text(params[name]?.stringValue ?? "")
  }
}
