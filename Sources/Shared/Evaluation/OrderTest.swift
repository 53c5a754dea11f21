/// Does an expert do better than permutations of its own multipliers, item by item?
///
/// If it does not, what it learnt is a distribution of gains and not which direction each belongs to (table 5 of
/// arXiv:2501.06252). Two tests must agree: McNemar's exact test against each shuffle, of whose p the median counts, so
/// that one lucky permutation decides nothing; and a sign-flip test of the expert's items less the mean of all shuffles.
package struct OrderTest: Sendable, Equatable {
  package enum Verdict: String, Sendable, CaseIterable {
    /// p < 0.01 and a positive effect.
    case ordered
    /// The effect is with 95 % confidence less than 0.02: it is none, or one that nobody would notice.
    case noBetterThanShuffled = "no_better_than_shuffled"
    case inconclusive
  }

  package static let significance = 0.01
  /// A gain below it is no gain.
  package static let margin = 0.02

  /// Against each shuffle.
  package let mcNemar: [McNemarTest]
  package let medianP: Double
  package let signFlipP: Double
  /// x_i less the mean over the shuffles. The interval is over rows, with these shuffles as they are.
  package let effect: PairedEffect
  package let verdict: Verdict

  /// The larger of the two: what `ordered` asks of both.
  package var pValue: Double { max(medianP, signFlipP) }

  /// - Parameters:
  ///   - shuffles: at least one, each as long as `expert`.
  ///   - isHeldOut: false for rows that the expert may have been made on, which prove nothing.
  package init(expert: [Bool], shuffles: [[Bool]], isHeldOut: Bool = true) {
    precondition(!shuffles.isEmpty, "an order test without shuffles")
    mcNemar = shuffles.map { McNemarTest(first: expert, second: $0) }
    medianP = median(mcNemar.map(\.pValue))
    let differences = expert.indices.map { item in
      (expert[item] ? 1 : 0) - Double(shuffles.count { $0[item] }) / Double(shuffles.count)
    }
    signFlipP = SignFlipTest(differences).pValue
    effect = PairedEffect(differences)
    if !isHeldOut {
      verdict = .inconclusive
    } else if max(medianP, signFlipP) < Self.significance, effect.mean > 0 {
      verdict = .ordered
    } else if effect.high < Self.margin {
      verdict = .noBetterThanShuffled
    } else {
      verdict = .inconclusive
    }
  }
}

/// An expert on a model against the model as it is: the other half of a transfer check.
package struct BaseComparison: Sendable, Equatable {
  package let mcNemar: McNemarTest
  package let effect: PairedEffect

  package init(expert: [Bool], base: [Bool]) {
    mcNemar = McNemarTest(first: expert, second: base)
    effect = PairedEffect(first: expert, second: base)
  }

  /// It helps, and with 95 % confidence it costs less than the margin: a transfer that did not help a base that was good
  /// already is no reason to use it, and one that lies within the noise is none to refuse it.
  package var isNoHarm: Bool { effect.mean > 0 && effect.low > -OrderTest.margin }
}

/// Of an even number, the mean of the two in the middle.
private func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
