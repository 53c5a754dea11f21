package import Records
package import StrictJSON

package enum ExpertShow: RPCMethodDeclaration {
  package static let name = "expert.show"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert show"
  package static let summary = "One version of an expert; the active one, else the newest, unless named."
  package static let resultSummary =
    "name, version, versions, state, active, label, kind, model, digest, bytes, param_space, max_mult, rescale, "
    + "base {model_id, digest, arch}, metadata, warnings, checks (as in check.list), unchecked_because, quarantine "
    + "{kind, check, check_kind, task, model}, added, matrices"

  package struct Parameters: Record {
    @Setting(expertSummary) package var expert: String
    package init() {}
  }

  package typealias Result = JSONValue
}
