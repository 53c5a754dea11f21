package import Records
package import StrictJSON

package enum ExpertExport: RPCMethodDeclaration {
  package static let name = "expert.export"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert export"
  package static let summary = "The stored file of a version, as it came."
  package static let resultSummary =
    "name, version, digest, path, bytes; with pass_fd the open descriptor comes along (SCM_RIGHTS)"

  package struct Parameters: Record {
    @Setting(expertSummary) package var expert: String
    @Setting("send the open file along (SCM_RIGHTS)") package var passFD = false
    package init() {}
  }

  package typealias Result = JSONValue
}
