package import Records
package import StrictJSON

package enum ExpertPromote: RPCMethodDeclaration {
  package static let name = "expert.promote"
  package static let access = RPCMethod.Access.change
  package static let verb = "expert promote"
  package static let summary = "Makes a version the active one."
  package static let resultSummary = "name, version, state, active, previous"

  package struct Parameters: Record {
    @Setting("NAME@VERSION") package var expert: String
    @Setting("for the journal") package var reason: String?
    @Setting("although it was made for another base model") package var allowBase = false
    @Setting("although a check has quarantined it") package var allowQuarantined = false
    package init() {}
  }

  package typealias Result = JSONValue
}
