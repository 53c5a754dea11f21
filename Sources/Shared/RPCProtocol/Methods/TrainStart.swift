package import Records
package import Settings
package import StrictJSON

package enum TrainStart: RPCMethodDeclaration {
  package static let name = "train.start"
  package static let access = RPCMethod.Access.change
  package static let verb = "train"
  package static let since = 2
  package static let summary =
    "Queues the training of an expert on a task's training rows, or of a dispatcher on those of the experts' tasks."
  package static let resultSummary =
    "job, name, kind, model, sources [{task, label, rows}], replaces (NAME@VERSION, or null), warnings; the job's "
    + "result holds name, version, previous, state, kind, objective, steps, best_step, stop_reason, warnings, "
    + "parameters, rows, training_rows, held_out {n, base, expert, each {loss, reward, acc, kl}}, curve [{step, "
    + "learning_rate, gradient_norm, batch, validation}], kl_weight, sweep [{kl_weight, best_step, stop_reason, held_out, "
    + "problem}] where several weights were tried, kernel, seconds; of method lora no version, but method, rank, and "
    + "eval {n, task, metric, template, base, lora, each {acc, acc_norm, ci95}} where there are eval rows, mixing "
    + "[{weights (base, first, second, parameters or products), share (of the second), scores [{task, n, acc, acc_norm, "
    + "ci95}]}] where two were mixed; of a dry run name, dry_run, parameters, rows, training_rows, step_tokens, "
    + "step_seconds, validation_seconds, seconds, memory_bytes, kernel"

  package struct Parameters: Record {
    @Setting("name of the expert; one that is taken gets a new version") package var name: String
    @Setting("on whose training rows, with choices or answers to generate; or dispatcher") package var task: String?
    @Setting("make a dispatcher for the active experts") package var dispatcher = false
    @Setting(modelSummary) package var model: String?
    @Setting("the dispatch category of the expert") package var label: String?
    @Setting("for lora: a second task to train on, to score mixtures of the two on both") package var mixWith: String?
    @Included package var settings = TrainingSettings()
    @Setting("train nothing, estimate time and memory") package var dryRun = false
    package init() {}
  }

  package typealias Result = JSONValue
}
