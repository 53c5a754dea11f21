package import Records
package import StrictJSON

package enum SystemHello: RPCMethodDeclaration {
  package static let name = "system.hello"
  package static let access = RPCMethod.Access.read
  package static let verb = "rpc system.hello"
  package static let summary = "Says who the daemon is and where its directories are."
  package static let resultSummary =
    "name, version, protocol, pid, capabilities, access (read or change, of this peer), "
    + "prefix, socket, spool {experts, tasks}"

  package struct Parameters: Record {
    @Setting("the caller's name, for the log") package var client: String?
    @Setting("the caller's version, for the log") package var version: String?
    package init() {}
  }

  package typealias Result = JSONValue
}
