import Multipliers
import Records
import Results
import Settings
import StrictJSON
import Testing
import WorkerProtocol

@Suite struct WorkerMessageTests {
  static let model = ModelReference(path: "/m/model.gguf", digest: "sha256:ab", cacheDirectory: "/var/cache")
  static let experts = [
    ExpertReference(name: "science", version: 3, digest: "sha256:01", path: "/blobs/01", blob: nil),
    ExpertReference(name: "social", version: 1, digest: "sha256:02", path: "/blobs/02", blob: nil),
  ]
  static let mixture = Weights.mixture(
    .init(
      experts: experts, granularity: .layer, mix: .sum, rescale: .nuclear,
      alpha: [[0.015625, 0.1, 1], [0.33333334, 0, 5e-7]]))
  static let task = TaskReference(name: "arc_easy", path: "/blobs/t", digest: "sha256:03")

  static var spec: AdaptSpec {
    var search = SearchSettings()
    search.seed = UInt64(Int64.max)
    search.granularities = [.vector, .matrix]
    search.mix = .delta
    search.budgetPrompts = 4000
    return AdaptSpec(model: model, task: task, experts: experts, search: search, vectorsPath: "/staging/v")
  }

  static let dispatch = DispatchSpec(
    labels: [.init(label: "science", weights: mixture), .init(label: "social", weights: .base)],
    template: "{labels}\n{prompt}", templateSource: "etc/t2d/dispatch.txt", reading: .generate, weights: mixture,
    maximumTokens: 9)
  static let decision = Decision(
    label: "other", reading: .score,
    probabilities: [.init(label: "science", probability: 0.25), .init(label: "other", probability: 0.75)],
    text: "I think \\boxed{x}", note: "none of the labels")

  static var training: TrainSpec {
    var settings = TrainingSettings()
    settings.objective = .nextToken
    settings.divergenceWeights = [0, 0.25]
    settings.divergenceDirection = .reference
    settings.samples = 8
    settings.temperature = 0.75
    settings.baseline = .group
    settings.seed = UInt64(Int64.max)
    settings.modules = ["mlp"]
    settings.layers = LayerRange(2...9)
    settings.top = 64
    settings.parameterSpace = .logit
    settings.rows = 100
    return TrainSpec(
      model: model, name: "math", label: "sums", lesson: .task(task), settings: settings, expertPath: "/staging/e",
      statePath: "/trainings/s", isEstimate: true)
  }

  static let calls: [WorkerCall] = [
    .hello, .memory, .cancelJob(9),
    .tokenize(model: model, text: "a\n\u{1F600}\"", special: true),
    .score(ScoreCall(model: model, prompt: .text("p"), continuation: .text(" c"), weights: mixture, top: 5)),
    .score(ScoreCall(model: model, prompt: .tokens([1, 2]), continuation: .tokens([3]))),
    .cancelRequest(6),
    .dispatch(DispatchCall(model: model, prompt: "p", dispatch: dispatch)),
    .generate(
      GenerateCall(
        model: model,
        requests: [
          .init(input: .prompt("x"), weights: mixture),
          .init(input: .messages([.init(role: "user", content: "hi")]), dispatch: dispatch),
          .init(input: .ids([0, 49_151])),
        ], seed: 0xFFFF_FFFF_FFFF_FFFE, stop: ["\n"], stream: true)),
    .startJob(JobStart(job: 4, spec: spec, journal: [.integer(1), .object(["a": .null])])),
    .startJob(
      JobStart(
        job: 5,
        spec: EvaluateSpec(model: model, task: task, weights: .fixed(.base), split: .eval, limit: 10))),
    .startJob(
      JobStart(
        job: 10,
        spec: EvaluateSpec(model: model, task: task, weights: .dispatched(dispatch), split: .train))),
    .startJob(
      JobStart(
        job: 11,
        spec: CompareSpec(
          model: model, task: task,
          columns: [
            .init(name: "base", strategy: .base, weights: .fixed(.base)),
            .init(name: "prompt", strategy: .prompt, weights: .dispatched(dispatch)),
            .init(name: "mixture", strategy: .mixture, weights: .fixed(mixture), note: "stale: a new expert"),
          ], skipped: [.init(name: "classifier", reason: "no dispatcher is active")], split: .eval, limit: 3))),
    .startJob(
      JobStart(
        job: 12,
        spec: SweepSpec(
          model: model, task: task, experts: experts, search: SearchSettings(), shots: [3, 10],
          budgets: [.iterations(5), .prompts(500)], seeds: [1, .max]))),
    .startJob(JobStart(job: 13, spec: training)),
    .startJob(
      JobStart(
        job: 14,
        spec: TrainSpec(
          model: model, name: "sorter",
          lesson: .dispatch(
            .init(
              labels: ["a", "other"], template: "{labels} {prompt}", templateSource: "t",
              sources: [.init(label: "a", task: task)])), settings: TrainingSettings(), expertPath: "/staging/e",
          statePath: "/trainings/s"))),
    .plan(path: "/models/config.json", modules: ["mlp"]),
    .export(ExportCall(model: model, weights: mixture, path: "/staging/x")),
    .export(ExportCall(model: model, weights: .base, rank: 16, path: "/staging/x")),
    .startJob(JobStart(job: 6, spec: InspectSpec(path: "/m", cacheDirectory: "/c"))),
    .startJob(
      JobStart(
        job: 7,
        spec: CheckSpec(kind: .transfer, model: model, task: task, expert: experts[0], shuffles: 3, seed: .max, rows: 9)
      )),
    .startJob(
      JobStart(
        job: 9,
        spec: DispatchEvaluateSpec(
          model: model, rows: [.init(line: 3, prompt: "p", label: "science")],
          strategies: [.init(name: "prompt", dispatch: dispatch)]))),
    .startJob(JobStart(job: 8, spec: CheckSpec(kind: .shuffle, model: model, task: task, expert: experts[1]))),
    .startJob(
      JobStart(
        job: 15,
        spec: AblateSpec(
          model: model, task: task,
          mixture: .init(experts: experts, granularity: .vector, mix: .delta, rescale: .none, alpha: [[0.5], [1]]),
          split: .eval, limit: 7))),
  ]

  @Test(arguments: calls)
  func everyRequestSurvivesTheWire(call: WorkerCall) throws {
    let line = WorkerRequest(id: 7, call: call).json.workerLine
    #expect(line.last == UInt8(ascii: "\n"))
    #expect(!line.dropLast().contains(UInt8(ascii: "\n")))
    let back = try WorkerRequest(decoding: JSONValue(workerLine: Array(line.dropLast())))
    #expect(back == WorkerRequest(id: 7, call: call))
  }

  static let replies: [WorkerReply] = [
    .result(id: 1, .object(["ids": .array([.integer(3)])])),
    .fault(id: 2, WorkerFault(.modelChanged, "another model lies at '/m'", retry: true)),
    .event(
      .progress(
        job: 3, JobProgress(fraction: 0.25, phase: "search", detail: "generation 2 of 8", best: 0.7, etaSeconds: 30))),
    .event(.progress(job: 3, JobProgress(fraction: 0, phase: "loading", detail: ""))),
    .event(.journal(job: 3, entry: .object(["g": .integer(0)]))),
    .event(.done(job: 3, result: .object([:]))),
    .event(.failed(job: 3, WorkerFault(.outOfMemory, "…"))),
    .event(.cancelled(job: 3)), .event(.remade(.factorization, of: "/m/model.gguf", problem: "it was missing")),
    .event(.failed(job: 3, .damaged("task 'arc'", "/tasks/arc", "it is missing"))),
    .event(.token(id: 8, request: 1, token: 77, text: "to")),
    .event(.decided(id: 8, request: 0, decision)),
  ]

  @Test(arguments: replies)
  func everyReplySurvivesTheWire(reply: WorkerReply) throws {
    #expect(try WorkerReply(decoding: JSONValue(workerLine: Array(reply.json.workerLine.dropLast()))) == reply)
  }

  @Test func answersAndResultsSurviveTheWire() throws {
    let hello = HelloAnswer(pid: 12, cores: 2, kernel: "Zen", deservedKernel: "Haswell", kernelTooOld: false)
    #expect(try HelloAnswer(decoding: hello.json) == hello)
    for code in [HelloAnswer.Code(protections: ["seccomp", "limits"]), .init(protections: [], problem: "no python3")] {
      var other = hello
      other.code = code
      #expect(try HelloAnswer(decoding: other.json) == other)
    }
    let facts = ModelFacts(
      digest: "sha256:aa", modelID: "SmolLM2", architecture: "LlamaForCausalLM", parameters: 134_515_008, layers: 30,
      hidden: 576, vocabulary: 49152, contextLength: 8192, quantization: "Q4_1", hasTokenizer: true,
      chatTemplate: nil, chatTemplateProblem: "no template",
      targets: [TargetMatrix(name: "model.layers.0.self_attn.q_proj.weight", rows: 576, columns: 576, layer: 0)],
      factorizationSeconds: 5.5)
    #expect(try ModelFacts(decoding: facts.json) == facts)
    let score = ScoreAnswer(
      promptIDs: [1], continuationIDs: [2, 3], logprobs: [-0.1, -2.5e-7], top: [.init(id: 9, logit: 17.25)])
    #expect(try ScoreAnswer(decoding: score.json) == score)
    let generated = GenerateAnswer(
      generations: [
        .init(text: "x", promptTokens: 4, ids: [9], finish: "stop"),
        .init(
          text: "y", promptTokens: 1, ids: [2, 3], finish: "eos", decision: Self.decision, digest: "sha256:07",
          seconds: .init(queue: 0.5, dispatch: 0.25, prefill: 0.125, decode: 2)),
      ])
    #expect(try GenerateAnswer(decoding: generated.json) == generated)
    let decided = DispatchAnswer(decision: Self.decision, promptTokens: 5, queueSeconds: 0.5, seconds: 0.25)
    #expect(try DispatchAnswer(decoding: decided.json) == decided)
    let memory = MemoryAnswer(resident: 5, limit: 0, models: [.init(path: "/m", digest: "d", bytes: 7)])
    #expect(try MemoryAnswer(decoding: memory.json) == memory)
    #expect(try AdaptResult(decoding: Self.result.json) == Self.result)
  }

  static var result: AdaptResult {
    let scores = ScoreSummary(fit: 0.5, fitLogLikelihood: -.infinity, heldOut: 0.4, heldOutLogLikelihood: -1.5)
    var evaluated = scores
    evaluated.eval = EvalSummary(
      value: 0.6, count: 400, lower: 0.55, upper: 0.65, versusBase: .init(wins: 60, losses: 20, p: 1e-5))
    let mixture = Mixture(
      alpha: [[1], [0]], granularity: .vector, mix: .delta, rescale: .none, units: ["model"],
      experts: experts.map { .init(name: $0.name, version: $0.version, digest: $0.digest) },
      scores: .init(
        metric: "acc", base: scores, experts: ByName(experts.map { ($0.name, scores) }), uniform: scores,
        mixture: evaluated), served: "science", servedBecause: "held out better", taskDigest: "sha256:03",
      baseDigest: "sha256:04", template: "Question: {question}\nAnswer:",
      search: SearchSummary(
        method: "cem", objective: "accuracy", normalized: false, seed: .max, population: 32, elites: 6, shots: 10,
        generations: 4, stopReason: "converged",
        costs: CostSummary(
          prompts: 900, savedByCache: 100, savedByPruning: 40, savedByConvergence: 7, secondsPerPrompt: 0.5),
        configurations: [
          ConfigurationSummary(
            method: "random", granularity: .layer, mix: .sum, coefficients: 60, alpha: [[0.5, 1], [0.25, 0]],
            scores: scores, generations: 4, stopReason: "stalled", seconds: 3.5, costs: CostSummary(prompts: 0),
            isChosen: true,
            history: [
              GenerationSummary(
                generation: 0, best: 0.5, bestLogLikelihood: -.infinity, mean: 0.25, spread: 0.125, prompts: 40),
              GenerationSummary(generation: 1, best: 1, bestLogLikelihood: -2, mean: nil, spread: nil, prompts: 60),
            ])
        ], seconds: [("search", 12.5), ("total", 14)], kernel: "Haswell"),
      evalItems: EvalItems(
        bestExpert: "science", differing: 240,
        items: [
          .init(
            id: "q7", line: 7, question: "a\nb?", gold: "x", base: .init(text: "y", isRight: false),
            bestExpert: .init(text: "x", isRight: true), mixture: .init(text: "", isRight: false))
        ]), warnings: ["w"])
    return AdaptResult(mixture: mixture, vectorsPath: "/staging/v")
  }

  @Test func aLikelihoodOfZeroProbabilityIsNullOnTheWire() throws {
    let json = RecordWriter.json(ScoreSummary(fit: 0, fitLogLikelihood: -.infinity))
    #expect(json.jsonText.contains("\"fit_loglik\":null"))
    #expect(try RecordReader(unknownMembers: .ignored).read(json, as: ScoreSummary.self).fitLogLikelihood == -.infinity)
  }

  @Test func settingsThatSayNothingToTrainByAreRefused() throws {
    let start = WorkerRequest(id: 1, call: .startJob(JobStart(job: 1, spec: Self.training))).json
    func read(_ key: String, _ value: JSONValue) throws {
      var (line, params) = (try #require(start.objectValue), try #require(start["params"]?.objectValue))
      var spec = try #require(params["spec"]?.objectValue)
      var settings = try #require(spec["settings"]?.objectValue)
      settings[key] = value
      spec["settings"] = .object(settings)
      params["spec"] = .object(spec)
      line["params"] = .object(params)
      _ = try WorkerRequest(decoding: .object(line))
    }
    try read("kl", [0.5])
    for (key, value) in [("kl", []), ("layers", "9-0"), ("method", "dora"), ("objective", "luck")] as [(_, JSONValue)] {
      let error = #expect(throws: WorkerProtocolError.self) { try read(key, value) }
      #expect(error.map { "\($0)" }?.contains("settings.\(key)") == true)
    }
  }

  @Test func anErrorNamesThePlace() throws {
    let broken = try JSONValue(
      workerLine: Array(
        #"{"id":1,"method":"score","params":{"model":{"path":1,"cache_directory":"c"},"prompt":"","continuation":""}}"#
          .utf8))
    func problem(_ json: JSONValue) -> String? {
      do throws(WorkerProtocolError) {
        _ = try WorkerRequest(decoding: json)
        return nil
      } catch { return error.description }
    }
    #expect(problem(broken) == "worker message: 'params.model.path' must be a string, and is the integer 1")
    #expect(WorkerRequest.id(of: broken) == 1)
    let unknown = try JSONValue(workerLine: Array(#"{"id":1,"method":"sing"}"#.utf8))
    #expect(problem(unknown)?.hasPrefix("worker message: 'method' must be one of hello, ") == true)
    #expect(problem(unknown)?.hasSuffix("and is 'sing'") == true)
    #expect(problem([]) == "a worker message must be an object, and is a list")
    #expect(throws: WorkerProtocolError.self) { try JSONValue(workerLine: Array("{]".utf8)) }
  }
}
