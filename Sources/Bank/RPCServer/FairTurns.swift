import SystemSupport

/// Whose turn it is: users in turn, and of each user those who act for it, its connections, in turn. So a user with many
/// connections gets the share of one.
///
/// Whoever was taken and has more to do is put again, behind the others. Once the lines have grown nothing is allocated.
package struct FairTurns<Member> {
  /// One user's line. Who keeps it between two turns keeps its memory.
  package final class User {
    fileprivate var line = FIFO<Member>()

    package init() {}

    package var isWaiting: Bool { !line.isEmpty }
  }

  /// Exactly those users whose line is not empty.
  private var users = FIFO<User>()

  package init() {}

  package var isEmpty: Bool { users.isEmpty }

  package mutating func put(_ member: Member, of user: User) {
    if !user.isWaiting { users.append(user) }
    user.line.append(member)
  }

  package mutating func next() -> Member? {
    guard let user = users.popFirst(), let member = user.line.popFirst() else { return nil }
    if user.isWaiting { users.append(user) }
    return member
  }
}
