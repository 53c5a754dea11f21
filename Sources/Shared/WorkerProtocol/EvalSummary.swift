package import StrictJSON

/// A score on the eval file with its Wilson interval and, where it is compared, the paired tests.
package struct EvalSummary: Sendable, Equatable {
  /// The exact two-sided McNemar test against another set of weights on the same rows.
  package struct Paired: Sendable, Equatable {
    /// Rows that only these weights have right, and rows that only the others have.
    package var wins: Int
    package var losses: Int
    package var p: Double

    package init(wins: Int, losses: Int, p: Double) {
      self.wins = wins
      self.losses = losses
      self.p = p
    }

    package var json: JSONValue {
      object([("wins", .integer(Int64(wins))), ("losses", .integer(Int64(losses))), ("p", .number(p))])
    }

    init(decoding value: JSONValue, _ path: String) throws(WorkerProtocolError) {
      let fields = try Fields(value, path)
      self.init(wins: try fields.integer("wins"), losses: try fields.integer("losses"), p: try fields.double("p"))
    }
  }

  package var value: Double
  package var count: Int
  package var lower: Double
  package var upper: Double
  package var versusBase: Paired?
  package var versusBestExpert: Paired?

  package init(
    value: Double, count: Int, lower: Double, upper: Double, versusBase: Paired? = nil, versusBestExpert: Paired? = nil
  ) {
    self.value = value
    self.count = count
    self.lower = lower
    self.upper = upper
    self.versusBase = versusBase
    self.versusBestExpert = versusBestExpert
  }

  package var json: JSONValue {
    object([
      ("value", .number(value)), ("n", .integer(Int64(count))), ("ci95", .array([.number(lower), .number(upper)])),
      ("versus_base", versusBase?.json), ("versus_best_expert", versusBestExpert?.json),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "eval")
    let interval = try fields.doubles("ci95")
    guard interval.count == 2 else { throw .wrongType(path: "eval.ci95", expected: "two numbers") }
    func paired(_ key: String) throws(WorkerProtocolError) -> Paired? {
      guard let value = fields.optional(key) else { return nil }
      return try Paired(decoding: value, "eval.\(key)")
    }
    self.init(
      value: try fields.double("value"), count: try fields.integer("n"), lower: interval[0], upper: interval[1],
      versusBase: try paired("versus_base"), versusBestExpert: try paired("versus_best_expert"))
  }
}
