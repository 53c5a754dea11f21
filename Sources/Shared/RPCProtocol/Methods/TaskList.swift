import Records
package import StrictJSON

package enum TaskList: RPCMethodDeclaration {
  package static let name = "task.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "task list"
  package static let summary = "The tasks and the state of their mixtures."
  package static let resultSummary =
    "tasks [{name, revision, rows, eval_rows, scoring, metric, models, state, job, stale}], "
    + "rejected [{path, kind, message}]"

  package struct Parameters: Record {
    package init() {}
  }

  package typealias Result = JSONValue
}
