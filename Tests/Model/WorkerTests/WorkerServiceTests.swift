import Experts
import ModelFormats
import ModelSamples
import Results
import Settings
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@Suite struct WorkerServiceTests {
  static func adapt(_ model: SyntheticModel, iterations: Int = 2, eval: Int = 6) throws -> AdaptSpec {
    var search = SearchSettings()
    search.population = 6
    search.elites = 3
    search.iterations = iterations
    search.seed = 5
    search.granularities = [.vector, .layer]
    return AdaptSpec(
      model: model.reference, task: try model.task(shots: 4, eval: eval),
      experts: [try model.expert("one", seed: 11), try model.expert("two", seed: 12)], search: search,
      vectorsPath: model.directory + "/vectors.safetensors")
  }

  /// A result without what time decides.
  static func timeless(_ ending: TestWorker.Ending) throws -> Mixture {
    var result = try AdaptResult(decoding: ending.result()).mixture
    result.search.seconds.entries = []
    result.search.costs.secondsPerPrompt = nil
    result.search.costs.estimatedSecondsSaved = nil
    for index in result.search.configurations.indices {
      result.search.configurations[index].seconds = 0
      result.search.configurations[index].costs.secondsPerPrompt = nil
      result.search.configurations[index].costs.estimatedSecondsSaved = nil
    }
    return result
  }

  static func scores(_ journal: [JSONValue]) -> [JSONValue] {
    journal.map { entry in
      guard case .object(var object) = entry else { return entry }
      object["seconds"] = nil
      return .object(object)
    }
  }

  @Test func anAdaptationEndsWithAMixtureThatIsAValidExpert() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let spec = try Self.adapt(model)
      let result = try Self.timeless(try worker.run(spec).ending)
      #expect(result.experts.map(\.name) == ["one", "two"])
      #expect(result.scores.metric == "acc" && result.mix == .delta && result.search.shots == 4)
      #expect(result.scores.base.eval?.count == 6)
      #expect(result.scores.base.heldOut != nil && result.scores.mixture.heldOut != nil)
      #expect(!result.search.kernel.isEmpty)
      #expect(result.search.costs.prompts > 0)

      let inspection = InspectSpec(path: model.path, cacheDirectory: model.reference.cacheDirectory)
      let facts = try ModelFacts(decoding: try worker.run(inspection, job: 2).ending.result())
      #expect(facts.layers == 2 && facts.targets == SyntheticModel.targets && facts.hasTokenizer)
      // What was written is what is served: scoring under either gives the same numbers.
      var alpha = Weights.Mixture(
        experts: spec.experts, granularity: result.granularity, mix: result.mix, rescale: result.rescale,
        alpha: result.alpha.entries.map(\.value.values))
      let mixed = try score(worker, model, .mixture(alpha))
      alpha.experts = [
        ExpertReference(name: "mixture", version: 1, digest: spec.experts[0].digest, path: spec.vectorsPath, blob: nil)
      ]
      alpha.granularity = .vector
      alpha.mix = .delta
      alpha.alpha = [[1]]
      #expect(try score(worker, model, .mixture(alpha)) == mixed)
    }
  }

  private func score(_ worker: TestWorker, _ model: SyntheticModel, _ weights: Weights) throws -> [Float] {
    let call = ScoreCall(
      model: model.reference, prompt: .text("ab"), continuation: .text("cde"), weights: weights, top: 3)
    let answer = try ScoreAnswer(decoding: try worker.answer(.score(call)).get())
    #expect(answer.promptIDs == [97, 98] && answer.continuationIDs == [99, 100, 101])
    #expect(answer.top.count == 3 && answer.top[0].logit >= answer.top[1].logit)
    return answer.logprobs
  }

  /// kill -9, and another number of threads: the journal decides.
  @Test func anInterruptedAdaptationEndsAsTheUninterrupted() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.adapt(model)
      let whole = try TestWorker(threads: 2).run(spec)
      let expected = try Self.timeless(whole.ending)
      let bytes = try FileSystem.readAll(spec.vectorsPath, maximumBytes: 1 << 20)
      for kept in [4, whole.journal.count - 4, whole.journal.count] {
        let worker = try TestWorker(threads: 1)
        let resumed = try worker.run(spec, journal: Array(whole.journal.prefix(kept)))
        #expect(try Self.timeless(resumed.ending) == expected, "after \(kept) entries")
        #expect(Self.scores(resumed.journal) == Self.scores(whole.journal), "after \(kept) entries")
        #expect(try FileSystem.readAll(spec.vectorsPath, maximumBytes: 1 << 20) == bytes)
      }
    }
  }

  @Test func aCancelledJobEndsAndTheWorkerGoesOn() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      var spec = try Self.adapt(model, iterations: 100, eval: 0)
      spec.search.granularities = [.matrix]
      var isAsked = false
      let ending = try worker.run(spec) { _ in
        if !isAsked { try worker.send(.cancelJob(1)) }
        isAsked = true
      }.ending
      #expect(ending == .cancelled)
      _ = try worker.run(try Self.adapt(model, iterations: 1), job: 2).ending.result()
    }
  }

  @Test func oneJobComputesAndShortRequestsGoBetween() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      var spec = try Self.adapt(model, iterations: 100, eval: 0)
      spec.search.granularities = [.matrix]
      let first = try worker.send(.startJob(JobStart(job: 1, spec: spec)))
      let second = try worker.send(.startJob(JobStart(job: 2, spec: spec)))
      let tokenize = try worker.send(.tokenize(model: model.reference, text: "hi", special: false))
      var answers: [Int64: Bool] = [:]
      var isCancelled = false
      while !isCancelled {
        switch try worker.read() {
        case .result(let id, let result):
          answers[id] = true
          if id == tokenize {
            #expect(try TokenizeAnswer(decoding: result).ids == [104, 105])
            try worker.send(.cancelJob(1))
          }
        case .fault(let id, let fault):
          answers[id] = false
          #expect(fault.kind == .busy && fault.retry)
        case .event(.cancelled(1)): isCancelled = true
        case .event(.done): Issue.record("the job ended before the short request was answered")
        case .event: continue
        }
      }
      #expect(answers[first] == true && answers[second] == false && answers[tokenize] == true)
    }
  }

  /// By it the daemon tells a worker that lives from one that hangs.
  @Test func theSignOfLifeDoesNotWaitForAModelThatIsBeingLoaded() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let load = try worker.send(.tokenize(model: model.reference, text: "hi", special: false))
      let memory = try worker.send(.memory)
      var answered: [Int64] = []
      while answered.count < 2 {
        if case .result(let id, _) = try worker.read() { answered.append(id) }
      }
      #expect(answered == [memory, load])
    }
  }

  @Test func lessThanOneShotOrRowIsRefused() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      var search = try Self.adapt(model)
      search.search.shots = -1
      let evaluation = EvaluateSpec(model: model.reference, task: search.task, weights: .fixed(.base), limit: -1)
      let fault = try worker.run(evaluation, job: 1).ending.fault()
      #expect(fault.kind == .badRequest && fault.message.hasPrefix("-1 "), "\(fault)")
      // What is no setting is refused where the message is read.
      let refused = try worker.answer(.startJob(JobStart(job: 2, spec: search)))
      let misread = #expect(throws: WorkerFault.self) { try refused.get() }
      #expect(misread?.kind == .badRequest)
      #expect(misread?.message.contains("search.shots") == true, "\(String(describing: misread))")
    }
  }

  @Test func anEvaluationGivesEveryItem() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let spec = EvaluateSpec(
        model: model.reference, task: try model.task(shots: 4, eval: 34),
        weights: .fixed(.expert(try model.expert("one", seed: 11), rescale: .none)), limit: 33)
      let result = try worker.run(spec).ending.result()
      #expect(result["n"] == 33 && result["split"] == "eval")
      #expect(result["items"]?.arrayValue?.count == 33)
      #expect(result["acc"]?.doubleValue != nil && result["acc_norm"]?.doubleValue != nil)
      #expect(result["ci95"]?.arrayValue?.count == 2)
    }
  }

  @Test func rowsThatAreGeneratedAreSearchedAndEvaluatedToo() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      var spec = try Self.adapt(model)
      spec.task = try model.generatedTask(shots: 2, tokens: 3)
      spec.search.granularities = [.vector]
      let whole = try worker.run(spec)
      let result = try Self.timeless(whole.ending)
      #expect(result.scores.metric == "exact_match" && result.search.shots == 2)
      let resumed = try worker.run(spec, journal: Array(whole.journal.prefix(4)))
      #expect(try Self.timeless(resumed.ending) == result)
      spec.search.objective = .loglik
      let fault = try worker.run(spec).ending.fault()
      #expect(fault.kind == .unsupported)
      let evaluation = EvaluateSpec(model: model.reference, task: spec.task, weights: .fixed(.base))
      let items = try worker.run(evaluation).ending.result()
      #expect(items["n"] == 2 && items["split"] == "fewshot" && items["exact_match"]?.doubleValue != nil)
    }
  }

  @Test func requestsWithDifferentWeightsAreGeneratedTogether() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let weights = Weights.expert(try model.expert("one", seed: 11), rescale: .none)
      var call = GenerateCall(
        model: model.reference, requests: [.init(input: .prompt("ab")), .init(input: .prompt("ab"), weights: weights)],
        maximumTokens: 5, stream: true)
      let id = try worker.send(.generate(call))
      var streamed = ["", ""]
      var tokens: [[Int32]] = [[], []]
      var answer: GenerateAnswer?
      while answer == nil {
        switch try worker.read() {
        case .event(.token(id, let request, let token, let text)):
          streamed[request] += text
          tokens[request].append(token)
        case .result(id, let result): answer = try GenerateAnswer(decoding: result)
        case .event, .result, .fault: Issue.record("only tokens and the answer come")
        }
      }
      #expect(answer?.generations.map(\.text) == streamed)
      #expect(answer?.generations.map(\.ids) == tokens)
      #expect(answer?.generations.allSatisfy { $0.promptTokens == 2 && (1...5).contains($0.ids.count) } == true)
      #expect(answer?.generations.map { $0.digest == nil } == [true, false], "the base has no mixture")
      call.requests = [.init(input: .messages([.init(role: "user", content: "hi")]))]
      guard case .failure(let fault) = try worker.answer(.generate(call)) else {
        Issue.record("a model without a template takes no messages")
        return
      }
      #expect(fault.kind == .unsupported)
    }
  }

  @Test func whatIsWrongIsSaid() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      func failure(_ change: (inout AdaptSpec) throws -> Void) throws -> WorkerFault? {
        var spec = try Self.adapt(model)
        try change(&spec)
        guard case .failed(let fault) = try worker.run(spec).ending else { return nil }
        return fault
      }
      let missing = try failure { $0.model.path = directory + "/none.gguf" }
      #expect(missing?.kind == .modelUnreadable && missing?.message.contains("none.gguf") == true)
      let changed = try failure { $0.model.digest = "sha256:" + String(repeating: "a", count: 64) }
      #expect(changed?.kind == .modelChanged)
      let rescale = try failure { $0.experts.append(try model.expert("third", seed: 13, rescale: "nuclear")) }
      #expect(rescale?.kind == .mixtureInvalid && rescale?.message.contains("third") == true)
      let short = try failure { $0.experts = [try model.expert("short", seed: 14, drop: 1)] }
      #expect(short?.kind == .expertUnreadable && short?.message.contains("q_proj") == true)
      let nobody = try failure { $0.experts = [] }
      #expect(nobody?.kind == .mixtureInvalid)
      let task = try failure { $0.task.path = directory + "/notask" }
      #expect(task?.kind == .taskUnreadable)
      let vectors = try failure { $0.vectorsPath = directory + "/nowhere/v.safetensors" }
      #expect(vectors?.kind == .files)
      let elites = try failure { $0.search.elites = 9 }
      #expect(elites?.kind == .badRequest)
    }
  }

  @Test func aRequestThatIsNotUnderstoodIsRefusedByNumber() throws {
    let worker = try TestWorker()
    try worker.sendRaw("{\"id\":41,\"method\":\"sing\"}\n")
    guard case .fault(41, let fault) = try worker.read() else {
      Issue.record("a fault with the request's number")
      return
    }
    #expect(fault.kind == .badRequest && fault.message.contains("sing"))
    let hello = try HelloAnswer(decoding: try worker.answer(.hello).get())
    #expect(hello.protocolVersion == WorkerProtocol.version && hello.cores == 2 && !hello.kernel.isEmpty)
    #expect(try MemoryAnswer(decoding: try worker.answer(.memory).get()).models.isEmpty)
  }
}
