package import StrictJSON

/// A population whose leaders a method wants to know.
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

/// A point at which a method wants to know the score, or the score and which way the log-likelihood rises.
package struct PointRequest: Sendable, Equatable {
  package var generation: Int
  /// Anywhere in the box: it need not lie on the grid.
  package var point: [Double]

  package init(generation: Int, point: [Double]) {
    self.generation = generation
    self.point = point
  }
}

package struct PointGradient: Sendable, Equatable {
  package var score: MemberScore
  /// Of the score's log-likelihood, by the coefficients of the mixture at the point (after they were normalised, where
  /// they are), expert by expert like the point itself.
  package var gradient: [Double]

  package init(score: MemberScore, gradient: [Double]) {
    self.score = score
    self.gradient = gradient
  }
}

/// What a method wants to know next.
package enum Question: Sendable, Equatable {
  case ranking(Proposal)
  case value(PointRequest)
  case gradient(PointRequest)

  var generation: Int {
    switch self {
    case .ranking(let proposal): proposal.generation
    case .value(let request), .gradient(let request): request.generation
    }
  }
}

/// Of the same case as the question.
package enum Answer: Sendable, Equatable {
  /// The leading members, best first.
  case ranking([RankedMember])
  case value(MemberScore)
  case gradient(PointGradient)
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

  /// Whether the method itself saw that going on is of no use.
  package var isConvergence: Bool { self == .converged || self == .stalled }
}

/// A search as a pure struct: it asks a question and is told the answer. No clock, no model, no randomness but what its
/// seed and the counters give; so it is tested with invented scores, and the same answers lead to the same end.
package protocol SearchMethod: Sendable {
  static var name: String { get }
  /// Whether the search on all shots begins when those without a fold have ended, and is told what they found.
  static var followsFolds: Bool { get }

  /// Told before the first question what is known already, and costs nothing: the baselines that are points of the space,
  /// and what the searches found that it follows.
  mutating func begin(knowing scores: [(point: [Double], score: MemberScore)])

  /// Nil once the search has ended. Asking twice without answering gives the same question.
  var question: Question? { get }
  mutating func take(_ answer: Answer)

  /// The best point so far and its score; nil before the first generation was told.
  var best: (point: [Double], score: MemberScore)? { get }
  var generation: Int { get }
  var stopReason: StopReason? { get }
  /// Evaluations of each shot that it might still have asked for when it ended: what its convergence saved.
  var unspent: Int { get }
  /// The mean over the coefficients of the spread that the next generation is drawn with; nil where none is.
  var spread: Double? { get }

  /// All that changes from one generation to the next: a journal that is replayed must come to the same, to the bit.
  var state: JSONValue { get }
}

extension SearchMethod {
  package static var followsFolds: Bool { false }

  /// Most methods begin in the middle, whatever is known.
  package mutating func begin(knowing scores: [(point: [Double], score: MemberScore)]) {}
  package var spread: Double? { nil }
}
