/// What is trained: a network in the worker, an invented function in a test. Rows are known by their numbers.
///
/// Both answers are pure functions of their arguments, so a run that was resumed, or has other threads, ends with the same
/// bits.
package protocol TrainedModel {
  var rowCount: Int { get }
  var parameterCount: Int { get }

  /// The mean loss's derivative by every parameter, and how the rows fared: a forward and a backward pass.
  func gradient(of rows: [Int], at parameters: [Float]) throws(TrainingError) -> (gradient: [Float], Standing)

  /// How rows fare: forward passes.
  func standing(of rows: [Int], at parameters: [Float]) throws(TrainingError) -> Standing
}

/// Why a training ended without an expert.
package enum TrainingError: Error, Equatable, CustomStringConvertible {
  case cancelled
  case tooFewRows(Int)
  /// At this step, counted from 1, after which nothing was saved.
  case diverged(step: Int, what: String, best: String)
  case noReward(step: Int, reward: Double)
  case nothingLearned(reward: Double, right: Double, rows: Int, steps: Int)
  /// The model could not be asked.
  case model(String)
  /// The state could not be saved.
  case notSaved(String)

  package var description: String {
    switch self {
    case .cancelled: "the training was cancelled"
    case .tooFewRows(let count):
      "training needs 8 rows or more, of which a quarter may be held out for validation; there are \(count)"
    case .diverged(let step, let what, let best):
      "the training diverged at step \(step): \(what); the best before it was \(best), and the last state that was saved is "
        + "that of a sound step; try a smaller learning rate"
    case .noReward(let step, let reward):
      "no reward to follow at step \(step): the expected reward of its rows is \(reward) and its slope is 0, since the right "
        + "choices have no share at all; try the objective 'cross-entropy', whose slope does not vanish there"
    case .nothingLearned(let reward, let right, let rows, let steps):
      "nothing was learned in \(steps) steps: no validation was better than the base, whose reward is \(reward) and acc "
        + "\(right) on the \(rows) rows held out; try other steps, learning rate or rows"
    case .model(let problem): problem
    case .notSaved(let problem): "cannot save the training's state: \(problem)"
    }
  }
}
