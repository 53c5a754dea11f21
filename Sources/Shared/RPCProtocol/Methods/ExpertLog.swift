package import Records

package enum ExpertLog: RPCMethodDeclaration {
  package static let name = "expert.log"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert log"
  package static let summary = "What happened to an expert: versions, promotions, who and why."
  package static let resultNotes =
    "event is expert.version, .promoted, .rolled_back, .retired, .quarantined, or check.done, each with its own members"

  package struct Parameters: Record {
    @Setting("its name") package var expert: String
    @Included package var page = PageParameters()
    package init() {}
  }

  package struct Result: PagedResult, Equatable {
    package var name: String
    /// Oldest first; a further page has what was before.
    package var events: [Event]
    package var next: String?

    package init(name: String, events: [Event], next: String? = nil) {
      (self.name, self.events, self.next) = (name, events, next)
    }

    package mutating func append(_ page: Self) {
      events = page.events + events
      next = page.next
    }

    package var rowCount: Int { events.count }
  }

  /// What each kind of event has.
  package struct Event: Codable, Sendable, Equatable {
    package var sequence: Int64
    package var time: String
    package var event: String
    package var subject: String
    package var check: Int64?
    package var kind: String?
    package var version: Int?
    package var model: String?
    package var digest: String?
    package var task: String?
    package var verdict: String?
    package var p: Double?
    package var effect: Double?
    package var passes: Bool?
    package var action: String?
    package var job: Int64?
    package var checkKind: String?
    package var who: String?
    package var reason: String?
    package var from: Int?
    package var to: Int?
    package var file: String?
  }
}
