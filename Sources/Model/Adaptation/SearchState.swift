import StrictJSON

// What the states of all methods hold, in JSON that keeps every bit.

func list(_ values: [Double]) -> JSONValue { .array(values.map { .number($0) }) }

func numbers(_ value: JSONValue?) -> [Double]? {
  guard let values = value?.arrayValue else { return nil }
  let numbers = values.compactMap(\.doubleValue)
  return numbers.count == values.count ? numbers : nil
}

/// A score as two numbers, −∞ being null.
func scoreJSON(_ score: MemberScore) -> JSONValue {
  .array([score.score, score.logLikelihood].map { $0.isFinite ? .number($0) : .null })
}

func store(_ best: (point: [Double], score: MemberScore)?, in object: inout JSONObject) {
  guard let best else { return }
  object["best"] = .array(best.point.map { .number($0) })
  object["best_score"] = scoreJSON(best.score)
}
