package import Results
package import Settings

/// Trains: batch, gradient, step, and every few steps a validation on rows that no step sees.
///
/// All that decides is in ``state``; what is drawn is a function of the seed and the step. So a run that was killed and
/// resumed from a saved state ends with the same bits as one that was not.
package struct Trainer {
  package enum StopReason: String, Sendable {
    case steps
    /// Several validations without another best.
    case patience
    /// It could not go on, but a validation before that was better than the base: the expert is that one, and the
    /// outcome's problem says what happened.
    case diverged
    case noReward = "no_reward"
  }

  package struct Outcome: Sendable, Equatable {
    package var state: TrainingState
    package var stopReason: StopReason
    package var problem: String?
    package var order: RowOrder
    /// Of the rows held out.
    package var base: Standing
    package var best: Standing
  }

  package private(set) var state: TrainingState
  private let settings: TrainingSettings
  private let model: any TrainedModel
  private let order: RowOrder
  /// Told of each point of the curve when it is complete.
  private let report: (CurvePoint) -> Void
  /// Told how many batches of how many were asked for the choice of components.
  private let choosing: (_ done: Int, _ of: Int) -> Void
  /// Makes a state last; called after each validation.
  private let save: (TrainingState) throws(TrainingError) -> Void

  package init(
    _ settings: TrainingSettings, model: any TrainedModel, state: TrainingState,
    report: @escaping (CurvePoint) -> Void, choosing: @escaping (_ done: Int, _ of: Int) -> Void = { _, _ in },
    save: @escaping (TrainingState) throws(TrainingError) -> Void
  ) throws(TrainingError) {
    precondition(settings.trainingProblem == nil, "settings that were not checked: \(settings.trainingProblem ?? "")")
    precondition(
      state.parameters.count == model.parameterCount,
      "a state of \(state.parameters.count) parameters for \(model.parameterCount)")
    order = try RowOrder(count: model.rowCount, validation: settings.validationRows, seed: settings.seed)
    self.settings = settings
    self.model = model
    self.state = state
    self.report = report
    self.choosing = choosing
    self.save = save
  }

  /// Runs to the end. Cancelled, ``state`` is that after the last whole step.
  package mutating func run() throws(TrainingError) -> Outcome {
    if state.curve.isEmpty {
      let point = CurvePoint(
        step: 0, validation: try model.standing(of: order.validation, at: state.parameters))
      state.curve = [point]
      report(point)
    }
    try chooseComponents()
    var reason = StopReason.steps
    var problem: TrainingError?
    do throws(TrainingError) {
      while state.step < settings.steps {
        if isOutOfPatience {
          reason = .patience
          break
        }
        let point = try step()
        report(point)
        if point.validation != nil { try save(state) }
      }
    } catch {
      guard state.bestStep > 0, let sound = StopReason(error) else { throw error }
      reason = sound
      problem = error
    }
    guard let base = state.curve.first?.validation, let best = state.bestValidation else {
      preconditionFailure("a training of \(state.step) steps has no validation")
    }
    guard state.bestStep > 0 else {
      let others = state.validations.dropFirst()
      let best = others.max { ($0.validation?.reward ?? -1) < ($1.validation?.reward ?? -1) }
      throw .nothingLearned(
        base: base, best: best?.validation ?? base, bestStep: best?.step ?? 0, steps: state.step)
    }
    return Outcome(
      state: state, stopReason: reason, problem: problem?.description, order: order, base: base, best: best)
  }

  private var isOutOfPatience: Bool {
    state.validations.count { $0.step > state.bestStep } >= settings.patience
  }

  /// Sums the gradient at the base over the rows of the first steps, and keeps in each matrix the components whose sums are
  /// largest. To first order that is where a step of one size, as Adam's are, lowers the loss most; a sum of absolute values
  /// would choose those that the rows disagree about. Of equals the larger singular value is kept. What is not chosen stays
  /// where it began, so the optimizer never learns of it.
  ///
  /// A pure function of settings, rows and model: a training that was cut before its first save chooses the same again.
  private mutating func chooseComponents() throws(TrainingError) {
    guard settings.choosingBatches > 0, state.chosen == nil, let kept = settings.chosenComponents else { return }
    var sums = [Double](repeating: 0, count: model.parameterCount)
    for batch in 0..<settings.choosingBatches {
      choosing(batch, settings.choosingBatches)
      let (gradient, _) = try model.gradient(
        of: order.batch(settings.batch, step: batch), step: batch, at: state.parameters)
      for (index, value) in gradient.enumerated() { sums[index] += Double(value) }
    }
    guard sums.allSatisfy(\.isFinite) else {
      throw .diverged(step: 0, what: "the gradient that chooses its components is not finite")
    }
    var chosen = [Bool](repeating: false, count: model.parameterCount)
    for group in model.groups {
      let order = group.sorted { (abs(sums[$1]), $0) < (abs(sums[$0]), $1) }
      for index in order.prefix(kept) { chosen[index] = true }
    }
    state.chosen = chosen
  }

  private mutating func step() throws(TrainingError) -> CurvePoint {
    let number = state.step + 1
    let (whole, standing) = try model.gradient(
      of: order.batch(settings.batch, step: state.step), step: state.step, at: state.parameters)
    let gradient = state.chosen.map { chosen in zip(whole, chosen).map { $1 ? $0 : 0 } } ?? whole
    let (cut, norm) = clipped(gradient, to: settings.clip)
    // A loss or a length that is no number would make every parameter one.
    guard standing.loss.isFinite, norm.isFinite else {
      throw .diverged(step: number, what: "its \(standing.loss.isFinite ? "gradient" : "loss") is not finite")
    }
    try checkReward(number, standing, norm)

    var next = state
    let rate = settings.rate(at: state.step)
    next.optimizer.update(&next.parameters, gradient: cut, rate: rate)
    if let index = next.parameters.firstIndex(where: { !$0.isFinite }) {
      throw .diverged(step: number, what: "multiplier \(index) is \(next.parameters[index])")
    }
    var point = CurvePoint(step: number, learningRate: rate, gradientNorm: norm, batch: standing)
    if number % settings.validationInterval == 0 || number == settings.steps {
      let validation = try model.standing(of: order.validation, at: next.parameters)
      guard let reward = validation.reward, reward.isFinite else {
        throw .diverged(step: number, what: "its reward on the rows held out is not finite")
      }
      point.validation = validation
      if reward > state.bestValidation?.reward ?? -.infinity {
        next.best = next.parameters
        next.bestStep = number
      }
    }
    next.curve.append(point)
    state = next
    return point
  }

  /// Steps of sampled answers that may go by without a reward.
  private static let unluckySteps = 5

  /// The paper's caveat on sparse rewards. The slope of an expected reward is known, so one step without any ends the
  /// training; of sampled answers several in a row do that were all wrong, or had nothing to choose by.
  private func checkReward(_ number: Int, _ standing: Standing, _ norm: Double) throws(TrainingError) {
    func isFruitless(_ standing: Standing, _ norm: Double) -> Bool {
      guard let reward = standing.reward else { return false }
      return reward <= -1 || norm == 0 && reward <= 0
    }
    guard isFruitless(standing, norm) else { return }
    guard model.rewardIsSampled else { throw .noReward(step: number, reward: standing.reward ?? 0) }
    let before = state.curve.suffix(Self.unluckySteps - 1)
    let fruitless = before.count { point in point.batch.map { isFruitless($0, point.gradientNorm ?? 0) } ?? false }
    if fruitless == Self.unluckySteps - 1 { throw .noAnswerRight(step: number, steps: Self.unluckySteps) }
  }

}

extension Trainer.StopReason {
  /// Of an error after which what was learned before it is sound.
  fileprivate init?(_ error: TrainingError) {
    switch error {
    case .diverged: self = .diverged
    case .noReward, .noAnswerRight: self = .noReward
    case .cancelled, .tooFewRows, .nothingLearned, .model, .notSaved: return nil
    }
  }
}
