import Records
package import StrictJSON

package enum SystemStatus: RPCMethodDeclaration {
  package static let name = "system.status"
  package static let access = RPCMethod.Access.read
  package static let verb = "status"
  package static let summary = "What runs, what is queued, what needs attention."
  package static let resultSummary =
    "version, pid, uptime_seconds, generation, spool {experts, tasks}, models, experts, tasks, mixtures, "
    + "jobs {queued, running}, running, queue, worker {state, pid, memory_bytes, memory_limit_bytes, blas {running, "
    + "deserved, too_old}}, connections, memory_bytes, warnings"

  package struct Parameters: Record {
    package init() {}
  }

  package typealias Result = JSONValue
}
