import Registry
import RPCProtocol
import RPCServer
import Records
import Settings
import SystemSupport
import WorkerProtocol

extension Generate: HandledMethod {
  /// Everything that a request depends on is decided here, when it is admitted: the versions of experts, the mixture,
  /// the labels. What changes later is for later requests.
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let strategy = try answering(asked)
    var task: String?
    if strategy == .mixture {
      task = asked.task ?? (snapshot.tasks.count == 1 ? snapshot.tasks.first?.name : nil)
      guard task != nil else {
        throw RPCError(.invalidParams, "the strategy 'mixture' needs a 'task'", hint: "see: t2ctl task list")
      }
    }
    let model = try snapshot.resolveModel(asked.weights.model, task: task)
    let (weights, shown) = try service.resolveWeights(
      expert: asked.weights.expert, mixture: task, alpha: asked.weights.alpha, mix: asked.weights.mix, model: model)
    let dispatch = try strategy.firstPass.map { (pass) throws(RPCError) in
      try service.resolveDispatch(pass, asked.decision, model: model)
    }
    let request = GenerateCall.Request(
      input: try input(asked, model: model), weights: weights, dispatch: dispatch?.spec)
    if let option = ChatOptions.members.map(\.name).first(where: { asked.given.contains($0) }) {
      guard case .messages = request.input else {
        throw RPCError(.invalidParams, "'\(option)' is for the chat template, which this prompt does not go through")
      }
    }
    if dispatch != nil, case .ids = request.input {
      throw RPCError(
        .invalidParams, "token ids cannot be put into the dispatch template, as the strategy '\(strategy.name)' does",
        hint: "give a text, or choose the weights with expert, task or alpha")
    }
    let repeated = Repeated(
      strategy: strategy.name, model: model.name, weights: shown, dispatch: dispatch, time: .now)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let call = GenerateCall(
        model: coordinator.reference(model), requests: [request], maximumTokens: asked.maxTokens,
        temperature: asked.temperature, topP: asked.topP, seed: asked.seed, stop: asked.stop, stream: asked.stream,
        chat: asked.chatOptions == ChatOptions() ? nil : asked.chatOptions)
      coordinator.calls.generate(call, for: reply, decided: { dispatch?.shown($0) }) { answer in
        reply.finish(answer.map { repeated.result($0) })
      }
    }
  }

  /// A strategy, or coefficients of one's own, which have none.
  private enum Answering: Equatable {
    case by(DispatchStrategy)
    case alpha

    static let mixture = Self.by(.mixture)

    var name: String {
      switch self {
      case .by(let strategy): strategy.rawValue
      case .alpha: "alpha"
      }
    }

    var firstPass: FirstPass? {
      switch self {
      case .by(.prompt): .prompt
      case .by(.classifier): .classifier
      case .by(.base), .by(.expert), .by(.mixture), .alpha: nil
      }
    }
  }

  /// The strategy, and a refusal of what it has no use for.
  private static func answering(_ asked: Parameters) throws(RPCError) -> Answering {
    let given = asked.given
    let strategy: Answering
    switch asked.strategy {
    case let named?: strategy = .by(named)
    case nil where given.contains("expert"): strategy = .by(.expert)
    case nil where given.contains("task"): strategy = .by(.mixture)
    case nil: strategy = given.contains("alpha") ? .alpha : .by(.base)
    }
    let allowed: String? =
      switch strategy {
      case .by(.expert): "expert"
      case .by(.mixture): "task"
      case .alpha: "alpha"
      case .by(.base), .by(.prompt), .by(.classifier): nil
      }
    if strategy == .by(.expert), !given.contains("expert") {
      throw RPCError(.invalidParams, "the strategy 'expert' needs an 'expert'", hint: "see: t2ctl expert list")
    }
    if let extra = ["expert", "task", "alpha"].first(where: { given.contains($0) && $0 != allowed }) {
      throw RPCError(.invalidParams, "the strategy '\(strategy.name)' has no use for '\(extra)'")
    }
    if strategy.firstPass == nil, let extra = ["read", "dispatcher"].first(where: { given.contains($0) }) {
      throw RPCError(
        .invalidParams, "'\(extra)' is for the strategies 'prompt' and 'classifier', not for '\(strategy.name)'")
    }
    return strategy
  }

  private static func input(
    _ asked: Parameters, model: ModelRecord
  ) throws(RPCError) -> GenerateCall.Request.Input {
    let given = ["prompt", "messages", "prompt_ids"].filter { asked.given.contains($0) }
    guard given.count == 1 else {
      throw RPCError(
        .invalidParams,
        given.isEmpty
          ? "there is neither 'prompt' nor 'messages' nor 'prompt_ids'"
          : "'\(given.joined(separator: "' and '"))' exclude each other")
    }
    let system = asked.system.map { [ChatMessage(role: "system", content: $0)] } ?? []
    var ids = asked.promptIDs
    var prompt = ""
    switch asked.prompt {
    case .tokens(let tokens)?: ids = tokens
    case .text(let text)?: prompt = text
    case nil: break
    }
    if let ids {
      guard system.isEmpty else {
        throw RPCError(.invalidParams, "'system' needs the chat template, which token ids do not go through")
      }
      return .ids(ids)
    }
    guard model.facts?.hasTokenizer != false else {
      throw RPCError(
        .noTokenizer, "model '\(model.name)' has no tokenizer, so it takes token ids only",
        hint: "give prompt_ids, or put its tokenizer.json beside the weights and add the model again")
    }
    if let messages = asked.messages { return .messages(system + messages) }
    let hasTemplate = model.facts?.chatTemplate != nil
    if asked.chat ?? hasTemplate {
      guard hasTemplate else {
        throw RPCError(
          .modelError,
          "model '\(model.name)' has no chat template that t2d knows: \(model.facts?.chatTemplateProblem ?? "none")",
          hint: "leave 'chat' out, or set it to false")
      }
      return .messages(system + [ChatMessage(role: "user", content: prompt)])
    }
    guard system.isEmpty else {
      throw RPCError(.invalidParams, "'system' needs the chat template, and 'chat' is false")
    }
    return .prompt(prompt)
  }

  /// What the answer repeats of the request.
  private struct Repeated {
    var strategy: String
    var model: String
    var weights: ShownWeights
    var dispatch: ResolvedDispatch?
    var time: MonotonicInstant

    func result(_ found: GenerateAnswer.Generation) -> Result {
      let passes = found.seconds
      let total = (MonotonicInstant.now - time).inSeconds
      let decision = found.decision.flatMap { dispatch?.shown($0) }
      return Result(
        text: found.text, ids: found.ids, stop: found.finish, strategy: strategy, model: model,
        weights: dispatch == nil ? weights : .of(expert: decision?.expert), mixtureDigest: found.digest,
        decision: decision, dispatcher: dispatch?.shownDispatcher, promptTokens: found.promptTokens,
        seconds: .init(
          queue: max(0, total - passes.dispatch - passes.prefill - passes.decode), dispatch: passes.dispatch,
          prefill: passes.prefill, decode: passes.decode))
    }
  }
}
