package import Records
package import StrictJSON

package enum MixtureLog: RPCMethodDeclaration {
  package static let name = "mixture.log"
  package static let access = RPCMethod.Access.read
  package static let verb = "mixture log"
  package static let summary = "What was served for a task, when, and why it changed."
  package static let resultSummary =
    "task, revisions [{generation, time, model, alpha, experts, scores, reason, job}], changes [{sequence, time, "
    + "event (mixture.published, .stale or .fresh), model, reason}]"

  package struct Parameters: Record {
    @Setting("the task's name") package var task: String
    @Setting(modelSummary) package var model: String?
    @Setting("at most N, the newest ones", 1...10_000) package var limit = 100
    package init() {}
  }

  package typealias Result = JSONValue
}
