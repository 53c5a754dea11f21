package import Records
package import StrictJSON

package enum CheckList: RPCMethodDeclaration {
  package static let name = "check.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "check list"
  package static let summary = "The newest checks, and those that are on their way."
  package static let resultSummary =
    "checks [{check, kind, expert, version, model, task, verdict, passes, metric, n, split, p, effect, ci95, "
    + "scores {base, expert, shuffles}, action, job, time}], pending [{job, kind, expert, version, model, task, state}]"

  package struct Parameters: Record {
    @Setting("only those of this expert") package var expert: String?
    @Setting("at most N, the newest ones", 1...10_000) package var limit = 100
    package init() {}
  }

  package typealias Result = JSONValue
}
