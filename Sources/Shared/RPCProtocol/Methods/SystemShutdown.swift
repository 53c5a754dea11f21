import Records
package import StrictJSON

package enum SystemShutdown: RPCMethodDeclaration {
  package static let name = "system.shutdown"
  package static let access = RPCMethod.Access.change
  package static let verb = "rpc system.shutdown"
  package static let summary = "Ends the daemon after this answer."
  package static let resultSummary = "pid"

  package struct Parameters: Record {
    package init() {}
  }

  package typealias Result = JSONValue
}
