package import Records

package enum JobShow: RPCMethodDeclaration {
  package static let name = "job.show"
  package static let access = RPCMethod.Access.read
  package static let verb = "job show"
  package static let summary = "One job."
  package static let resultNotes =
    "spec and result are of the job's kind: of a search as mixture.get, and the history of each configuration and "
    + "eval_items, the rows that were won and lost; of a training that ended badly the curve as far as it came"

  package struct Parameters: Record {
    @Setting("its number", 1...Int64.max) package var job: Int64
    package init() {}
  }

  package typealias Result = Job
}
