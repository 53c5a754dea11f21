package import Records
package import Settings

package enum JobCancel: RPCMethodDeclaration {
  package static let name = "job.cancel"
  package static let access = RPCMethod.Access.change
  package static let verb = "job cancel"
  package static let summary = "Ends a job that is queued or running."

  package struct Parameters: Record {
    @Setting("its number", 1...Int64.max) package var job: Int64
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var job: Int64
    /// What it is now: cancelled, or as it ended before.
    package var state: JobState

    package init(job: Int64, state: JobState) {
      self.job = job
      self.state = state
    }
  }
}
