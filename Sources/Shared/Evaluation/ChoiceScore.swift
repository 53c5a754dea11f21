/// Which choice a model prefers, from the summed log-probabilities of its choices.
///
/// As lm-evaluation-harness counts: `acc` by the sum, `acc_norm` by the sum divided by the Unicode scalars of the choice
/// without the leading space. Ties go to the lowest index; a NaN never wins.
package struct ChoiceScore: Sendable, Equatable {
  package let sums: [Double]
  package let gold: Int
  package let predicted: Int
  package let predictedNorm: Int

  package var isCorrect: Bool { predicted == gold }
  package var isCorrectNorm: Bool { predictedNorm == gold }

  /// - Parameter sums: one summed log-probability a choice, in the order of the choices.
  package init(sums: [Double], choices: [String], gold: Int) {
    precondition(sums.count == choices.count && !sums.isEmpty, "\(sums.count) scores for \(choices.count) choices")
    self.sums = sums
    self.gold = gold
    predicted = Self.argmax(sums)
    predictedNorm = Self.argmax(zip(sums, choices).map { $0 / Double(max(1, $1.unicodeScalars.count)) })
  }

  private static func argmax(_ values: [Double]) -> Int {
    var best = 0
    for index in values.indices where values[index] > values[best] || (values[best].isNaN && !values[index].isNaN) {
      best = index
    }
    return best
  }
}
