import EngineLink
import Engines
import FakeEngine
import Glibc
import LinearAlgebra
import ModelFormats
import ModelSamples
import Multipliers
import Results
import Settings
import StrictJSON
import SystemSupport
import Testing
import Transformer
import WorkerProtocol

/// Models that engines elsewhere compute, seen from the worker. What the engines of these tests compute comes from the built-in
/// one on the same model, so the two ways through the worker can be compared.
@Suite struct RemoteEngineTests {
  /// The numbers of a model, token by token.
  private static func served(_ sample: SyntheticModel) throws -> FakeModel {
    let model = try LanguageModel.load(path: sample.path, factorizationDirectory: sample.directory + "/cache")
    var served = FakeModel()
    served.engine = "torch"
    served.id = model.facts.modelID
    served.digest = model.facts.digest
    served.layers = model.facts.layers
    served.hidden = model.facts.hidden
    served.vocabulary = model.facts.vocabulary
    served.context = model.facts.context
    served.endIDs = model.facts.eosIDs
    served.targets = model.layout.matrices.map { FakeModel.Target($0.name, $0.rows, $0.columns) }
    served.files = [
      ("tokenizer.json", try FileSystem.readAll(sample.path + "/tokenizer.json", maximumBytes: 1 << 20))
    ]
    served.logprob = { before, token, multipliers in
      let vector = MultiplierVector(multipliers)
      let scores = try? model.score(
        [ScoringItem(prompt: before, continuations: [[token]])], under: vector.isIdentity ? .base : .factored(vector),
        priority: .job)
      return scores?[0][0].logprobs[0] ?? .nan
    }
    return served
  }

  /// Runs a body with engines of a random model, and what names them to a worker.
  private static func withEngines(
    _ count: Int, _ change: (inout FakeModel) -> Void = { _ in },
    _ body: (SyntheticModel, ModelReference, [FakeEngine]) throws -> Void
  ) throws {
    try withTemporaryDirectory { directory in
      let sample = try SyntheticModel(in: directory)
      var model = try served(sample)
      change(&model)
      var engines: [FakeEngine] = []
      defer { for engine in engines { engine.stop() } }
      for number in 0..<count { engines.append(try FakeEngine(.unix(path: "\(directory)/\(number).sock"), model)) }
      let reference = ModelReference(
        path: engines.map(\.address).joined(separator: ","), engine: .torch, digest: "",
        cacheDirectory: directory + "/cache")
      try body(sample, reference, engines)
    }
  }

  private func spec(_ sample: SyntheticModel, _ reference: ModelReference) throws -> AdaptSpec {
    var spec = try WorkerServiceTests.adapt(sample, iterations: 1, eval: 2)
    spec.search.granularities = [.vector]
    spec.search.population = 4
    spec.model = reference
    return spec
  }

  @Test func aSearchOnEnginesEndsAsOneInThisProcessAndIsTheSameForAnyNumberOfThem() throws {
    try Self.withEngines(3) { sample, reference, engines in
      let here = try WorkerServiceTests.timeless(try TestWorker().run(try spec(sample, sample.reference)).ending)
      let alone = ModelReference(
        path: engines[0].address, engine: .torch, digest: "", cacheDirectory: reference.cacheDirectory)
      let one = try WorkerServiceTests.timeless(try TestWorker().run(try spec(sample, alone)).ending)
      let three = try WorkerServiceTests.timeless(try TestWorker().run(try spec(sample, reference)).ending)
      #expect(three == one)
      #expect(one.alpha == here.alpha)
      #expect(one.search.kernel.hasPrefix("torch (fake 1.0)"), "\(one.search.kernel)")
      let (a, b) = (here.scores.mixture.fit, one.scores.mixture.fit)
      #expect(abs(a - b) < 1e-3, "\(a) here, \(b) by an engine")
      #expect(engines.allSatisfy { $0.count("POST", "/t2/score") > 0 })
    }
  }

  @Test func anEngineThatDiesInASearchChangesNothingInIt() throws {
    try Self.withEngines(2) { sample, reference, engines in
      let whole = try WorkerServiceTests.timeless(try TestWorker().run(try spec(sample, reference)).ending)
      engines[1].misbehave(.dies, on: "/t2/score", after: 3)
      let worker = try TestWorker()
      let found = try WorkerServiceTests.timeless(try worker.run(try spec(sample, reference)).ending)
      #expect(found == whole)
      let memory = try MemoryAnswer(decoding: try worker.answer(.memory).get())
      #expect(memory.models.first?.replicas?.map(\.state) == [.ready, .dead], "\(memory.models)")
    }
  }

  @Test func textsAreThoseOfTheBuiltInEngineUnderAnyWeights() throws {
    try Self.withEngines(1) { sample, reference, _ in
      let experts = [try sample.expert("one", seed: 11)]
      let mixture = Weights.mixture(
        Weights.Mixture(experts: experts, granularity: .vector, mix: .delta, rescale: .none, alpha: [[0.7]]))
      func texts(_ model: ModelReference) throws -> [GenerateAnswer.Generation] {
        let requests = [Weights.base, mixture].map { GenerateCall.Request(input: .prompt("abc"), weights: $0) }
        let call = GenerateCall(model: model, requests: requests, maximumTokens: 12)
        return try GenerateAnswer(decoding: try TestWorker().answer(.generate(call)).get()).generations
      }
      let (here, there) = (try texts(sample.reference), try texts(reference))
      #expect(here.map(\.ids) == there.map(\.ids) && here[0].ids != here[1].ids)
      #expect(here.map(\.text) == there.map(\.text) && here.map(\.finish) == there.map(\.finish))
      #expect(here.map(\.digest) == there.map(\.digest))
    }
  }

  @Test func anEngineThatDiesWhileNobodyAsksItIsSeenToBeGoneAndToBeBack() throws {
    try Self.withEngines(1) { _, reference, engines in
      let engine = try RemoteEngine(
        .torch, at: [try EngineAddress(text: engines[0].address)], lookEvery: .milliseconds(50),
        shouldStop: { false }, whileStarting: { _, _ in })
      #expect(engine.health.map(\.state) == [.ready])
      engines[0].kill()
      #expect(isSeen(engine, as: .dead))
      #expect(engine.health[0].detail?.isEmpty == false)
      try engines[0].restart()
      #expect(isSeen(engine, as: .ready))
    }
  }

  /// Within half a minute.
  private func isSeen(_ engine: RemoteEngine, as state: EngineReplica.State) -> Bool {
    let deadline = Deadline.after(.seconds(30))
    while engine.health[0].state != state {
      if deadline.hasPassed { return false }
      _ = poll(nil, 0, 1)
    }
    return true
  }

  private func score(_ worker: TestWorker, _ model: ModelReference, _ weights: Weights = .base) throws -> Result<
    JSONValue, WorkerFault
  > {
    try worker.answer(
      .score(ScoreCall(model: model, prompt: .text("ab"), continuation: .text("cde"), weights: weights, top: 0)))
  }

  private func fault(_ result: Result<JSONValue, WorkerFault>) throws -> WorkerFault {
    if case .failure(let fault) = result { return fault }
    throw WorkerFault(.failed, "it answered: \(try result.get().jsonText)")
  }

  @Test func anEngineThatIsAwayIsAFaultThatNamesItAndTheModelsHereGoOn() throws {
    try Self.withEngines(1) { sample, reference, engines in
      let worker = try TestWorker()
      engines[0].stop()
      let fault = try fault(try score(worker, reference))
      #expect(fault.kind == .engineUnavailable && fault.retry, "\(fault)")
      #expect(fault.message.contains(engines[0].address), "\(fault)")
      #expect(try ScoreAnswer(decoding: try score(worker, sample.reference).get()).logprobs.count == 3)
    }
  }

  @Test func anAnswerForTheBaseWhereAMixtureWasAskedForIsNoScore() throws {
    try Self.withEngines(1) { sample, reference, engines in
      let worker = try TestWorker()
      let mixture = Weights.mixture(
        Weights.Mixture(
          experts: [try sample.expert("one", seed: 11)], granularity: .vector, mix: .delta, rescale: .none,
          alpha: [[1]]))
      _ = try score(worker, reference, mixture).get()
      engines[0].misbehave(.answersForBase, on: "/t2/score")
      let fault = try fault(try score(worker, reference, mixture))
      #expect(fault.kind == .engineUntrusted && !fault.retry, "\(fault)")
    }
  }

  @Test func anEngineOfAnotherModelOrAnotherNameIsRefused() throws {
    try Self.withEngines(1) { sample, reference, engines in
      var registered = reference
      registered.digest = "sha256:" + String(repeating: "0", count: 64)
      let changed = try fault(try score(try TestWorker(), registered))
      #expect(changed.kind == .modelChanged && changed.message.contains(registered.digest), "\(changed)")
      var other = reference
      other.engine = .vllm
      let named = try fault(try score(try TestWorker(), other))
      #expect(named.kind == .engineUntrusted && named.message.contains("'torch'"), "\(named)")
    }
  }

  @Test func aShortRequestIsToldThatAnEngineStartsAndAJobWaitsForIt() throws {
    try Self.withEngines(1) { sample, reference, engines in
      engines[0].misbehave(
        .error(status: 503, code: "not_ready", message: "reading the weights", progress: 0.5), on: "/t2/facts", times: 2
      )
      let fault = try fault(try score(try TestWorker(), reference))
      #expect(fault.kind == .engineUnavailable && fault.message.contains("reading the weights"), "\(fault)")
      let inspection = InspectSpec(path: reference.path, engine: .torch, cacheDirectory: reference.cacheDirectory)
      let facts = try ModelFacts(decoding: try TestWorker().run(inspection).ending.result())
      #expect(facts.targets == SyntheticModel.targets && facts.hasTokenizer)
      #expect(facts.computedBy == "torch (fake 1.0), float32")
    }
  }
}
