import Registry
import RPCProtocol
import RPCServer
import StrictJSON

/// A connection that follows the events.
struct Subscriber {
  var connection: RPCConnection
  /// Nil: all kinds.
  var kinds: [String]?
}

extension Steward {
  /// Sends an event to those who follow; dead connections are forgotten.
  func tell(_ event: EventRecord) {
    subscribers.removeAll { !$0.connection.isConnected }
    guard !subscribers.isEmpty else { return }
    let line = RPCAnswer.notification(method: "event", params: event.json)
    for subscriber in subscribers where subscriber.kinds?.contains(where: { sameName($0, event.kind) }) ?? true {
      subscriber.connection.notify(line: line)
    }
  }

  /// An event that is no part of another change.
  func note(_ kind: String, _ subject: String, _ detail: JSONObject) {
    attempt("record an event") { () throws(RegistryError) in
      _ = try change { () throws(RegistryError) in try catalogue.record(kind, subject, detail, now: .now) }
    }
  }
}
