import StrictJSON

// What the states of all methods hold, in JSON that keeps every bit.

func numbers(_ value: JSONValue?) -> [Double]? {
  guard let values = value?.arrayValue else { return nil }
  let numbers = values.compactMap(\.doubleValue)
  return numbers.count == values.count ? numbers : nil
}

/// A score as two numbers, −∞ being null.
func scoreJSON(_ score: MemberScore) -> JSONValue {
  .array([score.score, score.logLikelihood].map { $0.isFinite ? .number($0) : .null })
}

func score(from value: JSONValue?) -> MemberScore? {
  guard let parts = value?.arrayValue, parts.count == 2 else { return nil }
  return MemberScore(score: parts[0].doubleValue ?? -.infinity, logLikelihood: parts[1].doubleValue ?? -.infinity)
}

func store(_ best: (point: [Double], score: MemberScore)?, in object: inout JSONObject) {
  guard let best else { return }
  object["best"] = .array(best.point.map { .number($0) })
  object["best_score"] = scoreJSON(best.score)
}

/// The best point of a state, which may have none.
struct StoredBest {
  let value: (point: [Double], score: MemberScore)?

  /// Nil where it cannot be read.
  init?(_ state: JSONValue, dimensions: Int) {
    guard let value = state["best"] else {
      self.value = nil
      return
    }
    guard let point = numbers(value), point.count == dimensions, let score = score(from: state["best_score"]) else {
      return nil
    }
    self.value = (point, score)
  }
}
