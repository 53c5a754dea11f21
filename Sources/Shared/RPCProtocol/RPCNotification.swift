/// What the daemon sends unasked on a connection that asked for it; t2-protocol(7) lists them, and a test compares.
package enum RPCNotification: String, CaseIterable, Sendable {
  case event
  case part

  /// One line for the manual page.
  package var summary: String {
    switch self {
    case .event: "something happened that the connection follows by events.subscribe"
    case .part: "a piece of the answer to a generate with stream that is not complete yet"
    }
  }

  /// What its params hold.
  package var params: String {
    switch self {
    case .event: "sequence, time, event, and what the kind of event has"
    case .part: "id (of the request), part (0, 1, ...), and either decision, or text and ids"
    }
  }

  var shown: SystemMethods.Notification { .init(name: rawValue, summary: summary, params: params) }
}
