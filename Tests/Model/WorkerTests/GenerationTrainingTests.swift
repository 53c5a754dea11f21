import Engines
import Adaptation
import Evaluation
import LinearAlgebra
import ModelFormats
import ModelSamples
import Multipliers
import Settings
import StrictJSON
import SystemSupport
import Testing
import Training
import Transformer
import WorkerProtocol

/// Training on rows whose answers are generated, on the synthetic model.
@Suite struct GenerationTrainingTests {
  private static func spec(
    _ model: SyntheticModel, _ change: (inout TrainingSettings) -> Void = { _ in }
  ) throws -> TrainSpec {
    var settings = TrainingSettings()
    settings.steps = 16
    settings.batch = 6
    settings.samples = 4
    settings.baseline = .group
    settings.learningRate = 0.05
    settings.validationInterval = 8
    settings.validationRows = 8
    change(&settings)
    return model.training(
      on: .task(try model.answeredTask(rows: 32, letters: [try model.frequentLetter()])), settings)
  }

  @Test(arguments: [TrainingObjective.reinforce, .nextToken])
  func whatEarnsARewardIsLearned(objective: TrainingObjective) throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) { $0.objective = objective }
      let result = try TestWorker().run(spec).ending.timeless()
      let held = try #require(result["held_out"])
      let base = try #require(held["base"]?["acc"]?.doubleValue)
      let expert = try #require(held["expert"]?["acc"]?.doubleValue)
      #expect(expert > base + 0.2, "\(base) to \(expert)")
      let first = try #require(result["curve"]?.arrayValue?.dropFirst().first?["batch"])
      // A step of next-token generates nothing and so has no reward.
      #expect((first["reward"]?.doubleValue == nil) == (objective == .nextToken))
      #expect(result["training_rows"] == 24 && result["parameters"] == JSONValue(SyntheticModel.parameterCount))
    }
  }

  /// Sampled answers too: they are a function of the seed, the step, the row's place and the sample.
  @Test func aTrainingThatWasCutSamplesTheSameAnswers() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) {
        $0.steps = 6
        $0.validationInterval = 2
        $0.divergenceWeights = [0.01]
      }
      func state() throws -> [UInt8] { try FileSystem.readAll(spec.statePath, maximumBytes: 1 << 20) }
      var states: [[UInt8]] = []
      let whole = try TestWorker(threads: 2).run(spec) { entry in
        if entry["step"] == 3 || entry["step"] == 5 { states.append(try state()) }
      }
      // Whether six steps are enough to be better than the base is not what is asked here.
      let expected = try state()
      #expect(states.count == 2)
      for kept in [[]] + states {
        try FileSystem.remove(spec.statePath)
        if !kept.isEmpty { try FileSystem.writeAtomically(spec.statePath, kept) }
        _ = try TestWorker(threads: 1).run(spec, journal: Array(whole.journal.prefix(3)))
        #expect(try state() == expected)
      }
    }
  }

  @Test func answersThatAreNeverRightEndTheTrainingAndSayWhy() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try Self.spec(model) { $0.samples = 2 }
      // One token of an answer whose gold has three letters.
      spec.lesson = .task(try model.answeredTask(rows: 32, tokens: 1, letters: ["xyz"]))
      let fault = try TestWorker().run(spec).ending.fault()
      #expect(fault.kind == .failed && !fault.retry)
      #expect(fault.message.hasPrefix("no reward to follow at step 5: in 5 steps one after the other"))
    }
  }

  @Test func ofSeveralWeightsOfTheDivergenceTheBestIsKept() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) {
        $0.objective = .nextToken
        $0.divergenceWeights = [1000, 0]
      }
      let run = try TestWorker().run(spec)
      let result = try run.ending.timeless()
      let sweep = try #require(result["sweep"]?.arrayValue)
      #expect(sweep.map { $0["kl_weight"] } == [1000.0, 0.0] && result["kl_weight"] == 0.0)
      // How far it went from the base is a thousandfold part of its loss; the other one is not asked for it.
      let held = try #require(sweep[0]["held_out"])
      let loss = try #require(held["loss"]?.doubleValue)
      let divergence = try #require(held["kl"]?.doubleValue)
      #expect(sweep[0]["problem"] == nil && divergence > 0 && loss > 1000 * divergence, "\(held.jsonText)")
      #expect(sweep[1]["held_out"]?["kl"] == 0.0)
      #expect(sweep[1]["held_out"] == result["held_out"]?["expert"])
      #expect(Set(run.journal.compactMap { $0["training"]?.intValue }) == [0, 1])
      let file = try SafetensorsFile.open(path: spec.expertPath)
      let trainedWith = try parseJSON(try #require(file.metadata.first { $0.key == "t2.trained_with" }?.value))
      #expect(trainedWith["kl"] == 0.0)
      // Cut within the second training, it ends as it did, and journals no step again.
      let resumed = try TestWorker().run(spec, journal: run.journal)
      #expect(try resumed.ending.timeless() == result && resumed.journal == run.journal)
    }
  }

  @Test func aDryRunTrainsNothingAndSaysWhatItWouldTake() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try Self.spec(model)
      spec.isEstimate = true
      let run = try TestWorker().run(spec)
      let result = try run.ending.timeless()
      #expect(result["dry_run"] == true && result["rows"] == 32 && result["training_rows"] == 24)
      #expect(run.journal.isEmpty)
      for path in [spec.expertPath, spec.statePath] { #expect(((try FileSystem.status(path)) ?? nil) == nil) }
      // Prompts of 20 or 21 bytes and 4 answers of 3 tokens, 6 of them.
      let tokens = try #require(result["step_tokens"]?.intValue)
      #expect((6 * (12 + 20)...6 * (12 + 21)).contains(tokens), "\(tokens)")
      #expect(try #require(result["step_seconds"]?.doubleValue) > 0 && result["memory_bytes"] != nil)
    }
  }

  // MARK: - gradients

  private struct Fixture {
    let model: LanguageModel
    let task: TaskDefinition
    let rows: [EncodedRow]
    let solutions: [[Int32]]
    var at: [Float]
    var direction: [Float]

    init(_ synthetic: SyntheticModel) throws {
      model = try LanguageModel.load(
        path: synthetic.path, factorizationDirectory: nil, pool: ComputePool(threads: 2))
      let reference = try synthetic.answeredTask(
        rows: 8, letters: [try synthetic.frequentLetter(), "yes", "zz"])
      task = try TaskFile.load(path: reference.path, name: reference.name)
      let encoder = try TaskEncoder(task, for: model)
      rows = try encoder.encode(task.train)
      solutions = try rows.map { row in try encoder.solution(of: row) }
      var random = Random(seed: 5)
      at = (0..<model.layout.count).map { _ in 1 + 0.2 * random.next() }
      direction = (0..<model.layout.count).map { _ in 0.05 * random.next() }
    }

    func trainee(_ settings: TrainingSettings) throws -> GenerationTrainee {
      try GenerationTrainee(
        TrainedMultipliers(model, matrices: Array(model.layout.matrices.indices)), task: task, rows: rows,
        solutions: solutions, settings: settings, sandbox: nil, shouldStop: { false })
    }

    func moved(_ sign: Float) -> [Float] { zip(at, direction).map { $0 + 0.1 * sign * $1 } }

    func along(_ gradient: [Float]) -> Double {
      zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    }
  }

  @Test(arguments: DivergenceDirection.allCases)
  func theGradientOfNextTokenIsThatOfItsLoss(direction: DivergenceDirection) throws {
    try withTemporaryDirectory { directory in
      let fixture = try Fixture(SyntheticModel(in: directory))
      #expect(fixture.solutions.map(\.count) == [2, 4, 3, 2, 4, 3, 2, 4])  // A space, and no end in this vocabulary.
      var settings = TrainingSettings()
      settings.objective = .nextToken
      settings.divergenceWeight = 0.3
      settings.divergenceDirection = direction
      let trainee = try fixture.trainee(settings)
      let rows = Array(0..<8)
      let (gradient, standing) = try trainee.gradient(of: rows, step: 0, at: fixture.at)
      #expect(standing.reward == nil && standing.divergence > 0)
      #expect(abs(try trainee.standing(of: rows, at: fixture.at).loss - standing.loss) < 1e-5)
      let losses = try [Float(1), -1].map { try trainee.standing(of: rows, at: fixture.moved($0)).loss }
      let expected = (losses[0] - losses[1]) / 0.2
      // Else the tolerance would be as large as what it is to tell apart.
      #expect(abs(expected) > 0.01, "a slope of \(expected) is no slope to compare with")
      let found = fixture.along(gradient)
      #expect(abs(found - expected) < 0.01 * max(0.1, abs(expected)), "\(found) for \(expected)")
    }
  }

  /// The same answers scored under other weights: −Σ A ln π is what the gradient follows, with the π that they were
  /// sampled from.
  @Test(arguments: RewardBaseline.allCases, [1, 1.7] as [Float])
  func theGradientOfReinforceIsThatOfTheAnswersThatWereSampled(
    baseline: RewardBaseline, temperature: Float
  ) throws {
    try withTemporaryDirectory { directory in
      let fixture = try Fixture(SyntheticModel(in: directory))
      var settings = TrainingSettings()
      settings.samples = 12
      settings.baseline = baseline
      settings.temperature = Double(temperature)
      settings.seed = 3
      let rows = [3, 0, 6]
      let (gradient, standing) = try fixture.trainee(settings).gradient(of: rows, step: 4, at: fixture.at)

      let answers = try generateAnswers(
        rows.flatMap { Array(repeating: fixture.rows[$0], count: 12) }, of: fixture.task, by: fixture.model,
        under: .factored(MultiplierVector(fixture.at)),
        sampling: { .sampled(temperature: temperature, topP: 1, seed: 3, stream: UInt64(4 * 36 + $0)) }, priority: .job)
      let scorer = try TaskScorer(fixture.task, sandbox: nil)
      let rewards = try answers.enumerated().map { place, answer in
        try scorer.score(fixture.rows[rows[place / 12]].row, output: answer.text).isCorrect(.exactMatch) ? 1.0 : -1
      }
      let mean = rewards.reduce(0, +) / 36
      #expect(mean > -1 && mean < 1, "both kinds of answers are needed: \(mean)")
      #expect(abs(try #require(standing.reward) - mean) < 1e-12)
      func surrogate(_ parameters: [Float]) throws -> Double {
        let items = answers.enumerated().map { place, answer in
          ScoringItem(prompt: fixture.rows[rows[place / 12]].prompt, continuations: [answer.tokens])
        }
        let scores = try fixture.model.record(
          items, under: MultiplierVector(parameters), temperature: temperature, priority: .job
        ).scores
        return scores.enumerated().reduce(0.0) { sum, score in
          let group = rewards[score.offset / 12 * 12..<score.offset / 12 * 12 + 12]
          let advantage = rewards[score.offset] - (baseline == .group ? group.reduce(0, +) / 12 : 0)
          return sum - advantage * score.element[0].sum / 36
        }
      }
      let expected = try (surrogate(fixture.moved(1)) - surrogate(fixture.moved(-1))) / 0.2
      // Else the tolerance would be as large as what it is to tell apart.
      #expect(abs(expected) > 0.01, "a slope of \(expected) is no slope to compare with")
      let found = fixture.along(gradient)
      #expect(abs(found - expected) < 0.01 * max(0.1, abs(expected)), "\(found) for \(expected)")
    }
  }

  @Test func anotherStepSamplesOtherAnswers() throws {
    try withTemporaryDirectory { directory in
      let fixture = try Fixture(SyntheticModel(in: directory))
      let trainee = try fixture.trainee(TrainingSettings())
      func gradient(_ step: Int) throws -> [Float] {
        try trainee.gradient(of: [1, 2], step: step, at: fixture.at).gradient
      }
      #expect(try gradient(1) == gradient(1))
      #expect(try gradient(1) != gradient(2))
    }
  }
}

extension SyntheticModel {
  static var parameterCount: Int { targets.reduce(0) { $0 + $1.rank } }
}
