package import Records
package import StrictJSON

package enum JobCancel: RPCMethodDeclaration {
  package static let name = "job.cancel"
  package static let access = RPCMethod.Access.change
  package static let verb = "job cancel"
  package static let summary = "Ends a job that is queued or running."
  package static let resultSummary = "job, state"

  package struct Parameters: Record {
    @Setting("its number", 1...Int64.max) package var job: Int64
    package init() {}
  }

  package typealias Result = JSONValue
}
