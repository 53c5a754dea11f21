package import Multipliers
package import Records
package import Settings
package import StrictJSON

// What several methods ask for in the same words.

let modelSummary = "the model; default the task's, the configured default, or the only one"
let expertSummary = "NAME or NAME@VERSION"

/// Which weights see a text: nothing is the base; otherwise one of expert, mixture, alpha.
package struct WeightParameters: Record {
  @Setting(modelSummary) package var model: String?
  @Setting(expertSummary) package var expert: String?
  @Setting("the mixture of this task") package var mixture: String?
  @Setting("a mixture of one's own: coefficients by expert", as: .coefficients) package var alpha: JSONObject?
  @Setting("how alpha mixes; default by the experts' rescale") package var mix: MixRule?
  package init() {}
}

/// How the first pass is read, and who decides.
package struct DecisionParameters: Record {
  @Setting(
    "how the decision is read: the likeliest label, or the last \\boxed{} of an answer; default score for small models")
  package var read: DecisionReading?
  @Setting("for classifier: the dispatcher expert, where there are several, as NAME or NAME@VERSION")
  package var dispatcher: String?
  package init() {}
}
