import Records
package import StrictJSON

package enum MixtureList: RPCMethodDeclaration {
  package static let name = "mixture.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "mixture list"
  package static let summary = "The mixtures that are served."
  package static let resultSummary = "mixtures [{task, model, alpha, scores, served, stale, generation, created}]"

  package struct Parameters: Record {
    package init() {}
  }

  package typealias Result = JSONValue
}
