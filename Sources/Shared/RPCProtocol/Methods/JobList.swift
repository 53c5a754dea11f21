package import Records
package import Settings

package enum JobList: RPCMethodDeclaration {
  package static let name = "job.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "job list"
  package static let summary = "The newest jobs."

  package struct Parameters: Record {
    @Setting("only jobs in this state") package var state: JobState?
    @Included package var page = PageParameters()
    package init() {}
  }

  package struct Result: PagedResult, Equatable {
    package var jobs: [JobRow]
    package var next: String?

    package init(jobs: [JobRow], next: String? = nil) { (self.jobs, self.next) = (jobs, next) }

    package mutating func append(_ page: Self) {
      jobs += page.jobs
      next = page.next
    }

    package var rowCount: Int { jobs.count }
  }
}
