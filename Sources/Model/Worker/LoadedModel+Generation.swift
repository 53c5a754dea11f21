import Engines
import Settings
import Tokenizer
import WorkerProtocol

extension LoadedModel {
  /// A request of the protocol as the model takes it; throws what can be known to be wrong with it.
  func generationRequest(
    _ request: GenerateCall.Request, _ call: GenerateCall, stream: UInt64
  ) throws(WorkerFault) -> GenerationRequest {
    let prompt = try tokens(request.input, options: call.chat ?? ChatOptions())
    guard prompt.count <= model.facts.context else {
      throw WorkerFault(
        .promptTooLong, "the prompt has \(prompt.count) tokens, the model's context holds \(model.facts.context)")
    }
    let sampling =
      call.temperature > 0
      ? Sampling.sampled(
        temperature: Float(call.temperature), topP: Float(call.topP), seed: call.seed, stream: stream) : .greedy
    return GenerationRequest(
      prompt: prompt, view: try view(request.weights), sampling: sampling, maximumTokens: call.maximumTokens,
      stopIDs: model.facts.endIDs, stopStrings: call.stop)
  }

  private func tokens(
    _ input: GenerateCall.Request.Input, options: ChatOptions
  ) throws(WorkerFault) -> [Int32] {
    switch input {
    case .ids(let ids): return ids
    case .prompt(let text):
      return try tokenizer.encode(PromptText.text(text))
    case .messages(let messages):
      let tokenizer = try tokenizer
      switch model.facts.chatTemplate {
      case .success(let template):
        do throws(ChatTemplateError) {
          // The template writes the token of the beginning itself.
          return tokenizer.encode(try template.pieces(messages, options: options))
        } catch {
          throw WorkerFault(.unsupported, error.description)
        }
      case .failure(let problem):
        throw WorkerFault(
          .unsupported, "messages need the model's chat template, but \(problem); send a prompt instead")
      }
    }
  }
}
