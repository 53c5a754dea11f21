package import Records
package import StrictJSON

package enum ExpertList: RPCMethodDeclaration {
  package static let name = "expert.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert list"
  package static let summary = "The experts, each with its newest and its active version."
  package static let resultSummary =
    "experts [{name, label, version, active, state, model, kind, digest, bytes, added, warnings}], "
    + "rejected [{path, kind, message}]"

  package struct Parameters: Record {
    @Setting("only those of this model") package var model: String?
    @Setting("every version, retired ones too") package var all = false
    package init() {}
  }

  package typealias Result = JSONValue
}
