package import Records
package import Results
package import Settings

/// Search a task's mixture again and again under settings of one kind, and publish nothing: the number of shots
/// (arXiv 2501.06252, table 8) or the budget (table 10).
package struct SweepSpec: JobSpec {
  package typealias Result = SweepResult

  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  @Setting() package var experts: [ExpertReference]
  /// What all searches have in common; its own seed, shots and budget do not count.
  @Setting package var search = SearchSettings()
  /// Every one with every one: numbers of shots, budgets, seeds.
  @Setting() package var shots: [Int]
  @Setting() package var budgets: [SweepBudget]
  @Setting() package var seeds: [UInt64]

  package init() {}

  package init(
    model: ModelReference, task: TaskReference, experts: [ExpertReference], search: SearchSettings, shots: [Int],
    budgets: [SweepBudget], seeds: [UInt64]
  ) {
    self.model = model
    self.task = task
    self.experts = experts
    self.search = search
    self.shots = shots
    self.budgets = budgets
    self.seeds = seeds
  }
}

extension SweepBudget: WorkerMessage {}
