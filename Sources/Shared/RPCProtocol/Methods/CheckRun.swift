package import Records
package import Settings

package enum CheckRun: RPCMethodDeclaration {
  package static let name = "check.run"
  package static let access = RPCMethod.Access.change
  package static let verb = "check transfer"
  package static let summary =
    "Queues a check: an expert against shuffled copies of itself and the base, on its model or on another one."
  package static let resultNotes =
    "the job's result is as check.show"

  package struct Parameters: Record {
    @Setting("on its own model, or on another one of the same shapes") package var kind: CheckKind
    @Setting(expertSummary) package var expert: String
    @Setting("for transfer: the model that it is tried on") package var model: String?
    @Setting("on whose eval rows; default the expert's own task") package var task: String?
    @Setting("number of shuffles; default as configured", 1...1_000) package var seeds: Int?
    @Setting("only the first N rows; default as configured", 1...1_000_000) package var rows: Int?
    @Setting("seed of the first shuffle; default as configured", 0...Int64.max) package var seed: Int64?
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var job: Int64
    package var kind: CheckKind
    package var expert: String
    package var version: Int
    package var model: String
    package var task: String
    /// `eval` or `fewshot`.
    package var rows: RowSplit

    package init(
      job: Int64, kind: CheckKind, expert: String, version: Int, model: String, task: String, rows: RowSplit
    ) {
      (self.job, self.kind, self.expert, self.version, self.model, self.task, self.rows) = (
        job, kind, expert, version, model, task, rows
      )
    }
  }
}
