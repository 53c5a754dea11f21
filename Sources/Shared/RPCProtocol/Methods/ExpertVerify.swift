package import Records
package import StrictJSON

package enum ExpertVerify: RPCMethodDeclaration {
  package static let name = "expert.verify"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert verify"
  package static let summary = "Reads an expert file by every rule, and stores nothing."
  package static let resultSummary = "ok, name, model, digest, matrices, warnings, error {kind, message}"

  package struct Parameters: Record {
    @Setting("absolute path of the file, readable by the daemon") package var path: String
    @Setting("the model that it should fit") package var model: String?
    package init() {}
  }

  package typealias Result = JSONValue
}
