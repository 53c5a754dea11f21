package import Records

package enum JobWait: RPCMethodDeclaration {
  package static let name = "job.wait"
  package static let access = RPCMethod.Access.read
  package static let verb = "job wait"
  package static let summary = "Answers when the job has ended, or when the time is up, with its state then."
  package static let resultSummary = "as job.show"

  package struct Parameters: Record {
    @Setting("its number", 1...Int64.max) package var job: Int64
    @Setting("how long to wait, in milliseconds", 0...600_000, name: "timeout_ms") package var timeout = 60_000
    package init() {}
  }

  package typealias Result = Job
}
