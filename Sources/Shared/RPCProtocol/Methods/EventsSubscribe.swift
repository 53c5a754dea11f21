package import Records
package import StrictJSON

package enum EventsSubscribe: RPCMethodDeclaration {
  package static let name = "events.subscribe"
  package static let access = RPCMethod.Access.read
  package static let verb = "events"
  package static let summary = "The newest events; then each further one as a notification `event` on this connection."
  package static let resultSummary =
    "sequence, events [{sequence, time, event, ...}]; notification params are one such event"

  package struct Parameters: Record {
    @Setting("events after this sequence number; default the newest", 0...Int64.max) package var after: Int64?
    @Setting("at most N past events", 0...4_096) package var limit = 50
    @Setting("only these kinds") package var events: [String]?
    @Setting("send further events as they come") package var follow = true
    package init() {}
  }

  package typealias Result = JSONValue
}
