import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import WorkerProtocol

extension Service {
  /// Everything that a request depends on is decided here, when it is admitted: the versions of experts, the mixture,
  /// the labels. What changes later is for later requests.
  static let generate: Handler = { (service, params, reply) throws(RPCError) in
    let snapshot = service.snapshots.get()
    let strategy = try strategy(params)
    var task: String?
    if strategy == "mixture" {
      task = params["task"]?.stringValue ?? (snapshot.tasks.count == 1 ? snapshot.tasks.first?.name : nil)
      guard task != nil else {
        throw RPCError(.invalidParams, "the strategy 'mixture' needs a 'task'", hint: "see: t2ctl task list")
      }
    }
    let model = try snapshot.resolveModel(params["model"]?.stringValue, task: task)
    let (weights, shown) = try service.resolveWeights(
      expert: params["expert"]?.stringValue, mixture: task, alpha: params["alpha"]?.objectValue,
      mix: params["mix"]?.stringValue, model: model)
    let dispatch =
      strategy == "prompt" || strategy == "classifier"
      ? try service.resolveDispatch(strategy, params, model: model) : nil
    let request = GenerateCall.Request(
      input: try input(params, model: model), weights: weights, dispatch: dispatch?.spec)
    if dispatch != nil, case .ids = request.input {
      throw RPCError(
        .invalidParams, "token ids cannot be put into the dispatch template, as the strategy '\(strategy)' does",
        hint: "give a text, or choose the weights with expert, task or alpha")
    }
    let asked = Asked(strategy: strategy, model: model.name, weights: shown, dispatch: dispatch, time: .now)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      var call = GenerateCall(model: coordinator.reference(model), requests: [request])
      if let number = params["max_tokens"]?.intValue { call.maximumTokens = number }
      if let number = params["temperature"]?.doubleValue { call.temperature = number }
      if let number = params["top_p"]?.doubleValue { call.topP = number }
      if let number = params["seed"]?.integerValue { call.seed = UInt64(clamping: number) }
      call.stop = params["stop"]?.arrayValue?.compactMap(\.stringValue) ?? []
      call.stream = params["stream"]?.boolValue ?? false
      coordinator.calls.generate(call, for: reply, decided: { dispatch?.shown($0) ?? .null }) { answer in
        reply.finish(answer.map { asked.json($0) })
      }
    }
  }

  /// The strategy, and a refusal of what it has no use for.
  private static func strategy(_ params: JSONObject) throws(RPCError) -> String {
    let given = ["expert", "task", "alpha"].filter { params[$0] != nil }
    let strategy: String
    switch params["strategy"]?.stringValue {
    case let named?: strategy = named
    case nil where params["expert"] != nil: strategy = "expert"
    case nil where params["task"] != nil: strategy = "mixture"
    case nil: strategy = params["alpha"] != nil ? "alpha" : "none"
    }
    let allowed: [String] =
      switch strategy {
      case "expert": ["expert"]
      case "mixture": ["task"]
      case "alpha": ["alpha"]
      default: []
      }
    if strategy == "expert", params["expert"] == nil {
      throw RPCError(.invalidParams, "the strategy 'expert' needs an 'expert'", hint: "see: t2ctl expert list")
    }
    if let extra = given.first(where: { !allowed.contains($0) }) {
      throw RPCError(.invalidParams, "the strategy '\(strategy)' has no use for '\(extra)'")
    }
    if strategy != "prompt", strategy != "classifier",
      let extra = ["read", "dispatcher"].first(where: { params[$0] != nil })
    {
      throw RPCError(
        .invalidParams, "'\(extra)' is for the strategies 'prompt' and 'classifier', not for '\(strategy)'")
    }
    return strategy
  }

  private static func input(
    _ params: JSONObject, model: ModelRecord
  ) throws(RPCError) -> GenerateCall.Request.Input {
    typealias Message = GenerateCall.Request.Message
    let given = ["prompt", "messages", "prompt_ids"].filter { params[$0] != nil }
    guard given.count == 1 else {
      throw RPCError(
        .invalidParams,
        given.isEmpty
          ? "there is neither 'prompt' nor 'messages' nor 'prompt_ids'"
          : "'\(given.joined(separator: "' and '"))' exclude each other")
    }
    var messages: [Message] = []
    if let system = params["system"]?.stringValue { messages.append(Message(role: "system", content: system)) }
    if let ids = tokenIDs(params["prompt_ids"] ?? params["prompt"]) {
      guard messages.isEmpty else {
        throw RPCError(.invalidParams, "'system' needs the chat template, which token ids do not go through")
      }
      return .ids(ids)
    }
    guard model.facts?.hasTokenizer != false else {
      throw RPCError(
        .noTokenizer, "model '\(model.name)' has no tokenizer, so it takes token ids only",
        hint: "give prompt_ids, or put its tokenizer.json beside the weights and add the model again")
    }
    if let given = params["messages"]?.arrayValue {
      for message in given {
        messages.append(
          Message(role: message["role"]?.stringValue ?? "", content: message["content"]?.stringValue ?? ""))
      }
      return .messages(messages)
    }
    let prompt = params["prompt"]?.stringValue ?? ""
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

  /// A list of token ids, checked by the table already; nil for a text.
  static func tokenIDs(_ value: JSONValue?) -> [Int32]? {
    value?.arrayValue?.compactMap { $0.integerValue.flatMap { Int32(exactly: $0) } }
  }

  /// What the answer repeats of the request.
  private struct Asked {
    var strategy: String
    var model: String
    var weights: JSONValue
    var dispatch: ResolvedDispatch?
    var time: MonotonicInstant

    func json(_ result: JSONValue) -> JSONValue {
      let one = result["generations"]?.arrayValue?.first
      let passes = ["dispatch", "prefill", "decode"].map { ($0, one?["seconds"]?[$0]?.doubleValue ?? 0) }
      let total = (MonotonicInstant.now - time).inSeconds
      var seconds: JSONObject = ["queue": .number(max(0, total - passes.reduce(0) { $0 + $1.1 }))]
      for (name, value) in passes { seconds[name] = .number(value) }
      var answer: JSONObject = [
        "text": one?["text"] ?? .null, "ids": one?["ids"] ?? .null, "stop": one?["finish"] ?? .null,
        "strategy": .string(strategy), "model": .string(model), "weights": weights,
        "mixture_digest": one?["digest"] ?? .null,
      ]
      if let dispatch {
        let decision = dispatch.shown(one?["decision"])
        answer["decision"] = decision
        let expert = decision["expert"] ?? .null
        answer["weights"] = expert == .null ? ["base": true] : ["expert": expert]
        if dispatch.dispatcher != nil { answer["dispatcher"] = dispatch.shownDispatcher }
      }
      answer["tokens"] = [
        "prompt": one?["prompt_tokens"] ?? .null, "generated": JSONValue(one?["ids"]?.arrayValue?.count ?? 0),
      ]
      answer["seconds"] = .object(seconds)
      return .object(answer)
    }
  }
}
