package import Records
package import Settings

package enum RemovalList: RPCMethodDeclaration {
  package static let name = "removal.list"
  package static let since = 4
  package static let access = RPCMethod.Access.read
  package static let verb = "removal list"
  package static let summary = "What was removed, by whom and why, the newest first."

  package struct Parameters: Record {
    @Included package var page = PageParameters()
    package init() {}
  }

  package struct Result: PagedResult, Equatable {
    package var removals: [RemovalRow]
    package var next: String?

    package init(removals: [RemovalRow], next: String? = nil) {
      (self.removals, self.next) = (removals, next)
    }

    package mutating func append(_ page: Self) {
      removals += page.removals
      next = page.next
    }

    package var rowCount: Int { removals.count }
  }
}

package struct RemovalRow: Codable, Sendable, Equatable {
  /// Its number.
  package var removal: Int64
  package var kind: RemovalKind
  package var name: String
  @NullWhenAbsent package var version: Int?
  package var state: RemovalState
  package var who: String
  package var reason: String
  package var time: String
  /// When it was undone, or its files were given up.
  @NullWhenAbsent package var ended: String?
  /// Of one that can be undone: before that it can be, whatever gc does.
  @NullWhenAbsent package var keptUntil: String?

  package init(
    removal: Int64, kind: RemovalKind, name: String, version: Int?, state: RemovalState, who: String, reason: String,
    time: String, ended: String?, keptUntil: String?
  ) {
    (self.removal, self.kind, self.name, self.state, self.who) = (removal, kind, name, state, who)
    (self.reason, self.time) = (reason, time)
    self.version = version
    self.ended = ended
    self.keptUntil = keptUntil
  }
}
