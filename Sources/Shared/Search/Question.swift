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

  package var generation: Int {
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
