package import Records
import Results

package enum MixtureAblate: RPCMethodDeclaration {
  package static let name = "mixture.ablate"
  package static let access = RPCMethod.Access.change
  package static let verb = "mixture ablate"
  package static let since = 3
  package static let summary =
    "Scores what a task is served on its eval rows, whole and without each of its experts; a job."
  package static let resultNotes =
    "stale_reason where the mixture is stale; the job's result: \(MemberNames(of: AblateResult.self).text)"

  package struct Parameters: Record {
    @Setting("the task's name, which must have eval rows") package var task: String
    @Setting(modelSummary) package var model: String?
    @Setting("only the first N eval rows", 1...1_000_000) package var limit: Int?
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var job: Int64
    package var task: String
    package var model: String
    /// Of the mixture that is scored.
    package var generation: Int64
    /// Those that are left out in turn; of an expert whose coefficients are 0 nothing is to be left out.
    package var experts: [String]
    package var staleReason: String?

    package init(
      job: Int64, task: String, model: String, generation: Int64, experts: [String], staleReason: String?
    ) {
      self.job = job
      self.task = task
      self.model = model
      self.generation = generation
      self.experts = experts
      self.staleReason = staleReason
    }
  }
}
