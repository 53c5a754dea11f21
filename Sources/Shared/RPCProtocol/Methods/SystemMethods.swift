import Records
package import StrictJSON

package enum SystemMethods: RPCMethodDeclaration {
  package static let name = "system.methods"
  package static let access = RPCMethod.Access.read
  package static let verb = "methods"
  package static let summary = "Lists the methods with their parameters."
  package static let resultSummary = "protocol, methods, notifications [{name, summary, params}]"

  package struct Parameters: Record {
    package init() {}
  }

  package typealias Result = JSONValue
}
