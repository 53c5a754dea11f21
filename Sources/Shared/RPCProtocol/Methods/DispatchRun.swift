package import Records
package import Settings
package import StrictJSON

package enum DispatchRun: RPCMethodDeclaration {
  package static let name = "dispatch.run"
  package static let access = RPCMethod.Access.read
  package static let verb = "dispatch"
  package static let since = 2
  package static let summary = "Decides which expert a prompt belongs to, and answers nothing."
  package static let resultSummary =
    "decision {label, expert, read, probabilities [{label, probability, expert}], text, note}, strategy, "
    + "dispatcher, template, model, tokens {prompt}, seconds {queue, dispatch}"

  package struct Parameters: Record {
    @Setting("the user's words") package var prompt: String
    @Setting("prompt: the base decides; classifier: a dispatcher expert does; default prompt")
    package var strategy: FirstPass?
    @Included package var decision = DecisionParameters()
    @Setting(modelSummary) package var model: String?
    package init() {}
  }

  package typealias Result = JSONValue
}
