import Engines
package import Results

/// What is trained: a network in the worker, an invented function in a test. Rows are known by their numbers.
///
/// Both answers are pure functions of their arguments, so a run that was resumed, or has other threads, ends with the same
/// bits.
package protocol TrainedModel {
  var rowCount: Int { get }
  var parameterCount: Int { get }
  /// See ``TrainedParameters/groups``.
  var groups: [Range<Int>] { get }
  /// Whether a reward is that of sampled answers: a step without one may be bad luck, and the next has other answers.
  var rewardIsSampled: Bool { get }

  /// What a step on these rows takes at most.
  func cost(of rows: [Int]) -> TrainingCost

  /// The mean loss's derivative by every parameter, and how the rows fared: a forward and a backward pass.
  /// - Parameter step: counted from 0; what is sampled depends on it.
  func gradient(
    of rows: [Int], step: Int, at parameters: [Float]
  ) throws(TrainingError) -> (gradient: [Float], Standing)

  /// How rows fare: forward passes. The reward is always known.
  func standing(of rows: [Int], at parameters: [Float]) throws(TrainingError) -> Standing
}

/// What a step takes.
package struct TrainingCost: Sendable, Equatable {
  /// Of prompts and of what is trained on behind them.
  package var tokens: Int
  /// At its height, with all that the process holds.
  package var memoryBytes: Int

  package init(tokens: Int, memoryBytes: Int) {
    self.tokens = tokens
    self.memoryBytes = memoryBytes
  }
}

/// Why a training ended without an expert.
package enum TrainingError: Error, Equatable, CustomStringConvertible {
  case cancelled
  case tooFewRows(Int)
  /// At this step, counted from 1, after which nothing was saved.
  case diverged(step: Int, what: String)
  case noReward(step: Int, reward: Double)
  /// Sampled answers, of which none was right in this many steps.
  case noAnswerRight(step: Int, steps: Int)
  /// The base and the best validation behind it, on the rows held out.
  case nothingLearned(base: Standing, best: Standing, bestStep: Int, steps: Int)
  /// The model could not be asked.
  case model(String)
  /// The state could not be saved.
  case notSaved(String)

  package var description: String {
    switch self {
    case .cancelled: "the training was cancelled"
    case .tooFewRows(let count):
      "training needs 8 rows or more, of which a quarter may be held out for validation; there are \(count)"
    case .diverged(let step, let what):
      "the training diverged at step \(step): \(what); try a smaller learning rate"
    case .noReward(let step, let reward):
      "no reward to follow at step \(step): the expected reward of its rows is \(reward) and its slope is 0, since the right "
        + "choices have no share at all; try the objective 'cross-entropy', whose slope does not vanish there"
    case .noAnswerRight(let step, let steps):
      "no reward to follow at step \(step): in \(steps) steps one after the other the sampled answers gave nothing to choose "
        + "by, being wrong; try the objective 'next-token' on the rows' solutions, more samples, or easier rows"
    case .nothingLearned(let base, let best, let bestStep, let steps):
      "nothing was learned in \(steps) steps: no validation was better than the base, which has \(base.shown) on the "
        + "\(base.rows) rows held out; the best was \(best.shown) at step \(bestStep); try other steps, learning rate or rows"
    case .model(let problem): problem
    case .notSaved(let problem):
      "cannot save the training's state: \(problem); what was saved before is whole, and the same training goes on from it"
    }
  }
}

extension Standing {
  fileprivate var shown: String {
    func rounded(_ value: Double?) -> String { value.map { "\(($0 * 1000).rounded() / 1000)" } ?? "-" }
    return "reward \(rounded(reward)), \(rounded(right)) right and loss \(rounded(loss))"
  }
}

extension TrainingError {
  init(_ error: EngineError) {
    if case .stopped = error { self = .cancelled } else { self = .model(error.description) }
  }
}
