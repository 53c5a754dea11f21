import Records
package import StrictJSON

package enum ModelList: RPCMethodDeclaration {
  package static let name = "model.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "model list"
  package static let summary = "The registered models."
  package static let resultSummary =
    "models [{name, state, architecture, parameters, layers, context, quantization, digest, path, experts}]"

  package struct Parameters: Record {
    package init() {}
  }

  package typealias Result = JSONValue
}
