package import Records
package import StrictJSON

package enum ExpertLog: RPCMethodDeclaration {
  package static let name = "expert.log"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert log"
  package static let summary = "What happened to an expert: versions, promotions, who and why."
  package static let resultSummary = "name, events [{sequence, time, event, version, from, to, who, reason}]"

  package struct Parameters: Record {
    @Setting("its name") package var expert: String
    @Setting("at most N events, the newest ones", 1...10_000) package var limit = 100
    package init() {}
  }

  package typealias Result = JSONValue
}
