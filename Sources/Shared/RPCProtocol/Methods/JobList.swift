package import Records
package import Settings
package import StrictJSON

package enum JobList: RPCMethodDeclaration {
  package static let name = "job.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "job list"
  package static let summary = "The newest jobs."
  package static let resultSummary =
    "jobs [{job, kind, state, task, model, fraction, phase, detail, best, eta_seconds, created, started, ended}]"

  package struct Parameters: Record {
    @Setting("only jobs in this state") package var state: JobState?
    @Setting("at most N, the newest ones", 1...10_000) package var limit = 50
    package init() {}
  }

  package typealias Result = JSONValue
}
