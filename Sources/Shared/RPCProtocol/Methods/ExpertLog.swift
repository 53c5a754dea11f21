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
    @Setting("at most N events, the newest ones", 1...10_000) package var limit = 100
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var name: String
    /// Oldest first.
    package var events: [Event]

    package init(name: String, events: [Event]) {
      (self.name, self.events) = (name, events)
    }
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
