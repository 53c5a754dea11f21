import Registry
import RPCProtocol
import RPCServer
import StrictJSON

/// The connections that follow the events. On the catalogue's thread only.
final class EventFollowers {
  private struct Follower {
    var connection: RPCConnection
    /// Nil: all kinds.
    var kinds: [String]?
  }

  private var followers: [Follower] = []

  /// From the next event on.
  func add(_ connection: RPCConnection, kinds: [String]?) {
    followers.append(Follower(connection: connection, kinds: kinds))
  }

  /// Sends an event to those who follow its kind; dead connections are forgotten.
  func tell(_ event: EventRecord) {
    followers.removeAll { !$0.connection.isConnected }
    guard !followers.isEmpty else { return }
    let line = RPCAnswer.notification(method: "event", params: event.json)
    for follower in followers where follower.kinds?.contains(where: { sameName($0, event.kind) }) ?? true {
      follower.connection.notify(line: line)
    }
  }
}
