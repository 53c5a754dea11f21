import SystemSupport
import Tokenizer
import Transformer
import WorkerProtocol

extension LoadedModel {
  /// Generates all requests of a call in one batch. With `stream`, `onText` is told the request's index and its text as
  /// it becomes known.
  func answer(_ call: GenerateCall, onText: (Int, String) -> Void) throws(WorkerFault) -> GenerateAnswer {
    guard (1...65_536).contains(call.maximumTokens) else {
      throw WorkerFault(.badRequest, "max_tokens is \(call.maximumTokens), 1 to 65536 are possible")
    }
    let started = MonotonicInstant.now
    var requests: [GenerationRequest] = []
    for (index, request) in call.requests.enumerated() {
      requests.append(try generationRequest(request, call, stream: UInt64(index)))
    }
    do throws(TransformerError) {
      let generations = try model.generate(requests, priority: .interactive) { token in
        if call.stream, !token.text.isEmpty { onText(token.request, token.text) }
        return true
      }
      return GenerateAnswer(
        generations: zip(requests, generations).map { request, generation in
          .init(
            text: generation.text, promptTokens: request.prompt.count, tokens: generation.tokens.count,
            finish: generation.ending.wireName)
        }, seconds: (MonotonicInstant.now - started).inSeconds)
    } catch {
      throw WorkerFault(error)
    }
  }

  private func generationRequest(
    _ request: GenerateCall.Request, _ call: GenerateCall, stream: UInt64
  ) throws(WorkerFault) -> GenerationRequest {
    let tokenizer = try tokenizer
    var prompt = tokenizer.addsBOS ? [tokenizer.bos].compactMap(\.self) : []
    switch request.input {
    case .prompt(let text): prompt += tokenizer.encode(text)
    case .messages(let messages):
      switch model.chatTemplate {
      case .success(let template):
        prompt += tokenizer.encode(
          template.pieces(messages.map { ChatMessage(role: $0.role, content: $0.content) }))
      case .failure(let problem):
        throw WorkerFault(
          .unsupported, "messages need the model's chat template, but \(problem); send a prompt instead")
      }
    }
    let sampling =
      call.temperature > 0
      ? Sampling.sampled(
        temperature: Float(call.temperature), topP: Float(call.topP), seed: call.seed, stream: stream) : .greedy
    return GenerationRequest(
      prompt: prompt, view: try view(request.weights), sampling: sampling, maximumTokens: call.maximumTokens,
      stopIDs: tokenizer.endOfTurn + [tokenizer.eos].compactMap(\.self), stopStrings: call.stop)
  }
}

extension Generation.Ending {
  /// `finish` of the protocol.
  fileprivate var wireName: String {
    switch self {
    case .stopToken, .stopString: "stop"
    case .maximumTokens: "length"
    case .context: "context"
    case .cancelled: "cancelled"
    }
  }
}
