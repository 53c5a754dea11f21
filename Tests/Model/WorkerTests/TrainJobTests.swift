import Engines
import Adaptation
import Evaluation
import Experts
import LinearAlgebra
import ModelFormats
import ModelSamples
import Multipliers
import Records
import Settings
import StrictJSON
import SystemSupport
import Testing
import Training
import Transformer
import WorkerProtocol

@testable import Worker

/// Trainings of the worker on the synthetic model.
@Suite struct TrainJobTests {
  static func spec(
    _ model: SyntheticModel, lesson: TrainSpec.Lesson? = nil, _ change: (inout TrainingSettings) -> Void = { _ in }
  ) throws -> TrainSpec {
    var settings = TrainingSettings()
    settings.steps = 6
    settings.batch = 4
    settings.learningRate = 0.05
    settings.validationInterval = 2
    settings.validationRows = 8
    change(&settings)
    return model.training(
      on: try lesson ?? .task(try model.trainingTask("letters", rows: 32)), settings, label: "letters")
  }

  private func refusal(_ spec: TrainSpec) throws -> WorkerFault {
    guard case .failed(let fault) = try TestWorker().run(spec).ending else {
      Issue.record("it did not fail")
      throw TestWorker.Closed()
    }
    return fault
  }

  private func vector(_ spec: TrainSpec, _ model: SyntheticModel) throws -> ValidatedExpert {
    let loaded = try LanguageModel.load(path: model.path, factorizationDirectory: nil, pool: ComputePool(threads: 1))
    let signature = ModelSignature(
      name: "model", modelID: loaded.configuration.modelID, digest: try #require(.init(description: loaded.digest)),
      architecture: loaded.configuration.architecture, layout: loaded.layout)
    return try ExpertFile.read(path: spec.expertPath).validated(against: signature)
  }

  @Test func aTaskIsLearnedAndTheExpertSaysHow() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) { $0.steps = 24 }
      let run = try TestWorker().run(spec)
      let result = try run.ending.timeless()
      let held = try #require(result["held_out"])
      let before = try #require(held["base"]?["reward"]?.doubleValue)
      let after = try #require(held["expert"]?["reward"]?.doubleValue)
      #expect(held["n"] == 8 && after > before + 0.3, "\(before) to \(after)")
      #expect(result["kind"] == "expert" && result["training_rows"] == 24 && result["rows"] == 32)
      #expect(result["curve"]?.arrayValue?.compactMap { $0["step"]?.intValue } == Array(0...24))
      #expect(run.journal == result["curve"]?.arrayValue)

      let expert = try vector(spec, model)
      #expect(expert.name == "learned" && expert.label == "letters" && expert.kind == .expert)
      #expect(expert.metadata.task == "letters" && expert.baseMatch == .same && expert.warnings.isEmpty)
      #expect(expert.parameters.count == SyntheticModel.targets.count)
      let trainedWith = try parseJSON(try #require(expert.metadata.trainedWith))
      #expect(
        trainedWith["objective"] == "reinforce" && trainedWith["seed"] == RecordWriter.json(spec.settings)["seed"])
      #expect(trainedWith["data"]?.arrayValue?.first?["digest"]?.stringValue?.hasPrefix("sha256:") == true)
      #expect(try parseJSON(try #require(expert.metadata.metrics))["held_out"] == held)
    }
  }

  @Test func loraLearnsTheSameRowsAndMakesNoExpert() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let task = try model.trainingTask("letters", rows: 32)
      let spec = try Self.spec(model, lesson: .task(task)) {
        $0.method = .lora
        $0.rank = 4
        $0.modules = ["q_proj", "v_proj"]
        $0.steps = 24
      }
      let result = try TestWorker().run(spec).ending.timeless()
      let held = try #require(result["held_out"])
      let before = try #require(held["base"]?["reward"]?.doubleValue)
      let after = try #require(held["expert"]?["reward"]?.doubleValue)
      #expect(after > before + 0.1, "\(before) to \(after)")
      let count = SyntheticModel.targets.filter { $0.name.contains("q_proj") || $0.name.contains("v_proj") }
        .reduce(0) { $0 + 4 * ($1.rows + $1.columns) }
      #expect(result["parameters"]?.intValue == count && result["method"] == "lora" && result["rank"] == 4)
      let eval = try #require(result["eval"])
      #expect(eval["n"] == 4 && eval["task"] == "letters")
      for name in ["base", "lora"] {
        #expect(eval[name]?["acc"] != nil && eval[name]?["acc_norm"] != nil && eval[name]?["ci95"] != nil)
      }
      #expect((try FileSystem.status(spec.expertPath)) == nil)
      // From its seed alone, with another number of threads, it ends with the same numbers.
      try FileSystem.remove(spec.statePath)
      #expect(try TestWorker(threads: 1).run(spec).ending.timeless() == result)
    }
  }

  @Test func twoLorasAreMixedAndScoredOnBothTasks() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try Self.spec(model, lesson: .task(try model.trainingTask("letters", rows: 32))) {
        $0.method = .lora
        $0.modules = ["q_proj", "v_proj"]
        $0.steps = 12
      }
      spec.partner = try model.trainingTask("others", rows: 32, questions: ["cccccc", "tttttt"])
      let run = try TestWorker().run(spec)
      let result = try run.ending.timeless()
      let mixtures = try #require(result["mixing"]?.arrayValue)
      #expect(
        mixtures.map { "\($0["weights"]?.stringValue ?? "") \($0["share"]?.doubleValue ?? -1)" } == [
          "base 0.0", "first 0.0", "parameters 0.25", "products 0.25", "parameters 0.5", "products 0.5",
          "parameters 0.75", "products 0.75", "second 1.0",
        ])
      for mixture in mixtures {
        #expect(mixture["scores"]?.arrayValue?.map { $0["task"] } == ["letters", "others"])
        #expect(mixture["scores"]?.arrayValue?.allSatisfy { $0["n"] == 4 && $0["acc"] != nil } == true)
      }
      // The ends are what each training came to, and the journal tells the two apart.
      #expect(mixtures[0]["scores"]?.arrayValue?.first?["acc"] == result["eval"]?["base"]?["acc"])
      #expect(mixtures[1]["scores"]?.arrayValue?.first?["acc"] == result["eval"]?["lora"]?["acc"])
      #expect(Set(run.journal.compactMap { $0["training"]?.intValue }) == [0, 1])
    }
  }

  @Test func loraIsRefusedWhereItsMatricesDoNotFit() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model, lesson: .task(try model.trainingTask("letters", rows: 32))) {
        $0.method = .lora
        $0.modules = ["q_proj"]
      }
      let bytes = Mutex(Int.max)
      let worker = try TestWorker(
        limits: MemoryLimits(room: MemoryRoom(advice: "raise the limit") { bytes.withLock { $0 } }))
      #expect(throws: Never.self) {
        try worker.answer(.tokenize(model: model.reference, text: "a", special: false)).get()
      }
      bytes.withLock { $0 = 1000 }
      let fault = try worker.run(spec).ending.fault()
      #expect(fault.kind == .notEnoughMemory && fault.message.hasPrefix("LoRA, "), "\(fault.message)")
    }
  }

  @Test func loraSaysWhatItIsNotFor() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let other = try refusal(
        try Self.spec(model) {
          $0.method = .lora
          $0.modules = ["mlp"]
        })
      #expect(
        other.message.contains("lora is for q_proj, k_proj and v_proj, and 'model.layers.0.mlp.gate_proj.weight'"))
    }
  }

  /// Killed after any validation, and with another number of threads.
  @Test func aTrainingThatWasCutEndsWithTheSameFile() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) { $0.divergenceWeights = [0.1] }
      var states: [[UInt8]] = []
      let whole = try TestWorker(threads: 2).run(spec) { entry in
        if entry["step"] != 0, entry["validation"] != nil {
          // The file may not be written yet when the entry comes; the next one finds it.
          if let state = try? FileSystem.readAll(spec.statePath, maximumBytes: 1 << 20) { states.append(state) }
        }
      }
      states.append(try FileSystem.readAll(spec.statePath, maximumBytes: 1 << 20))
      let expected = try whole.ending.timeless()
      let bytes = try FileSystem.readAll(spec.expertPath, maximumBytes: 1 << 20)
      for state in [[]] + states {
        try FileSystem.remove(spec.statePath)
        if !state.isEmpty { try FileSystem.writeAtomically(spec.statePath, state) }
        let resumed = try TestWorker(threads: 1).run(spec, journal: Array(whole.journal.prefix(3)))
        #expect(try resumed.ending.timeless() == expected)
        #expect(try FileSystem.readAll(spec.expertPath, maximumBytes: 1 << 20) == bytes)
        #expect(resumed.journal == whole.journal, "whatever was in the state alone")
      }
    }
  }

  @Test func theStateOfAnotherTrainingIsNotGoneOnWith() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let first = try Self.spec(model)
      let expected = try worker.run(first).ending.timeless()
      var other = first
      other.settings.seed = 9
      #expect(try worker.run(other, job: 2).ending.timeless() != expected)
      #expect(try worker.run(first, job: 3).ending.timeless() == expected)
    }
  }

  @Test func aCancelledTrainingGoesOnFromItsLastStep() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) {
        $0.steps = 400
        $0.validationInterval = 400
        $0.learningRate = 1e-4
      }
      let worker = try TestWorker()
      var isAsked = false
      let cut = try worker.run(spec) { entry in
        if entry["step"] == 2, !isAsked {
          isAsked = true
          try worker.send(.cancelJob(1))
        }
      }
      #expect(cut.ending == .cancelled)
      let file = try SafetensorsFile.open(path: spec.statePath)
      let entry = try #require(file.metadata.first { $0.key == "t2.training.state" }?.value)
      #expect(try parseJSON(entry)["step"]?.intValue == cut.journal.last?["step"]?.intValue)
    }
  }

  /// As when the disk is full: the error says so, and what was saved before is whole.
  @Test func aStateThatCannotBeSavedEndsTheTrainingAndTheLastOneIsGoneOnWith() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try Self.spec(model)
      let expected = try TestWorker().run(spec).ending.timeless()
      let bytes = try FileSystem.readAll(spec.expertPath, maximumBytes: 1 << 20)

      let (states, away) = (directory + "/states", directory + "/away")
      try FileSystem.createDirectories(states)
      spec.statePath = states + "/state.safetensors"
      let cut = try TestWorker().run(spec) { entry in
        // Behind the first state: the next one has no place to go.
        if entry["step"] == 3 { try FileSystem.rename(states, to: away) }
      }
      let fault = try cut.ending.fault()
      #expect(fault.kind == .files && fault.retry && fault.message.contains("cannot save the training's state"))
      #expect(fault.message.contains("the same training goes on from it"))
      try FileSystem.rename(away, to: states)
      let resumed = try TestWorker().run(spec, journal: cut.journal)
      #expect(try resumed.ending.timeless() == expected)
      #expect(try FileSystem.readAll(spec.expertPath, maximumBytes: 1 << 20) == bytes)
    }
  }

  @Test func onlyTheModulesThatWereAskedForAreTrained() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) { $0.modules = ["attention", "down_proj"] }
      _ = try TestWorker().run(spec).ending.timeless()
      let expert = try vector(spec, model)
      #expect(expert.parameters.count == 2 * 5)
      for (matrix, values) in expert.parameters {
        let name = SyntheticModel.targets[matrix].name
        #expect(name.contains("self_attn") || name.contains("down_proj"))
        #expect(values.contains { $0 != 1 }, "\(name)")
      }
    }
  }

  @Test func aLogitExpertOfSomeLayersAndComponentsHoldsWhatWasTrained() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) {
        $0.parameterSpace = .logit
        $0.layers = LayerRange(1...1)
        $0.modules = ["mlp"]
        $0.top = 5
      }
      #expect(try TestWorker().run(spec).ending.timeless()["parameters"] == 15)
      let expert = try vector(spec, model)
      let metadata = expert.metadata
      #expect(metadata.parameterSpace == .logit && metadata.maximumMultiplier == 2 && metadata.rescale == .none)
      #expect(expert.parameters.count == 3 && expert.warnings.isEmpty)
      for (matrix, values) in expert.parameters {
        let name = SyntheticModel.targets[matrix].name
        #expect(name.hasPrefix("model.layers.1.mlp."))
        #expect(values.prefix(5).contains { $0 != 0 } && values.dropFirst(5).allSatisfy { $0 == 0 }, "\(name)")
      }
    }
  }

  /// And its export as a LoRA of that rank says so.
  @Test(arguments: [ComponentChoice?.none, .largest])
  func anExpertOfFewComponentsChangesAtMostSoManyOfAMatrix(by choice: ComponentChoice?) throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) {
        $0.components = 3
        $0.componentsBy = choice
      }
      let worker = try TestWorker()
      #expect(try worker.run(spec).ending.timeless()["parameters"] == 42)
      let expert = try vector(spec, model)
      var places: Set<[Int]> = []
      for (_, values) in expert.parameters {
        let changed = values.indices.filter { values[$0] != 1 }
        #expect(changed.count <= 3 && !changed.isEmpty)
        places.insert(changed)
      }
      if choice == .largest {
        #expect(places.allSatisfy { $0.allSatisfy { $0 < 3 } })
      } else {
        #expect(places.contains { $0.contains { $0 >= 3 } }, "the gradient chose the largest of every matrix")
      }
      let trained = try parseJSON(Array(try #require(expert.metadata.trainedWith).utf8))
      #expect(trained["components"] == 3)
      #expect(trained["components_by"]?.stringValue == (choice ?? .training).rawValue)
      let reference = ExpertReference(name: "x", version: 1, digest: "", path: spec.expertPath, blob: nil)
      let call = ExportCall(
        model: model.reference, weights: .expert(reference, rescale: .none), rank: 3, path: directory + "/lora")
      let fit = try #require(try ExportAnswer(decoding: try worker.answer(.export(call)).get()).fit)
      #expect(fit.exact && fit.relativeError == 0)
      // Cut anywhere, and with another number of threads, it is the same file.
      let bytes = try FileSystem.readAll(spec.expertPath, maximumBytes: 1 << 20)
      _ = try FileSystem.remove(spec.statePath)
      _ = try TestWorker(threads: 1).run(spec).ending.result()
      #expect(try FileSystem.readAll(spec.expertPath, maximumBytes: 1 << 20) == bytes)
    }
  }

  @Test func aDispatcherLearnsWhichLabelARequestHas() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let lesson = TrainSpec.Lesson.dispatch(
        .init(
          labels: ["nuts", "other"], template: "{labels}? {prompt}", templateSource: "a test",
          sources: [
            .init(label: "nuts", task: try model.trainingTask("nuts", rows: 16, questions: ["zzzzzz"])),
            .init(label: "other", task: try model.trainingTask("rest", rows: 16, questions: ["aaaaaa"])),
          ]))
      var spec = try Self.spec(model, lesson: lesson) {
        $0.steps = 16
        $0.objective = .crossEntropy
      }
      spec.label = nil
      let result = try TestWorker().run(spec).ending.timeless()
      #expect(result["kind"] == "dispatcher" && result["held_out"]?["expert"]?["acc"] == 1.0)
      let expert = try vector(spec, model)
      #expect(expert.kind == .dispatcher && expert.metadata.task == nil && expert.label == nil)
      // What was learned is what a dispatch asks.
      let worker = try TestWorker()
      let reference = ExpertReference(name: "learned", version: 1, digest: "sha256:0", path: spec.expertPath, blob: nil)
      for (prompt, label) in [("99 zzzzzz", "nuts"), ("99 aaaaaa", "other")] {
        let call = DispatchCall(
          model: model.reference, prompt: prompt,
          dispatch: DispatchSpec(
            labels: [.init(label: "nuts", weights: .base)], template: "{labels}? {prompt}", templateSource: "a test",
            reading: .score, weights: .expert(reference, rescale: .none)))
        let answer = try DispatchAnswer(decoding: try worker.answer(.dispatch(call)).get())
        #expect(answer.decision.label == label, "\(prompt)")
      }
    }
  }

  @Test func whatCannotBeTrainedOnIsRefused() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let untrained = try refusal(try Self.spec(model, lesson: .task(try model.task("plain", shots: 4, eval: 4))))
      #expect(untrained.kind == .taskUnreadable && untrained.message.contains("has no training rows"))

      let unchosen = try refusal(
        try Self.spec(model, lesson: .task(try model.answeredTask(rows: 12))) { $0.objective = .crossEntropy })
      #expect(unchosen.kind == .badRequest && unchosen.message.contains("have none; use reinforce or next-token"))
      let far = try refusal(try Self.spec(model) { $0.layers = LayerRange(1...2) })
      #expect(far.kind == .badRequest && far.message.contains("the model has 0 to 1"))

      let few = try refusal(try Self.spec(model) { $0.rows = 7 })
      #expect(few.kind == .taskUnreadable && few.message.contains("there are 7"))
      let modules = try refusal(try Self.spec(model) { $0.modules = ["mpl"] })
      #expect(modules.kind == .badRequest && modules.message.contains("'mpl'") && modules.message.contains("gate_proj"))
      let layers = try refusal(try Self.spec(model) { $0.modules = ["layers"] })
      #expect(layers.kind == .badRequest)
      let steps = try refusal(try Self.spec(model) { $0.warmUp = 6 })
      #expect(steps.kind == .badRequest && steps.message.contains("warm-up"))
      var nowhere = try Self.spec(model)
      nowhere.statePath = model.directory + "/none/state.safetensors"
      let unsaved = try refusal(nowhere)
      #expect(unsaved.kind == .files && unsaved.message.contains("cannot save the training's state"))
    }
  }

  /// From the multipliers through the network to the objective, against differences of scoring.
  @Test(arguments: TrainingObjective.allCases)
  func theGradientIsThatOfTheLoss(objective: TrainingObjective) throws {
    try withTemporaryDirectory { directory in
      let synthetic = try SyntheticModel(in: directory)
      let model = try LanguageModel.load(
        path: synthetic.path, factorizationDirectory: nil, pool: ComputePool(threads: 2))
      var random = Random(seed: 5)
      func tokens(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(abs(random.next()) * 255) } }
      let examples = (0..<4).map { number in
        ChoiceExample(
          item: ScoringItem(prompt: tokens(6), continuations: [tokens(1), tokens(3), tokens(2)]), gold: number % 3)
      }
      var settings = TrainingSettings()
      settings.objective = objective
      settings.divergenceWeight = 0.2
      let weights = TrainedMultipliers(model, matrices: Array(model.layout.matrices.indices))
      let trainee = ChoiceTrainee(weights, examples: examples, settings: settings, shouldStop: { false })
      let at = (0..<model.layout.count).map { _ in 1 + 0.2 * random.next() }
      let direction = (0..<model.layout.count).map { _ in 0.05 * random.next() }
      let gradient = try trainee.gradient(of: [0, 1, 2, 3], step: 0, at: at).gradient
      let found = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
      func loss(_ sign: Float) throws -> Double {
        try trainee.standing(of: [0, 1, 2, 3], at: zip(at, direction).map { $0 + 0.1 * sign * $1 }).loss
      }
      let expected = (try loss(1) - loss(-1)) / 0.2
      #expect(abs(found - expected) < 0.01 * max(0.1, abs(expected)), "\(found) against \(expected)")
    }
  }
}

extension SyntheticModel {
  func training(on lesson: TrainSpec.Lesson, _ settings: TrainingSettings, label: String? = nil) -> TrainSpec {
    TrainSpec(
      model: reference, name: "learned", label: label, lesson: lesson, settings: settings,
      expertPath: directory + "/learned.safetensors", statePath: directory + "/state.safetensors")
  }

  /// A task with training rows whose right choice depends on which of the questions is asked.
  func trainingTask(_ name: String, rows: Int, questions: [String] = ["aaaaaa", "zzzzzz"]) throws -> TaskReference {
    let reference = try task(name, shots: 4, eval: 4)
    let lines = (0..<rows).flatMap { index -> [UInt8] in
      let kind = index % questions.count
      let row: JSONValue = [
        "question": .string("\(index) \(questions[kind])"), "choices": ["x", "y", "zz"], "answer": JSONValue(kind),
      ]
      return row.workerLine
    }
    try FileSystem.writeAtomically(reference.path + "/train.jsonl", lines)
    return reference
  }

  /// A task with training rows whose answers are generated: right is one that begins with the row's letter.
  func answeredTask(rows: Int, tokens: Int = 3, letters: [String] = ["x"]) throws -> TaskReference {
    let path = directory + "/answered"
    try FileSystem.createDirectories(path)
    func lines(_ mark: String, _ count: Int) -> [UInt8] {
      (0..<count).flatMap { index -> [UInt8] in
        let row: JSONValue = [
          "question": .string("\(mark)\(index)?"), "answer": .string(letters[index % letters.count]),
        ]
        return row.workerLine
      }
    }
    try FileSystem.writeAtomically(path + "/fewshot.jsonl", lines("few", 4))
    try FileSystem.writeAtomically(path + "/train.jsonl", lines("", rows))
    let settings: JSONValue = [
      "max_tokens": JSONValue(tokens), "chat": false, "extract": ["regex": "[!-~]", "pick": "first"],
    ]
    try FileSystem.writeAtomically(path + "/task.json5", settings.serialized())
    return TaskReference(name: "answered", path: path, digest: "")
  }

  /// A letter with which the base often begins an answer to that task, but not always: what a reward can be had for.
  func frequentLetter() throws -> String {
    let reference = try answeredTask(rows: 8)
    let model = try LanguageModel.load(
      path: path, factorizationDirectory: directory + "/cache", pool: ComputePool(threads: 1))
    let task = try TaskFile.load(path: reference.path, name: reference.name)
    let rows = try TaskEncoder(task, for: model).encode(task.train)
    let answers = try generateAnswers(
      rows + rows + rows + rows, of: task, by: model, under: .base,
      sampling: { .sampled(temperature: 1, topP: 1, seed: 11, stream: UInt64($0)) }, priority: .job)
    var counts: [String: Int] = [:]
    for answer in answers {
      let letter = answer.text.first { $0.isASCII && $0 > " " && $0 <= "~" }
      if let letter { counts[String(letter), default: 0] += 1 }
    }
    return counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? "x"
  }
}
