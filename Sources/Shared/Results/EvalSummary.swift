package import Records

/// A score on the eval file with its Wilson interval and, where it is compared, the paired tests.
package struct EvalSummary: Codable, Sendable, Equatable {
  /// The exact two-sided McNemar test against another set of weights on the same rows.
  package struct Paired: Codable, Sendable, Equatable {
    /// Rows that only these weights have right, and rows that only the others have.
    package var wins: Int
    package var losses: Int
    package var p: Double

    package init(wins: Int, losses: Int, p: Double) {
      self.wins = wins
      self.losses = losses
      self.p = p
    }
  }

  package var value: Double
  package var count: Int
  /// Of Wilson.
  package var ci95: Interval
  package var versusBase: Paired?
  package var versusBestExpert: Paired?

  package var lower: Double { ci95.lower }
  package var upper: Double { ci95.upper }

  private enum CodingKeys: String, CodingKey {
    case value
    case count = "n"
    case ci95, versusBase, versusBestExpert
  }

  package init(
    value: Double, count: Int, lower: Double, upper: Double, versusBase: Paired? = nil, versusBestExpert: Paired? = nil
  ) {
    self.value = value
    self.count = count
    ci95 = Interval(lower, upper)
    self.versusBase = versusBase
    self.versusBestExpert = versusBestExpert
  }
}
