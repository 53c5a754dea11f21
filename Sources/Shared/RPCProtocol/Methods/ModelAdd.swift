package import Records
package import StrictJSON

package enum ModelAdd: RPCMethodDeclaration {
  package static let name = "model.add"
  package static let access = RPCMethod.Access.change
  package static let verb = "model add"
  package static let summary =
    "Registers a base model; digest and factorization are a job. The same model again is no error."
  package static let resultSummary = "name, path, state, job (where one was started)"

  package struct Parameters: Record {
    @Setting("absolute path of a .gguf file or a Hugging Face directory, readable by the daemon")
    package var path: String
    @Setting("its name here; default the file's name") package var name: String?
    package init() {}
  }

  package typealias Result = JSONValue
}
