package import StrictJSON

/// What a method wants to know next.
package struct Proposal: Sendable, Equatable {
  package var generation: Int
  /// Points of the space, on its grid.
  package var members: [[Double]]
  /// How many places of the ranking must be exact; what cannot reach them need not be scored to its end.
  package var leaders: Int

  package init(generation: Int, members: [[Double]], leaders: Int) {
    self.generation = generation
    self.members = members
    self.leaders = leaders
  }
}

/// One of the leading members of a proposal.
package struct RankedMember: Sendable, Equatable {
  package var member: Int
  package var score: MemberScore

  package init(member: Int, score: MemberScore) {
    self.member = member
    self.score = score
  }
}

/// Why a search ended.
package enum StopReason: String, Sendable, CaseIterable {
  /// Every spread is at its floor.
  case converged
  /// The best member has not changed for several generations.
  case stalled
  case iterations
  case promptBudget = "prompt_budget"
  case secondsBudget = "seconds_budget"
}

/// A search as a pure struct: it proposes points and is told their ranking. No clock, no model, no randomness but what its
/// seed and the counters give; so it is tested with invented scores and continues bit for bit from its state.
package protocol SearchMethod: Sendable {
  static var name: String { get }

  /// The next points to score; nil once it has ended. Asking twice without telling gives the same answer.
  func ask() -> Proposal?
  /// The leading members of the last proposal, best first.
  mutating func tell(_ leaders: [RankedMember])

  /// The best point so far and its score; nil before the first generation was told.
  var best: (point: [Double], score: MemberScore)? { get }
  var generation: Int { get }
  var stopReason: StopReason? { get }

  /// All that changes from one generation to the next, exactly: numbers read back are the same numbers.
  var state: JSONValue { get }
  mutating func restore(_ state: JSONValue) -> Bool
}
