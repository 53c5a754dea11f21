package import Records
package import Settings
package import StrictJSON

package enum Generate: RPCMethodDeclaration {
  package static let name = "generate"
  package static let access = RPCMethod.Access.read
  package static let verb = "ask"
  package static let summary = "Answers a prompt under a strategy."
  package static let resultSummary =
    "text, ids, stop (eos, stop, length or context), strategy, model, weights, mixture_digest (null for the "
    + "base), decision (as dispatch.run, where there was one), tokens {prompt, generated}, seconds {queue, dispatch, "
    + "prefill, decode}; with stream, notifications `part` come before it"

  package struct Parameters: Record {
    @Setting("the user's words; or messages, or prompt_ids") package var prompt: TextOrTokens?
    @Setting("a whole chat, instead of a prompt", as: .messages) package var messages: [ChatMessage]?
    @Setting(
      "token ids, continued as they are; all that a model without tokenizer takes", as: .tokens, name: "prompt_ids")
    package var promptIDs: [Int32]?
    @Setting("which weights answer; default by expert, task or alpha") package var strategy: DispatchStrategy?
    @Setting("for mixture: the task whose mixture answers") package var task: String?
    @Included package var decision = DecisionParameters()
    @Included(without: ["mixture"]) package var weights = WeightParameters()
    @Setting("the system message of the chat template") package var system: String?
    @Setting("use the model's chat template; default true where it has one") package var chat: Bool?
    @Setting("maximum number of new tokens", 1...65_536) package var maxTokens = 256
    @Setting("sampling temperature; 0 is greedy", 0...100) package var temperature = 0.0
    @Setting("sample from the smallest set of tokens with this probability", 0...1) package var topP = 1.0
    @Setting("seed of the sampling", 0...UInt64(Int64.max)) package var seed: UInt64 = 0
    @Setting("texts that end the answer") package var stop: [String] = []
    @Setting("send the answer in parts, as it is written") package var stream = false
    package init() {}
  }

  package typealias Result = JSONValue
}
