package import Records
package import Settings

package enum JobList: RPCMethodDeclaration {
  package static let name = "job.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "job list"
  package static let summary = "The newest jobs."

  package struct Parameters: Record {
    @Setting("only jobs in this state") package var state: JobState?
    @Setting("at most N, the newest ones", 1...10_000) package var limit = 50
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var jobs: [JobRow]
    package init(jobs: [JobRow]) { self.jobs = jobs }
  }
}
