package import Records
package import StrictJSON

package enum MixtureGet: RPCMethodDeclaration {
  package static let name = "mixture.get"
  package static let access = RPCMethod.Access.read
  package static let verb = "mixture get"
  package static let summary = "The best mixture of a task, from memory."
  package static let resultSummary =
    "task, model, alpha {expert: coefficient or list}, granularity, mix, rescale, units, experts [{name, version, "
    + "digest}], scores {metric, base, experts, uniform, mixture, each {fit, held_out, eval}}, served, stale, stale_reason, "
    + "generation, created, digest, task_digest, base_digest, inputs_digest (of all that it depends on), vectors {path, "
    + "digest, bytes}; or not_modified and generation"

  package struct Parameters: Record {
    @Setting("the task's name") package var task: String
    @Setting(modelSummary) package var model: String?
    @Setting("answer not_modified where this is still the generation", 0...Int64.max) package var ifGeneration: Int64?
    @Setting("send the open vectors file along (SCM_RIGHTS)") package var passFD = false
    package init() {}
  }

  package typealias Result = JSONValue
}
