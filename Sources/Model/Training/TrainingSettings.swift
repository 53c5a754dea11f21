import Glibc
package import Transformer

/// How an expert is trained. The defaults are those that taught `science` its task in the prototype.
package struct TrainingSettings: Sendable, Equatable {
  package var objective = TrainingObjective.reinforce
  package var steps = 40
  /// Rows of a step.
  package var batch = 10
  package var learningRate = 1e-2
  /// Steps in which the learning rate rises to its full size.
  package var warmUp = 0
  /// Longest gradient. Adam divides by the gradient's size again, so it bounds single steps against their neighbours.
  package var clip = 1e-3
  package var weightDecay = 0.0
  /// λ of eq. 1 of arXiv:2501.06252: what the divergence from the base costs.
  package var divergenceWeight = 0.0
  package var divergenceDirection = DivergenceDirection.paper
  /// Answers of a row in a step, where they are sampled.
  package var samples = 4
  package var temperature = 1.0
  package var baseline = Baseline.none
  package var seed: UInt64 = 1
  /// Rows that are held out of training to choose the best step by; at most a quarter of all.
  package var validationRows = 60
  /// Steps between two validations.
  package var validationInterval = 10
  /// Ends after so many validations without another best.
  package var patience = 5

  /// Answers of a step: what they take in memory is bounded.
  private static let answerLimit = 1 << 14

  /// What a sampled answer's reward is compared with.
  package enum Baseline: String, Sendable, CaseIterable {
    /// With nothing: eq. 1.
    case none
    /// With the mean of its row's answers: less variance, and no gradient where all of them are right or all wrong.
    case group
  }

  package init() {}

  /// What is wrong with them, as the rest of a sentence; nil where they will do.
  package var problem: String? {
    if steps < 1 { return "at least one step is needed, and there are \(steps)" }
    if batch < 1 { return "a step needs a row, and has \(batch)" }
    if !(learningRate > 0 && learningRate.isFinite) {
      return "the learning rate must be above 0, and is \(learningRate)"
    }
    if !(0..<steps).contains(warmUp) { return "the warm-up must be shorter than the \(steps) steps, and has \(warmUp)" }
    if !(clip > 0) { return "the longest gradient must be above 0, and is \(clip)" }
    if !(weightDecay >= 0 && divergenceWeight >= 0) {
      return "weight decay and KL weight cannot be negative, and are \(weightDecay) and \(divergenceWeight)"
    }
    if samples < 1 { return "a row needs an answer, and would get \(samples)" }
    if batch > Self.answerLimit / samples {
      return "a step may have \(Self.answerLimit) answers at most, and \(batch) rows with \(samples) samples are more"
    }
    if baseline == .group, samples < 2 {
      return "the baseline 'group' compares a row's answers, of which there must be two or more samples"
    }
    // As a float, which is what logits are divided by: 1e-50 is none.
    if !(Float(temperature) > 0 && Float(temperature).isFinite) {
      return "the temperature must be above 0, and is \(temperature)"
    }
    if validationRows < 1 || validationInterval < 1 || patience < 1 {
      return
        "validation needs rows, an interval and patience, and has \(validationRows), \(validationInterval), \(patience)"
    }
    return nil
  }

  /// The learning rate of a step, counted from 0: a line up, and half a cosine down to almost 0.
  package func rate(at step: Int) -> Double {
    if step < warmUp { return learningRate * Double(step + 1) / Double(warmUp + 1) }
    let progress = Double(step - warmUp) / Double(steps - warmUp)
    return learningRate * (1 + cos(.pi * progress)) / 2
  }
}
