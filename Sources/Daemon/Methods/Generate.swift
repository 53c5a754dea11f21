import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import WorkerProtocol

extension Service {
  static let generate: Handler = { (service, params, reply) throws(RPCError) in
    let snapshot = service.snapshots.get()
    var task = params["task"]?.stringValue
    let strategy = try strategy(params)
    if strategy != "mixture" { task = nil }
    if strategy == "mixture", task == nil {
      guard snapshot.tasks.count == 1, let only = snapshot.tasks.first else {
        throw RPCError(.invalidParams, "the strategy 'mixture' needs a 'task'", hint: "see: t2ctl task list")
      }
      task = only.name
    }
    let model = try snapshot.resolveModel(params["model"]?.stringValue, task: task)
    let (weights, shown) = try service.resolveWeights(
      expert: strategy == "none" ? nil : params["expert"]?.stringValue, mixture: task,
      alpha: strategy == "none" ? nil : params["alpha"]?.objectValue, mix: params["mix"]?.stringValue, model: model)
    let request = GenerateCall.Request(input: try input(params, model: model), weights: weights)
    service.onCatalogue(reply) { steward throws(RPCError) in
      var call = GenerateCall(model: steward.reference(model), requests: [request])
      if let number = params["max_tokens"]?.intValue { call.maximumTokens = number }
      if let number = params["temperature"]?.doubleValue { call.temperature = number }
      if let number = params["top_p"]?.doubleValue { call.topP = number }
      if let number = params["seed"]?.integerValue { call.seed = UInt64(clamping: number) }
      call.stop = params["stop"]?.arrayValue?.compactMap(\.stringValue) ?? []
      let asked = MonotonicInstant.now
      steward.send(.generate(call)) { answer in
        reply.finish(
          answer.map { result in
            answerJSON(result, strategy: strategy, model: model.name, weights: shown, took: .now - asked)
          })
      }
    }
  }

  private static func strategy(_ params: JSONObject) throws(RPCError) -> String {
    if let strategy = params["strategy"]?.stringValue {
      if strategy == "expert", params["expert"] == nil {
        throw RPCError(.invalidParams, "the strategy 'expert' needs an 'expert'", hint: "see: t2ctl expert list")
      }
      return strategy
    }
    if params["expert"] != nil { return "expert" }
    if params["task"] != nil { return "mixture" }
    return params["alpha"] != nil ? "alpha" : "none"
  }

  private static func input(
    _ params: JSONObject, model: ModelRecord
  ) throws(RPCError) -> GenerateCall.Request.Input {
    typealias Message = GenerateCall.Request.Message
    var messages: [Message] = []
    if let system = params["system"]?.stringValue { messages.append(Message(role: "system", content: system)) }
    if let given = params["messages"]?.arrayValue {
      guard params["prompt"] == nil else {
        throw RPCError(.invalidParams, "'prompt' and 'messages' exclude each other")
      }
      for message in given {
        messages.append(
          Message(role: message["role"]?.stringValue ?? "", content: message["content"]?.stringValue ?? ""))
      }
      return .messages(messages)
    }
    guard let prompt = params["prompt"]?.stringValue else {
      throw RPCError(
        .invalidParams,
        params["prompt"] == nil ? "there is neither 'prompt' nor 'messages'" : "'prompt' must be a text here")
    }
    let hasTemplate = model.facts?.chatTemplate != nil
    if params["chat"]?.boolValue ?? hasTemplate {
      guard hasTemplate else {
        throw RPCError(
          .modelError,
          "model '\(model.name)' has no chat template that t2d knows: \(model.facts?.chatTemplateProblem ?? "none")",
          hint: "leave 'chat' out, or set it to false")
      }
      return .messages(messages + [Message(role: "user", content: prompt)])
    }
    guard messages.isEmpty else {
      throw RPCError(.invalidParams, "'system' needs the chat template, and 'chat' is false")
    }
    return .prompt(prompt)
  }

  private static func answerJSON(
    _ result: JSONValue, strategy: String, model: String, weights: JSONValue, took: Duration
  ) -> JSONValue {
    let one = result["generations"]?.arrayValue?.first
    let seconds = result["seconds"]?.doubleValue ?? 0
    return [
      "text": one?["text"] ?? .null, "stop": one?["finish"] ?? .null, "strategy": .string(strategy),
      "model": .string(model), "weights": weights,
      "tokens": ["prompt": one?["prompt_tokens"] ?? .null, "generated": one?["tokens"] ?? .null],
      "seconds": ["queue": .number(max(0, took.inSeconds - seconds)), "generate": .number(seconds)],
    ]
  }
}
