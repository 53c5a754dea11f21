import Settings
import Daemon
import Digests
import Experts
import Glibc
import ModelFormats
import Multipliers
import Records
import Results
import StrictJSON
import SystemSupport
import WorkerProtocol

/// Speaks the worker's protocol over a socketpair without a model: what it computes is invented, and when it does what
/// is scripted by the test.
final class FakeWorker: WorkerLauncher {
  /// What becomes of the next search, taken from the front; an empty list means `finish`.
  enum Search: Equatable {
    case finish
    /// Journals so many generations and then is gone, as after kill -9.
    case die(afterGenerations: Int)
    case fail
    /// Does nothing until it is cancelled, or released with `release`.
    case wait
    /// Does nothing, and goes on with it when it is cancelled.
    case ignore
  }

  private struct State {
    var script: [Search] = []
    /// Jobs that follow the script beside searches.
    var scriptedKind: JobKind?
    var verdicts: [CheckVerdict] = []
    var trainingFault: WorkerFault?
    var spoilsTrainings = false
    var spoilsVectors = false
    var variesVectors = false
    var launches = 0
    var starts: [JobStart] = []
    var generations: [GenerateCall] = []
    var holdsGenerations = false
    var cancelledRequests = 0
    var isMute = false
    var isReleased = false
    var waiting: [(JobStart, FileDescriptor)] = []
  }

  private let state = Mutex(State())

  init(_ script: [Search] = []) { state.withLock { $0.script = script } }

  /// Every job that was started, in order.
  var starts: [JobStart] { state.withLock { $0.starts } }
  /// How many of them were searches.
  var searches: Int { starts.count { $0.spec is AdaptSpec } }
  /// Every `generate` that came, in order.
  var generations: [GenerateCall] { state.withLock { $0.generations } }
  var launches: Int { state.withLock { $0.launches } }
  func script(_ searches: [Search]) { state.withLock { $0.script = searches } }
  /// From now on no `generate` is answered.
  func holdGenerations() { state.withLock { $0.holdsGenerations = true } }
  /// How many requests it was told to forget.
  var cancelledRequests: Int { state.withLock { $0.cancelledRequests } }
  /// The script holds for checks too.
  func scriptChecks() { state.withLock { $0.scriptedKind = CheckSpec.kind } }
  /// What the next checks find, in order; then all are inconclusive.
  func find(_ verdicts: [CheckVerdict]) { state.withLock { $0.verdicts = verdicts } }
  /// What trainings end with from now on, after they have saved their states and journalled two points.
  func failTrainings(with fault: WorkerFault) { state.withLock { $0.trainingFault = fault } }
  /// From now on the experts that are trained cannot be read.
  func spoilTrainings() { state.withLock { $0.spoilsTrainings = true } }
  /// From now on what is staged is not what the worker wrote.
  func spoilVectors(_ spoils: Bool) { state.withLock { $0.spoilsVectors = spoils } }
  /// From now on what is found depends on how many experts there are.
  func varyVectors() { state.withLock { $0.variesVectors = true } }
  /// From now on no request is answered.
  func fallSilent() { state.withLock { $0.isMute = true } }

  /// Lets the search go on that waits, or will.
  func release() {
    let waiting = state.withLock { state in
      state.isReleased = state.waiting.isEmpty
      defer { state.waiting = [] }
      return state.waiting
    }
    for (start, socket) in waiting { finish(start, socket) }
  }

  /// It is gone, as after kill -9, with the searches that wait.
  func vanish() {
    let waiting = state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
    for (_, socket) in waiting { _ = shutdown(socket.number, Int32(SHUT_RDWR)) }
  }

  func launch() throws(SystemCallError) -> RunningWorker {
    let (ours, theirs) = try FileDescriptor.socketPair()
    state.withLock { state in
      state.launches += 1
      state.isMute = false
    }
    _ = try OwnedThread(name: "fake worker") { self.serve(theirs) }
    return RunningWorker(socket: ours, process: nil)
  }

  private func serve(_ socket: FileDescriptor) {
    var lines = LineAssembler()
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe (try? socket.read(into: $0)) ?? 0 }
      guard count > 0 else { return }
      lines.append(buffer[..<count])
      while let line = try? lines.next() {
        guard let json = try? parseJSON(line), let request = try? WorkerRequest(decoding: json) else { return }
        if state.withLock({ $0.isMute }) { continue }
        guard handle(request, socket) else {
          _ = shutdown(socket.number, Int32(SHUT_RDWR))
          return
        }
      }
    }
  }

  private func say(_ reply: WorkerReply, _ socket: FileDescriptor) {
    _ = try? socket.write(all: reply.json.serialized() + [0x0a])
  }

  /// False where the worker dies of it.
  private func handle(_ request: WorkerRequest, _ socket: FileDescriptor) -> Bool {
    func answer(_ json: JSONValue) { say(.result(id: request.id, json), socket) }
    switch request.call {
    case .hello:
      answer(
        HelloAnswer(pid: 1, cores: 2, kernel: "Haswell", deservedKernel: "Haswell", kernelTooOld: false).json)
    case .plan(let path, _):
      do {
        answer(try TinyModel.plan(ofFile: path).json)
      } catch {
        say(.fault(id: request.id, (error as? WorkerFault) ?? WorkerFault(.failed, "\(error)")), socket)
      }
    case .memory: answer(MemoryAnswer(resident: 1 << 20, limit: 0, models: []).json)
    case .tokenize(_, let text, _):
      answer(TokenizeAnswer(ids: text.utf8.map { Int32($0) }).json)
    case .score(let call):
      let count =
        switch call.continuation {
        case .text(let text): text.utf8.count
        case .tokens(let ids): ids.count
        }
      answer(
        ScoreAnswer(
          promptIDs: [1], continuationIDs: [Int32](repeating: 2, count: count),
          logprobs: [Float](repeating: -0.5, count: count), top: []
        ).json)
    case .generate(let call): generate(call, request.id, socket)
    case .dispatch(let call):
      answer(
        DispatchAnswer(decision: Self.decision(call.dispatch), promptTokens: 3, queueSeconds: 0, seconds: 0.1).json)
    case .export(let call):
      do {
        answer(try Self.export(call).json)
      } catch {
        say(.fault(id: request.id, WorkerFault(.files, "\(error)")), socket)
      }
    case .cancelRequest:
      state.withLock { $0.cancelledRequests += 1 }
      answer([:])
    case .cancelJob(let job):
      answer([:])
      let wasWaiting = state.withLock { state in
        defer { state.waiting.removeAll { $0.0.job == job } }
        return state.waiting.contains { $0.0.job == job }
      }
      if wasWaiting { say(.event(.cancelled(job: job)), socket) }
    case .startJob(let start):
      answer([:])
      return run(start, socket)
    }
    return true
  }

  /// Multipliers of 0.5, or a file that is no LoRA.
  private static func export(_ call: ExportCall) throws -> ExportAnswer {
    let facts = try TinyModel.facts(ofFile: call.model.path)
    let layout = MultiplierLayout(facts.targets)
    let vector = MultiplierVector([Float](repeating: 0.5, count: layout.count))
    guard let rank = call.rank else {
      let signature = ModelSignature(
        name: "tiny", modelID: "tiny", digest: SHA256.digest([]), architecture: facts.architecture, layout: layout)
      try MixtureFile(name: "export", task: nil, vector: vector, model: signature, parents: []).write(to: call.path)
      return ExportAnswer(digest: vector.digest(in: layout).description)
    }
    try FileSystem.writeAtomically(call.path, Array("LoRA of \(rank)".utf8))
    return ExportAnswer(
      digest: vector.digest(in: layout).description,
      fit: LowRankFit(rank: rank, components: 4, relativeError: 0.5, energyMean: 0.75, energyLeast: 0.5))
  }

  /// The first label, always.
  private static func decision(_ dispatch: DispatchSpec) -> Decision {
    let names = dispatch.names
    return Decision(
      label: names[0], reading: dispatch.reading,
      probabilities: names.enumerated().map { .init(label: $1, probability: $0 == 0 ? 1 : 0) })
  }

  /// Two tokens, streamed where that is asked for.
  private func generate(_ call: GenerateCall, _ id: Int64, _ socket: FileDescriptor) {
    let isHeld = state.withLock { state in
      state.generations.append(call)
      return state.holdsGenerations
    }
    if isHeld { return }
    var answers: [GenerateAnswer.Generation] = []
    for (index, request) in call.requests.enumerated() {
      let decision = request.dispatch.map(Self.decision)
      if call.stream {
        if let decision { say(.event(.decided(id: id, request: index, decision)), socket) }
        for (token, text) in [(7, "an "), (8, "answer")] {
          say(.event(.token(id: id, request: index, token: Int32(token), text: text)), socket)
        }
      }
      let digest: String? =
        request.weights == .base && decision == nil ? nil : "sha256:" + String(repeating: "d", count: 64)
      answers.append(
        .init(
          text: "an answer", promptTokens: 3, ids: [7, 8], finish: "stop", decision: decision, digest: digest,
          seconds: .init(dispatch: decision == nil ? 0 : 0.25, prefill: 0.5, decode: 0.125)))
    }
    say(.result(id: id, GenerateAnswer(generations: answers).json), socket)
  }

  private func run(_ start: JobStart, _ socket: FileDescriptor) -> Bool {
    let search = state.withLock { state -> Search in
      state.starts.append(start)
      guard start.spec is AdaptSpec || start.spec.kind == state.scriptedKind, !state.script.isEmpty else {
        return .finish
      }
      return state.script.removeFirst()
    }
    switch search {
    case .finish: finish(start, socket)
    case .die(let generations):
      let done = start.journal.count
      for generation in 1...generations { journal(done + generation, start, socket) }
      return false
    case .fail:
      say(.event(.failed(job: start.job, WorkerFault(.taskUnreadable, "the task makes no sense"))), socket)
    case .ignore: break
    case .wait:
      let goesOn = state.withLock { state in
        defer { state.isReleased = false }
        if !state.isReleased { state.waiting.append((start, socket)) }
        return state.isReleased
      }
      if goesOn { finish(start, socket) }
    }
    return true
  }

  private func journal(_ generation: Int, _ start: JobStart, _ socket: FileDescriptor) {
    say(.event(.journal(job: start.job, entry: ["generation": .integer(Int64(generation))])), socket)
    say(
      .event(
        .progress(job: start.job, JobProgress(fraction: 0.1, phase: "search", detail: "generation \(generation)"))),
      socket)
  }

  private func finish(_ start: JobStart, _ socket: FileDescriptor) {
    do {
      let result: JSONValue
      switch start.spec {
      case let spec as InspectSpec: result = try TinyModel.facts(ofFile: spec.path, factoring: spec.modules ?? []).json
      case let spec as EvaluateSpec:
        result = ofRows(
          [
            "acc": 0.5, "ci95": [0.2, 0.8], "task": .string(spec.task.name), "metric": "acc", "scoring": "choice",
            "template": "default", "items": [], "split": "eval",
          ])
      case let spec as CheckSpec: result = check(spec).json
      case let spec as CompareSpec:
        result = ofRows([
          "task": .string(spec.task.name), "metric": "acc", "scoring": "choice", "template": "default", "split": "eval",
          "columns": [], "skipped": [], "notes": [], "items": [],
        ])
      case let spec as SweepSpec:
        result = ofRows([
          "task": .string(spec.task.name), "metric": "acc", "template": "default", "split": "eval", "rows": 4,
          "method": "cem", "granularities": ["vector"], "objective": "accuracy", "population": 4, "experts": [],
          "base": ["value": 0.5, "n": 4, "ci95": [0.2, 0.8]], "best_experts": [:], "cells": [],
        ])
      case is DispatchEvaluateSpec: result = ofRows(["strategies": [:]])
      case let spec as TrainSpec:
        let kind = if case .dispatch = spec.lesson { "dispatcher" } else { "expert" }
        let label = spec.label.map { [(key: "t2.label", value: $0)] } ?? []
        if spec.isEstimate {
          result = RecordWriter.json(
            TrainResult.estimate(
              TrainEstimate(
                name: spec.name, parameters: 1, rows: 4, trainingRows: 3, stepTokens: 1, stepSeconds: 0.5,
                validationSeconds: 0.5, seconds: 0.5, memoryBytes: 1, kernel: "Haswell")))
          break
        }
        for number in spec.settings.divergenceWeights.indices {
          try FileSystem.writeAtomically(spec.statePath + (number == 0 ? "" : ".\(number)"), [1])
        }
        let (fault, isSpoilt) = state.withLock { ($0.trainingFault, $0.spoilsTrainings) }
        if let fault {
          for step in 0...1 { say(.event(.journal(job: start.job, entry: ["step": JSONValue(step)])), socket) }
          throw fault
        }
        let value = 1 + Float(spec.settings.steps) / 100
        // Of LoRA there is only what it came to.
        if spec.settings.method == .svf {
          try FileSystem.writeAtomically(
            spec.expertPath,
            isSpoilt ? [0] : expertBytes(spec.name, value: value, metadata: [("t2.kind", kind)] + label))
        }
        let standing = Standing(rows: 1, loss: 0.5, reward: 0.5, right: 1)
        let summary = TrainingSummary(
          kind: kind, objective: spec.settings.objective, steps: spec.settings.steps, bestStep: 1, stopReason: "steps",
          warnings: [], rows: 4, trainingRows: 3, heldOut: .init(count: 1, base: standing, expert: standing), curve: [],
          kernel: "Haswell", seconds: 0.5)
        let training = ExpertTraining(summary: summary, choice: .init(parameters: 1, divergenceWeight: 0))
        result = RecordWriter.json(TrainResult.expert(training, nil))
      case let spec as AdaptSpec:
        try spec.readStored()
        for generation in (start.journal.count + 1)...(start.journal.count + 2) { journal(generation, start, socket) }
        result = try adapt(spec, generations: start.journal.count + 2).json
      default: throw WorkerFault(.unsupported, "the fake worker knows no job of kind '\(start.spec.kind)'")
      }
      say(.event(.done(job: start.job, result: result)), socket)
    } catch let fault as WorkerFault {
      say(.event(.failed(job: start.job, fault)), socket)
    } catch {
      say(.event(.failed(job: start.job, WorkerFault(.failed, "\(error)"))), socket)
    }
  }

  /// What the results on rows have in common.
  private func ofRows(_ members: JSONObject) -> JSONValue {
    var result: JSONObject = ["n": 4, "kernel": "Haswell", "seconds": 0.5]
    for (name, value) in members.members { result[name] = value }
    return .object(result)
  }

  /// A result whose verdict is what the test wants; `passes` where it is ordered.
  private func check(_ spec: CheckSpec) -> CheckResult {
    let verdict = state.withLock { state -> CheckVerdict in
      state.verdicts.isEmpty ? .inconclusive : state.verdicts.removeFirst()
    }
    let effect = verdict == .ordered ? 0.15 : -0.05
    let comparison = CheckResult.Comparison(
      effect: effect, low: effect - 0.05, high: effect + 0.05, mcNemar: 0.001, signFlip: 0.002, won: [30, 28],
      lost: [10, 9])
    let outcome = CheckResult.Outcome(
      metric: "acc", verdict: verdict, versusShuffles: comparison, versusBase: comparison, base: 0.5,
      expert: 0.5 + effect, shuffles: [0.5, 0.5])
    return CheckResult(
      summary: CheckSummary(
        kind: spec.kind, outcomes: [outcome], passes: verdict == .ordered, count: 2, split: .eval, seed: spec.seed,
        template: "default", kernel: "Haswell", seconds: 0.1), rowIDs: ["1", "2"],
      items: [.init(name: "base", right: ["01"]), .init(name: "expert", right: ["11"])])
  }

  private static let item = EvalItems.Item(
    id: "7", line: 7, question: "What do bees make?", gold: "Honey", base: .init(text: "Wax", isRight: false),
    bestExpert: .init(text: "Honey", isRight: true), mixture: .init(text: "Honey", isRight: true))

  /// The first expert gets 0.75, the others share the rest.
  private func adapt(_ spec: AdaptSpec, generations: Int) throws -> AdaptResult {
    let signature = try TinyModel.signature(ofFile: spec.model.path)
    let more: Float = state.withLock { $0.variesVectors } ? Float(spec.experts.count) / 16 : 0
    let vector = MultiplierVector([Float](repeating: 1.5 + more, count: signature.layout.count))
    try MixtureFile(name: spec.task.name, task: spec.task.name, vector: vector, model: signature, parents: [])
      .write(to: spec.vectorsPath)
    let score = ScoreSummary(fit: 0.5, fitLogLikelihood: -1, heldOut: 0.5, heldOutLogLikelihood: -1)
    let granularity = spec.search.granularities.last ?? .vector
    let units = signature.layout.units(granularity)
    let alpha = spec.experts.indices.map { expert in
      Array(
        repeating: expert == 0 ? Float(0.75) : 0.25 / Float(spec.experts.count - 1),
        count: signature.layout.unitCount(granularity))
    }
    let mixture = Mixture(
      alpha: alpha, granularity: granularity, mix: .delta, rescale: .none, units: units,
      experts: spec.experts.map { .init(name: $0.name, version: $0.version, digest: $0.digest) },
      scores: .init(
        metric: "acc", base: score, experts: .init(spec.experts.map { ($0.name, score) }), uniform: score,
        mixture: score), served: "mixture", servedBecause: "it is better", taskDigest: spec.task.digest,
      baseDigest: spec.model.digest, template: "default",
      search: SearchSummary(
        method: spec.search.method.rawValue, objective: "accuracy", normalized: false, seed: spec.search.seed,
        population: 32,
        elites: 6, shots: 4, generations: generations, stopReason: "converged", costs: CostSummary(prompts: 100),
        configurations: [
          ConfigurationSummary(
            method: "cem", granularity: .vector, mix: .delta, coefficients: alpha.count, alpha: alpha, scores: score,
            generations: generations, stopReason: "converged", seconds: 0.1, costs: CostSummary(prompts: 100),
            isChosen: true,
            history: [
              GenerationSummary(
                generation: 0, best: 0.5, bestLogLikelihood: -1, mean: 0.25, spread: 0.5, prompts: 100)
            ])
        ], seconds: [("total", 0.1)], kernel: "Haswell"),
      evalItems: EvalItems(bestExpert: spec.experts[0].name, differing: 1, items: [Self.item]))
    let written = try FileSystem.readAll(spec.vectorsPath, maximumBytes: 1 << 20)
    if state.withLock({ $0.spoilsVectors }) { try Harm.flip.apply(to: spec.vectorsPath) }
    return AdaptResult(
      mixture: mixture, vectorsPath: spec.vectorsPath, vectorsDigest: SHA256.digest(written).description)
  }
}

extension AdaptSpec {
  /// Reads what the real worker reads, and refuses what it refuses.
  fileprivate func readStored() throws {
    for expert in experts {
      let bytes = try? FileSystem.readAll(expert.path, maximumBytes: 1 << 20)
      guard let bytes, SHA256.digest(bytes).hex == expert.blob else {
        throw WorkerFault.damaged("what is stored of '\(expert.name)@\(expert.version)'", expert.path, "it is not that")
      }
    }
    for file in task.files ?? [] {
      let place = FileSystem.split(task.path).directory
      let bytes = try? FileSystem.readAll(place + "/" + file.name, maximumBytes: 1 << 20)
      guard let bytes, SHA256.digest(bytes).description == file.digest else {
        throw WorkerFault.damaged("task '\(task.name)'", task.path, "it is not that")
      }
    }
  }
}

/// Two matrices; the "model file" is any file, and its digest is that of its bytes. One that begins with "GGUF wide" has a
/// second matrix of another shape.
enum TinyModel {
  static let targets = [
    TargetMatrix(name: "model.layers.0.mlp.gate_proj.weight", rows: 6, columns: 4, layer: 0),
    TargetMatrix(name: "model.layers.0.mlp.up_proj.weight", rows: 6, columns: 4, layer: 0),
  ]

  static func facts(ofFile path: String, factoring modules: [String] = []) throws -> ModelFacts {
    let bytes: [UInt8]
    do { bytes = try FileSystem.readAll(path, maximumBytes: 1000) } catch {
      throw WorkerFault(.modelUnreadable, "\(error)")
    }
    guard bytes.starts(with: "GGUF".utf8) else { throw WorkerFault(.modelUnreadable, "'\(path)' is no model") }
    var targets = targets
    if bytes.starts(with: "GGUF wide".utf8) {
      targets[1] = TargetMatrix(name: targets[1].name, rows: 6, columns: 5, layer: 0)
    }
    let chosen = try MultiplierLayout(targets).matrices(ofModules: modules)
    for index in targets.indices { targets[index].isFactored = chosen.contains(index) }
    return ModelFacts(
      digest: SHA256.digest(bytes).description, modelID: "tiny", architecture: "LlamaForCausalLM", parameters: 48,
      layers: 1, hidden: 4, vocabulary: 8, contextLength: 16, quantization: "F32", hasTokenizer: true,
      chatTemplate: nil, chatTemplateProblem: "it has none", targets: targets, factorizationSeconds: 0)
  }

  static func plan(ofFile path: String) throws -> MemoryPlan {
    let facts = try facts(ofFile: path)
    return MemoryPlan(
      modelID: facts.modelID, architecture: facts.architecture, parameters: facts.parameters, layers: facts.layers,
      weights: .init(type: facts.quantization, targets: 192, embedding: 128, rest: 16),
      factors: .init(precision: "single", bytes: 4096), products: 192,
      keysAndValues: 1024, vectorChanges: 0, search: 600, training: 5000, factorizing: 700, pass: 300, held: 4624,
      needed: 10948, workload: .init(positions: 16, threads: 2),
      types: [.init(type: "F32", weights: 336, held: 4624, needed: 10948)],
      limits: .init(budget: 1 << 31, data: nil, group: nil, machine: 1 << 34))
  }

  static func signature(ofFile path: String) throws -> ModelSignature {
    let facts = try facts(ofFile: path)
    guard let digest = Digest(description: facts.digest) else { throw WorkerFault(.failed, "no digest") }
    return ModelSignature(
      name: "tiny", modelID: facts.modelID, digest: digest, architecture: facts.architecture,
      layout: MultiplierLayout(facts.targets))
  }
}
