import Records
package import StrictJSON

package enum SystemSync: RPCMethodDeclaration {
  package static let name = "system.sync"
  package static let access = RPCMethod.Access.read
  package static let verb = "sync"
  package static let summary =
    "Answers once everything that lay in the watched directories before the call has been seen and decided upon."
  package static let resultSummary = "generation, experts, tasks, rejected [{path, kind, message}]"

  package struct Parameters: Record {
    @Setting("how long to wait, in milliseconds", 0...600_000, name: "timeout_ms") package var timeout = 30_000
    package init() {}
  }

  package typealias Result = JSONValue
}
