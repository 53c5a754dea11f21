package import Records
package import StrictJSON

package enum TaskRegister: RPCMethodDeclaration {
  package static let name = "task.register"
  package static let access = RPCMethod.Access.change
  package static let verb = "task register"
  package static let summary =
    "Binds a task whose files lie in the watched directory to a model, and queues its adaptation."
  package static let resultSummary = "name, revision, rows, eval_rows, state, model, job"

  package struct Parameters: Record {
    @Setting("its name") package var task: String
    @Setting("the only model to adapt it on; default every model with experts") package var model: String?
    package init() {}
  }

  package typealias Result = JSONValue
}
