package import StrictJSON

// What the states of all methods hold, in JSON that keeps every bit.

extension MemberScore {
  /// Two numbers, −∞ being null.
  package var json: JSONValue { .array([score, logLikelihood].map { $0.isFinite ? .number($0) : .null }) }
}

func list(_ values: [Double]) -> JSONValue { .array(values.map { .number($0) }) }

func store(_ best: (point: [Double], score: MemberScore)?, in object: inout JSONObject) {
  guard let best else { return }
  object["best"] = list(best.point)
  object["best_score"] = best.score.json
}
