package import Records
package import Settings

package enum TaskAdapt: RPCMethodDeclaration {
  package static let name = "task.adapt"
  package static let access = RPCMethod.Access.change
  package static let verb = "task adapt"
  package static let summary = "Queues a search for the best mixture."

  package struct Parameters: Record {
    @Setting("its name") package var task: String
    @Setting(modelSummary) package var model: String?
    @Setting("only these experts; default all active ones") package var experts: [String]?
    @Included(renaming: ["method": "search"]) package var settings = SearchSettings()
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var job: Int64
    package var task: String
    package var model: String

    package init(job: Int64, task: String, model: String) {
      (self.job, self.task, self.model) = (job, task, model)
    }
  }
}
