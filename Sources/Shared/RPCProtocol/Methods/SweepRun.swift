package import Records
import Results
package import Settings

package enum SweepRun: RPCMethodDeclaration {
  package static let name = "sweep.run"
  package static let access = RPCMethod.Access.change
  package static let verb = "sweep"
  package static let since = 2
  package static let summary =
    "Searches a task's mixture for every number of shots and every budget, and publishes none; a job."
  package static let resultNotes = "the job's result: \(MemberNames(of: SweepResult.self).text)"

  package struct Parameters: Record {
    @Setting("the task's name, which must have eval rows") package var task: String
    @Setting(modelSummary) package var model: String?
    @Setting(
      "numbers of shots, drawn from the few-shot rows by the seed; default as for task.adapt", 1...100_000)
    package var shots: [Int]?
    @Setting("how far a search goes: generations, as 20, or evaluations, as 500p") package var budgets: [String]?
    @Setting("number of seeds, one after the other", 1...100) package var seeds = 2
    @Setting("only these experts; default all active ones") package var experts: [String]?
    @Included(without: ["shots", "budget", "budget_prompts", "budget_seconds"]) package var settings = SearchSettings()
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var job: Int64
    package var task: String
    package var model: String
    package var searches: Int

    package init(job: Int64, task: String, model: String, searches: Int) {
      self.job = job
      self.task = task
      self.model = model
      self.searches = searches
    }
  }
}
