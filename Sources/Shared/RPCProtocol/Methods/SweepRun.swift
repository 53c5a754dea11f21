package import Records
package import Settings
package import StrictJSON

package enum SweepRun: RPCMethodDeclaration {
  package static let name = "sweep.run"
  package static let access = RPCMethod.Access.change
  package static let verb = "sweep"
  package static let since = 2
  package static let summary =
    "Searches a task's mixture for every number of shots and every budget, and publishes none; a job."
  package static let resultSummary =
    "job, task, model, searches; the job's result holds base {value, n, ci95}, best_experts, cells [{shots, budget "
    + "{iterations or prompts}, seed, shot_ids, method, alpha, scores {fit, held_out}, eval {value, n, ci95, versus_base, "
    + "versus_best_expert}, served, served_eval, prompts, seconds, stop_reason, warnings}]"

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

  package typealias Result = JSONValue
}
