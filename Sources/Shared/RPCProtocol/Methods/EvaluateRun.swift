package import Multipliers
package import Records
package import Results
package import Settings
package import StrictJSON

package enum EvaluateRun: RPCMethodDeclaration {
  package static let name = "evaluate.run"
  package static let access = RPCMethod.Access.change
  package static let verb = "evaluate"
  package static let summary =
    "Scores a model on the evaluation rows of a task, under one strategy or under all side by side; a job."
  package static let resultNotes =
    "columns and skipped are of compare; the job's result: \(MemberNames(of: EvaluateResult.self).text), where the first "
    + "pass chose with each item's label; with compare: \(MemberNames(of: CompareResult.self).text)"

  package struct Parameters: Record {
    @Setting("the task's name") package var task: String
    @Setting(modelSummary) package var model: String?
    @Setting("the model as it is; the default") package var base = false
    @Setting(expertSummary) package var expert: String?
    @Setting("the task's own mixture") package var mixture = false
    @Setting("a mixture of one's own: coefficients by expert", as: .coefficients) package var alpha: JSONObject?
    @Setting("how alpha mixes; default by the experts' rescale") package var mix: MixRule?
    @Setting("which weights answer a row; prompt and classifier decide it row by row")
    package var strategy: DispatchStrategy?
    @Setting("the base, every active expert and the strategies on the same rows") package var compare = false
    @Included package var decision = DecisionParameters()
    @Setting("which rows", as: .choice(["eval", "fewshot", "train"])) package var rows = RowSplit.eval
    @Setting("only the first N rows", 1...1_000_000) package var limit: Int?
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var job: Int64
    /// Of a comparison.
    package var columns: [String]?
    package var skipped: [CompareResult.Skipped]?

    package init(job: Int64, columns: [String]? = nil, skipped: [CompareResult.Skipped]? = nil) {
      self.job = job
      self.columns = columns
      self.skipped = skipped
    }
  }
}
