package import Records
package import StrictJSON

package enum TaskShow: RPCMethodDeclaration {
  package static let name = "task.show"
  package static let access = RPCMethod.Access.read
  package static let verb = "task show"
  package static let summary = "One task."
  package static let resultSummary = "as in task.list, and digest, template, settings, mixtures, jobs"

  package struct Parameters: Record {
    @Setting("its name") package var task: String
    package init() {}
  }

  package typealias Result = JSONValue
}
