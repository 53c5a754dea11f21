/// How one candidate does on one shot.
package struct ShotScore: Sendable, Equatable {
  /// 1 for a right answer, 0 for a wrong one.
  package var right: Double
  /// Never above 0; nil where the shot has none (a generated answer that is wrong).
  package var logLikelihood: Double?

  package init(right: Double, logLikelihood: Double?) {
    self.right = right
    // A log-softmax in float can end 1e-7 above 0, and a NaN compares with nothing: both would break the bounds.
    self.logLikelihood = logLikelihood.map { $0.isNaN ? -.infinity : min($0, 0) }
  }
}

/// Over which shots the log-likelihood is a mean (Sources/README.md, "The search").
package enum LikelihoodRule: String, Sendable {
  /// Rows with choices: the gold choice of every shot; an unscored shot is bounded by 0.
  case everyShot
  /// Generated rows: the own answer of rightly answered shots; no right answer is −∞.
  case rightShots
}

/// What a search maximises.
package enum Objective: String, Sendable, CaseIterable {
  /// Correct answers, ties by log-likelihood: the paper's.
  case accuracy
  /// Mean log-likelihood of the gold answer, ties by correct answers.
  case loglik
}

/// The worth of a candidate on a set of shots. A greater one is better.
package struct MemberScore: Sendable, Equatable {
  package var score: Double
  package var logLikelihood: Double

  package init(score: Double, logLikelihood: Double) {
    self.score = score
    self.logLikelihood = logLikelihood
  }

  /// Of a candidate that cannot be evaluated, such as one whose rescale has no denominator.
  package static let worst = MemberScore(score: -.infinity, logLikelihood: -.infinity)

  /// The score when every shot is known, an upper bound when some are not (nil).
  ///
  /// The bound is exact in floating point too: an unknown shot adds 0 where a known one adds at most 0, in the same
  /// order, and rounding keeps that order. So no member is dropped that could have been an elite.
  package init(_ shots: [ShotScore?], rule: LikelihoodRule) {
    precondition(!shots.isEmpty, "a score needs shots")
    var right = 0.0
    var sum = 0.0
    var rightCount = 0.0
    var unknown = false
    for shot in shots {
      guard let shot else {
        right += 1
        unknown = true
        continue
      }
      right += shot.right
      switch rule {
      case .everyShot: sum += shot.logLikelihood ?? -.infinity
      case .rightShots:
        if shot.right > 0 {
          sum += shot.logLikelihood ?? -.infinity
          rightCount += 1
        }
      }
    }
    score = right / Double(shots.count)
    switch rule {
    case .everyShot: logLikelihood = sum / Double(shots.count)
    // A mean over answers not yet known has no better bound than that of a certainty.
    case .rightShots: logLikelihood = unknown ? 0 : rightCount > 0 ? sum / rightCount : -.infinity
    }
  }

  /// The order of members, without the index that decides between equals.
  package func isBelow(_ other: MemberScore, by objective: Objective) -> Bool {
    switch objective {
    case .accuracy: (score, logLikelihood) < (other.score, other.logLikelihood)
    case .loglik: (logLikelihood, score) < (other.logLikelihood, other.score)
    }
  }

  /// What an objective looks at first.
  package func value(by objective: Objective) -> Double {
    switch objective {
    case .accuracy: score
    case .loglik: logLikelihood
    }
  }

  /// The mean of each part, by numbers of shots where they are given.
  package static func mean(_ scores: [MemberScore], weights: [Int]? = nil) -> MemberScore {
    precondition(!scores.isEmpty, "a mean needs scores")
    let weights = weights?.map { Double($0) } ?? scores.map { _ in 1 }
    let total = weights.reduce(0, +)
    return MemberScore(
      score: zip(weights, scores).reduce(0) { $0 + $1.0 * $1.1.score } / total,
      logLikelihood: zip(weights, scores).reduce(0) { $0 + $1.0 * $1.1.logLikelihood } / total)
  }
}
