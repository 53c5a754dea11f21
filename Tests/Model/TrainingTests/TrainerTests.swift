import ModelFormats
import Results
import Settings
import SystemSupport
import TestSupport
import Testing

@testable import Training

@Suite struct TrainerTests {
  private static var settings: TrainingSettings {
    var settings = TrainingSettings()
    settings.steps = 30
    settings.learningRate = 0.2
    settings.batch = 7
    settings.validationInterval = 4
    settings.validationRows = 12
    return settings
  }

  private static func fresh(_ settings: TrainingSettings, _ model: InventedModel) -> TrainingState {
    TrainingState(
      identity: "one", parameters: [Float](repeating: 1, count: model.parameterCount), decay: settings.weightDecay,
      origin: 1)
  }

  /// Runs, collecting what is saved and reported.
  private static func run(
    _ settings: TrainingSettings, _ model: InventedModel, from state: TrainingState? = nil
  ) -> (result: Result<Trainer.Outcome, TrainingError>, saved: [TrainingState], points: [Int]) {
    var saved: [TrainingState] = []
    var points: [Int] = []
    do throws(TrainingError) {
      var trainer = try Trainer(settings, model: model, state: state ?? fresh(settings, model)) { point in
        points.append(point.step)
      } save: { state in
        saved.append(state)
      }
      do throws(TrainingError) {
        return (.success(try trainer.run()), saved, points)
      } catch {
        return (.failure(error), saved + [trainer.state], points)
      }
    } catch {
      return (.failure(error), saved, points)
    }
  }

  @Test(arguments: TrainingObjective.allCases)
  func aTaskThatCanBeLearnedIsLearned(objective: TrainingObjective) throws {
    var model = InventedModel(rows: 60)
    model.objective = objective
    let run = Self.run(Self.settings, model)
    let outcome = try run.result.get()
    let (base, best) = (outcome.base, outcome.best)
    #expect(try #require(base.right) < 0.7 && #require(best.right) > 0.9)
    #expect(try #require(best.reward) > #require(base.reward) + 0.5 && outcome.problem == nil)
    #expect(outcome.stopReason == .steps && outcome.state.step == 30 && run.points == Array(0...30))
    let validated = outcome.state.validations.map(\.step)
    #expect(validated == [0, 4, 8, 12, 16, 20, 24, 28, 30])
    // What is kept is what did best on the rows held out.
    let highest = outcome.state.validations.max { ($0.validation?.reward ?? 0) < ($1.validation?.reward ?? 0) }
    #expect(outcome.state.bestStep == highest?.step && best == highest?.validation)
    #expect(try model.standing(of: outcome.order.validation, at: outcome.state.best) == best)
  }

  /// Cut after any save and read back from the bytes of a file.
  @Test func aResumedTrainingEndsWithTheSameBits() throws {
    var settings = Self.settings
    settings.weightDecay = 0.01
    settings.warmUp = 3
    let whole = Self.run(settings, InventedModel(rows: 60))
    let expected = try whole.result.get()
    #expect(whole.saved.count == 8)
    for state in whole.saved {
      let file = try SafetensorsFile(state.bytes)
      let read = try #require(TrainingState(file, identity: "one"))
      #expect(read == state)
      let resumed = Self.run(settings, InventedModel(rows: 60), from: read)
      #expect(try resumed.result.get() == expected, "after step \(state.step)")
      #expect(resumed.points.allSatisfy { $0 > state.step })
      #expect(TrainingState(file, identity: "another") == nil)
    }
  }

  /// Two groups of three; what is not chosen stays where it began, to the bit.
  @Test func aTrainingKeepsTheComponentsThatItsGradientChose() throws {
    var settings = Self.settings
    settings.components = 1
    settings.weightDecay = 0.01
    var model = InventedModel(rows: 60)
    model.groups = [0..<3, 3..<6]
    #expect(settings.choosingBatches == 7)
    let outcome = try Self.run(settings, model).result.get()
    let chosen = try #require(outcome.state.chosen)
    #expect(chosen[0..<3].count { $0 } == 1 && chosen[3..<6].count { $0 } == 1)
    #expect(model.calls.gradients == 30 + 7)
    for (index, isChosen) in chosen.enumerated() { #expect((outcome.state.parameters[index] != 1) == isChosen) }
    // By the definition: the sums over the rows of the first steps, at the base.
    let order = try RowOrder(count: 60, validation: settings.validationRows, seed: settings.seed)
    var sums = [Double](repeating: 0, count: 6)
    for batch in 0..<7 {
      let rows = order.batch(settings.batch, step: batch)
      let (gradient, _) = try model.gradient(of: rows, step: batch, at: [Float](repeating: 1, count: 6))
      for index in 0..<6 { sums[index] += Double(gradient[index]) }
    }
    for group in model.groups {
      let largest = group.max { abs(sums[$0]) < abs(sums[$1]) }
      #expect(group.filter { chosen[$0] } == [try #require(largest)])
    }
  }

  @Test func aTrainingThatChoosesItsComponentsIsResumedWithTheSameBits() throws {
    var settings = Self.settings
    settings.components = 2
    var model = InventedModel(rows: 60)
    model.groups = [0..<3, 3..<6]
    let whole = Self.run(settings, model)
    let expected = try whole.result.get()
    for state in whole.saved {
      let read = try #require(TrainingState(try SafetensorsFile(state.bytes), identity: "one"))
      #expect(read == state && read.chosen != nil)
      #expect(try Self.run(settings, model, from: read).result.get() == expected, "after step \(state.step)")
    }
    // Cut while it chose: it chooses the same again.
    var cut = InventedModel(rows: 60)
    cut.groups = model.groups
    cut.cancelsAt = 3
    let left = try #require(Self.run(settings, cut).saved.last)
    #expect(left.chosen == nil && left.step == 0)
    #expect(try Self.run(settings, model, from: left).result.get() == expected)
    // The state is another one where its choice was changed.
    var bytes = expected.state.bytes
    bytes[bytes.count - 5] ^= 0x40
    #expect(TrainingState(try SafetensorsFile(bytes), identity: "one") == nil)
  }

  @Test func aCancelledTrainingLosesNoWholeStep() throws {
    var model = InventedModel(rows: 60)
    model.cancelsAt = 7
    let cut = Self.run(Self.settings, model)
    guard case .failure(.cancelled) = cut.result, let left = cut.saved.last else {
      Issue.record("it ended with \(cut.result)")
      return
    }
    #expect(left.step == 6)
    let expected = try Self.run(Self.settings, InventedModel(rows: 60)).result.get()
    #expect(try Self.run(Self.settings, InventedModel(rows: 60), from: left).result.get() == expected)
  }

  @Test func anotherSeedTrainsOnOtherRows() throws {
    var other = Self.settings
    other.seed = 2
    let model = InventedModel(rows: 60)
    #expect(try Self.run(Self.settings, model).result.get() == Self.run(Self.settings, model).result.get())
    #expect(try Self.run(Self.settings, model).result.get().state != Self.run(other, model).result.get().state)
  }

  @Test func withoutAnotherBestTheTrainingEndsEarlyAndKeepsTheBest() throws {
    var settings = Self.settings
    settings.patience = 2
    settings.steps = 200
    settings.learningRate = 60
    let outcome = try Self.run(settings, InventedModel(rows: 60)).result.get()
    #expect(outcome.stopReason == .patience && outcome.state.step < 200)
    #expect(outcome.state.validations.count { $0.step > outcome.state.bestStep } == 2)
  }

  @Test func aGradientThatIsNoNumberIsCaughtAtItsStepAndWhatWasBetterIsKept() throws {
    var model = InventedModel(rows: 60)
    model.breaksAt = 11
    let run = Self.run(Self.settings, model)
    let outcome = try run.result.get()
    #expect(outcome.stopReason == .diverged && outcome.state.step == 10 && outcome.state.bestStep == 8)
    let problem = try #require(outcome.problem)
    #expect(problem.hasPrefix("the training diverged at step 11: its gradient is not finite"))
    #expect(problem.contains("smaller learning rate"))
    // What was saved before is sound.
    #expect(run.saved.allSatisfy { $0.parameters.allSatisfy(\.isFinite) } && run.saved.last?.step == 8)
  }

  @Test func aTrainingThatDivergesBeforeItWasBetterThanTheBaseFails() {
    var model = InventedModel(rows: 60)
    model.breaksAt = 3
    guard case .failure(.diverged(step: 3, _)) = Self.run(Self.settings, model).result else {
      Issue.record("it made an expert")
      return
    }
  }

  private static var lateValidation: TrainingSettings {
    var settings = settings
    settings.validationInterval = 10
    return settings
  }

  private static func unlucky(from gradient: Int) -> InventedModel {
    var model = InventedModel(rows: 60)
    model.rewardIsSampled = true
    model.failsFrom = gradient
    return model
  }

  /// One step may be bad luck; five in a row are not.
  @Test func sampledAnswersOfWhichNoneIsRightEndTheTraining() throws {
    guard case .failure(.noAnswerRight(step: 5, steps: 5)) = Self.run(Self.lateValidation, Self.unlucky(from: 1)).result
    else {
      Issue.record("it went on without a reward")
      return
    }
    let text = TrainingError.noAnswerRight(step: 5, steps: 5).description
    #expect(text.contains("in 5 steps one after the other") && text.contains("'next-token'"))
    // Where something was learned before, it is kept.
    let outcome = try Self.run(Self.lateValidation, Self.unlucky(from: 14)).result.get()
    #expect(outcome.stopReason == .noReward && outcome.state.step == 17 && outcome.state.bestStep == 10)
    #expect(outcome.problem?.contains("step 18") == true)
  }

  /// The count of steps without a reward is in the curve, so an interruption does not begin it anew.
  @Test func aResumedTrainingRemembersItsStepsWithoutReward() throws {
    let cut = Self.run(Self.lateValidation, Self.unlucky(from: 1))
    let left = try #require(cut.saved.last)
    #expect(left.step == 4)
    let resumed = Self.run(Self.lateValidation, Self.unlucky(from: 1), from: left)
    #expect(resumed.result == cut.result && resumed.points.isEmpty)
  }

  @Test func anEstimateCountsEveryStepAndValidation() throws {
    var seconds = 0.0
    let model = InventedModel(rows: 60)
    let estimate = try TrainingEstimate(Self.settings, of: model, start: [Float](repeating: 1, count: 6)) {
      seconds += 1
      return seconds
    }
    // Four rows a second, of 7 in each of 30 steps, and of 12 in each of 9 validations.
    #expect(estimate.step.tokens == 21 && estimate.stepSeconds == 1.75 && estimate.validationSeconds == 3)
    #expect(estimate.seconds == 30 * 1.75 + 9 * 3 && estimate.trainingRows == 48)
    #expect(model.calls.gradients == 2)
  }

  @Test func aTrainingThatLearnsNothingMakesNoExpert() {
    var model = InventedModel(rows: 60)
    model.isDeaf = true
    // All choices are equal, so there is no slope; the reward of a third is below 0.
    guard case .failure(.noReward(step: 1, let reward)) = Self.run(Self.settings, model).result else {
      Issue.record("it learned from nothing")
      return
    }
    #expect(abs(reward + 1.0 / 3) < 1e-12)
    #expect(TrainingError.noReward(step: 1, reward: reward).description.contains("'cross-entropy'"))
  }

  @Test func aTrainingThatIsNeverBetterThanTheBaseSaysWhatItCameTo() throws {
    var settings = Self.settings
    // So small that nothing moves; patience ends it.
    settings.learningRate = 1e-9
    guard case .failure(let error) = Self.run(settings, InventedModel(rows: 60)).result,
      case .nothingLearned(let base, let best, let step, 20) = error
    else {
      Issue.record("a rate of 1e-9 taught something")
      return
    }
    #expect(base.reward == best.reward && step > 0)
    let reward = "\((try #require(base.reward) * 1000).rounded() / 1000)"
    #expect(error.description.contains("no validation was better than the base, which has reward \(reward), "))
    #expect(error.description.contains("on the 12 rows held out; the best was reward \(reward), "))
  }

  @Test func tooFewRowsAreRefused() {
    guard case .failure(.tooFewRows(5)) = Self.run(Self.settings, InventedModel(rows: 5)).result else {
      Issue.record("five rows are enough")
      return
    }
  }

  @Test func aFileThatIsNoStateIsNoState() throws {
    let settings = Self.settings
    let state = try #require(Self.run(settings, InventedModel(rows: 60)).saved.first)
    let tensor = SafetensorsTensor(name: "parameters", shape: [2], values: [1, 2])
    for metadata in [[], [("t2.training", "one")], [("t2.training", "one"), ("t2.training.state", "{}")]] {
      let bytes = safetensorsBytes(tensors: [tensor], metadata: metadata.map { (key: $0.0, value: $0.1) })
      #expect(TrainingState(try SafetensorsFile(bytes), identity: "one") == nil)
    }
    #expect(TrainingState(try SafetensorsFile(state.bytes), identity: "one") != nil)
    guard case .missing = TrainingState.read("/nonexistent/state", identity: "one") else {
      Issue.record("a state was found where there is none")
      return
    }
  }

  /// Its curve alone is longer than the header of an expert's file may be.
  @Test func aLongTrainingIsResumedToo() throws {
    try withTemporaryDirectory { directory in
      let state = Self.state(steps: 8000)
      #expect(state.bytes.count > 1 << 20)
      try FileSystem.writeAtomically(directory + "/state", state.bytes)
      guard case .whole(state) = TrainingState.read(directory + "/state", identity: "one") else {
        Issue.record("the state is not what was saved")
        return
      }
    }
  }

  private static func state(steps: Int) -> TrainingState {
    var state = TrainingState(identity: "one", parameters: [1, 1.5], decay: 0, origin: 1)
    let standing = Standing(rows: 4, loss: 0.25, reward: -0.125, right: 0.5, divergence: 0.0625)
    state.curve = (0...steps).map {
      CurvePoint(step: $0, learningRate: 0.125, gradientNorm: 1.0 / 3, batch: standing, validation: standing)
    }
    state.optimizer = AdamW(first: [0, 0.5], second: [0, 0.25], steps: steps, decay: 0, origin: 1)
    return state
  }

  @Test func aMutatedStateIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let bytes = Self.state(steps: 2).bytes
      let problem = withstand([bytes], count: 3000) { bytes in
        guard var state = TrainingState(try SafetensorsFile(bytes), identity: "one") else { throw NoState() }
        var parameters = state.parameters
        state.optimizer.update(&parameters, gradient: parameters, rate: 0.1)
        _ = state.bytes
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  private struct NoState: Error {}
}
