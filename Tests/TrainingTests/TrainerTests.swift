import ModelFormats
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
      identity: "one", parameters: [Float](repeating: 1, count: model.parameterCount), decay: settings.weightDecay)
  }

  /// Runs, collecting what is saved and reported.
  private static func run(
    _ settings: TrainingSettings, _ model: InventedModel, from state: TrainingState? = nil
  ) -> (result: Result<Trainer<InventedModel>.Outcome, TrainingError>, saved: [TrainingState], points: [Int]) {
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
    #expect(outcome.base.right < 0.7 && outcome.best.right > 0.9 && outcome.best.reward > outcome.base.reward + 0.5)
    #expect(outcome.stopReason == .steps && outcome.state.step == 30 && run.points == Array(0...30))
    let validated = outcome.state.validations.map(\.step)
    #expect(validated == [0, 4, 8, 12, 16, 20, 24, 28, 30])
    // What is kept is what did best on the rows held out.
    let best = outcome.state.validations.max { ($0.validation?.reward ?? 0) < ($1.validation?.reward ?? 0) }
    #expect(outcome.state.bestStep == best?.step && outcome.best == best?.validation)
    #expect(try model.standing(of: outcome.order.validation, at: outcome.state.best) == outcome.best)
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

  @Test func aGradientThatIsNoNumberIsCaughtAtItsStep() {
    var model = InventedModel(rows: 60)
    model.breaksAt = 11
    let run = Self.run(Self.settings, model)
    guard case .failure(let error) = run.result, case .diverged(11, _, _) = error else {
      Issue.record("it ended with \(run.result)")
      return
    }
    #expect(
      error.description.hasPrefix("the training diverged at step 11: its gradient is not finite; the best before"))
    #expect(error.description.contains("smaller learning rate") && error.description.contains("step 8"))
    // What was saved before is sound.
    #expect(run.saved.allSatisfy { $0.parameters.allSatisfy(\.isFinite) } && run.saved.last?.step == 10)
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
    let nothing = TrainingError.nothingLearned(reward: -0.5, right: 0.25, rows: 12, steps: 30)
    #expect(nothing.description.contains("no validation was better than the base"))
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
  }
}
