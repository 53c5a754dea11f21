package import Records
package import Settings
package import StrictJSON

package enum Score: RPCMethodDeclaration {
  package static let name = "score"
  package static let access = RPCMethod.Access.read
  package static let verb = "score"
  package static let summary = "Log-probabilities of a continuation, token by token."
  package static let resultSummary =
    "prompt_ids, continuation_ids, logprobs, sum, top [{id, logit, text}], model, weights"

  package struct Parameters: Record {
    @Setting("what stands before; or prompt_ids") package var prompt: TextOrTokens?
    @Setting("what is scored; or continuation_ids") package var continuation: TextOrTokens?
    @Setting("instead of prompt; all that a model without tokenizer takes", as: .tokens, name: "prompt_ids")
    package var promptIDs: [Int32]?
    @Setting("instead of continuation", as: .tokens, name: "continuation_ids") package var continuationIDs: [Int32]?
    @Included package var weights = WeightParameters()
    @Setting("return the N largest logits at the first continuation position", 0...1_000) package var top = 0
    @Setting("recognise the text of special tokens") package var special = false
    package init() {}
  }

  package typealias Result = JSONValue
}
