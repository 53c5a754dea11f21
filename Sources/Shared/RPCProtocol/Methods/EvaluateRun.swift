package import Multipliers
package import Records
package import Settings
package import StrictJSON

package enum EvaluateRun: RPCMethodDeclaration {
  package static let name = "evaluate.run"
  package static let access = RPCMethod.Access.change
  package static let verb = "evaluate"
  package static let summary =
    "Scores a model on the evaluation rows of a task, under one strategy or under all side by side; a job."
  package static let resultSummary =
    "job; the job's result holds n, acc and acc_norm, or exact_match, ci95, metric, template, items, and where "
    + "pass one chose labels [{label, expert, n, share}] and each item's label. With compare also columns and skipped "
    + "[{column, reason}]; its job's result holds n, metric, best_expert, columns [{column, strategy, score, ci95, "
    + "versus_base and versus_best_expert {wins, losses, p}, labels, seconds}], skipped, notes, items [{id, gold, "
    + "columns {right, answer, label}}]"

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

  package typealias Result = JSONValue
}
