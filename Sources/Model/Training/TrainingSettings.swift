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

  /// What is wrong with them, as the rest of a sentence; nil where a training can be made of them.
  package var trainingProblem: String? {
    if let problem { return problem.description }
    if warmUp >= steps { return "the warm-up must be shorter than the \(steps) steps, and has \(warmUp)" }
    if batch > Self.answerLimit / samples {
      return "a step may have \(Self.answerLimit) answers at most, and \(batch) rows with \(samples) samples are more"
    }
    if baseline == .group, samples < 2 {
      return "the baseline 'group' compares a row's answers, of which there must be two or more samples"
    }
    return nil
  }

  /// Batches whose gradient chooses the components; none where nothing is chosen. They come before the steps.
  package var choosingBatches: Int {
    method == .svf && chosenComponents != nil ? max(4, steps / 4) : 0
  }

  /// The learning rate of a step, counted from 0: a line up, and then as the decay says.
  package func rate(at step: Int) -> Double {
    if step < warmUp { return learningRate * Double(step + 1) / Double(warmUp + 1) }
    let progress = Double(step - warmUp) / Double(steps - warmUp)
    let share =
      switch decay {
      case .cosine: (1 + cos(.pi * progress)) / 2
      case .linear: 1 - progress
      case .constant: 1.0
      }
    return learningRate * share
  }
}
