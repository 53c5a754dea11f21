package import Records
package import Results
package import Settings

/// Compare an expert with shuffled copies of itself, and with the base, on the rows of a task.
package struct CheckSpec: JobSpec {
  package typealias Result = CheckResult

  @Setting(name: "check") package var kind: CheckKind
  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  @Setting() package var expert: ExpertReference
  /// How many permutations; the k-th is drawn from `seed` + k.
  @Setting package var shuffles = 5
  @Setting package var seed: UInt64 = 1
  /// At most this many rows, the first ones; nil: all.
  @Setting() package var rows: Int?

  package init() {}

  package init(
    kind: CheckKind, model: ModelReference, task: TaskReference, expert: ExpertReference, shuffles: Int = 5,
    seed: UInt64 = 1, rows: Int? = nil
  ) {
    self.kind = kind
    self.model = model
    self.task = task
    self.expert = expert
    self.shuffles = shuffles
    self.seed = seed
    self.rows = rows
  }
}

extension CheckResult: WorkerResult {}
