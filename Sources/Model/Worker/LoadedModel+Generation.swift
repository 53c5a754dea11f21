import Tokenizer
import Transformer
import WorkerProtocol

extension LoadedModel {
  /// A request of the protocol as the model takes it; throws what can be known to be wrong with it.
  func generationRequest(
    _ request: GenerateCall.Request, _ call: GenerateCall, stream: UInt64
  ) throws(WorkerFault) -> GenerationRequest {
    let prompt = try tokens(request.input)
    guard prompt.count <= model.shape.context else {
      throw WorkerFault(
        .promptTooLong, "the prompt has \(prompt.count) tokens, the model's context holds \(model.shape.context)")
    }
    let sampling =
      call.temperature > 0
      ? Sampling.sampled(
        temperature: Float(call.temperature), topP: Float(call.topP), seed: call.seed, stream: stream) : .greedy
    return GenerationRequest(
      prompt: prompt, view: try view(request.weights), sampling: sampling, maximumTokens: call.maximumTokens,
      stopIDs: model.endIDs, stopStrings: call.stop)
  }

  private func tokens(_ input: GenerateCall.Request.Input) throws(WorkerFault) -> [Int32] {
    if case .ids(let ids) = input { return ids }
    let tokenizer = try tokenizer
    switch input {
    case .ids(let ids): return ids
    case .prompt(let text): return tokenizer.encode(PromptText.text(text))
    case .messages(let messages):
      switch model.chatTemplate {
      case .success(let template):
        return tokenizer.encode(
          .chat(template.pieces(messages.map { ChatMessage(role: $0.role, content: $0.content) })))
      case .failure(let problem):
        throw WorkerFault(
          .unsupported, "messages need the model's chat template, but \(problem); send a prompt instead")
      }
    }
  }
}
