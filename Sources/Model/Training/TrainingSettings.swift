import Glibc
package import Settings

extension TrainingSettings {
  /// λ of this training; of several, each has one.
  package var divergenceWeight: Double {
    get { divergenceWeights[0] }
    set { divergenceWeights = [newValue] }
  }

  /// Answers of a step: what they take in memory is bounded.
  private static var answerLimit: Int { 1 << 14 }

  /// What is wrong with them, as the rest of a sentence; nil where they are valid.
  package var problem: String? {
    if steps < 1 { return "at least one step is needed, and there are \(steps)" }
    if batch < 1 { return "a step needs a row, and has \(batch)" }
    if !(learningRate > 0 && learningRate.isFinite) {
      return "the learning rate must be above 0, and is \(learningRate)"
    }
    if !(0..<steps).contains(warmUp) { return "the warm-up must be shorter than the \(steps) steps, and has \(warmUp)" }
    if !(clip > 0) { return "the maximum gradient norm must be above 0, and is \(clip)" }
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
