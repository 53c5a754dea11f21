import SystemSupport

/// Requests that wait, each of a connection of a user: users in turn, the connections of a user in turn, and the requests
/// of one connection in their order.
package struct FairQueue<Request> {
  /// What one connection waits for.
  private final class Line {
    let user: UInt32
    let connection: UInt64
    var requests = FIFO<Request>()

    init(user: UInt32, connection: UInt64) {
      self.user = user
      self.connection = connection
    }
  }

  private var turns = FairTurns<Line>()
  /// Those of connections and users that wait for something.
  private var lines: [UInt64: Line] = [:]
  private var users: [UInt32: FairTurns<Line>.User] = [:]

  package init() {}

  package var isEmpty: Bool { turns.isEmpty }

  package mutating func put(_ request: Request, user: UInt32, connection: UInt64) {
    let line = lines[connection] ?? Line(user: user, connection: connection)
    if line.requests.isEmpty {
      lines[connection] = line
      turns.put(line, of: place(of: user))
    }
    line.requests.append(request)
  }

  package mutating func next() -> Request? {
    guard let line = turns.next(), let request = line.requests.popFirst() else { return nil }
    let user = place(of: line.user)
    if !line.requests.isEmpty {
      turns.put(line, of: user)
    } else {
      lines[line.connection] = nil
      if !user.isWaiting { users[line.user] = nil }
    }
    return request
  }

  private mutating func place(of user: UInt32) -> FairTurns<Line>.User {
    if let place = users[user] { return place }
    let place = FairTurns<Line>.User()
    users[user] = place
    return place
  }
}
