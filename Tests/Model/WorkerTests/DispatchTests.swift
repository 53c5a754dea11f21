import Engines
import Experts
import Foundation
import ModelFormats
import ModelSamples
import Settings
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// The first and the second pass on a random model: what is decided is luck, what follows from it is not.
@Suite struct DispatchTests {
  /// Labels as long as `other`: a random model likes short ones.
  private static func spec(
    _ model: SyntheticModel, reading: DecisionReading = .score, weights: Weights = .base
  ) throws -> DispatchSpec {
    DispatchSpec(
      labels: [
        .init(label: "first", weights: .expert(try model.expert("one", seed: 11), rescale: .none)),
        .init(label: "third", weights: .expert(try model.expert("two", seed: 12), rescale: .none)),
      ], template: "{labels}? {prompt}", templateSource: "test", reading: reading, weights: weights,
      maximumTokens: 4)
  }

  private func dispatch(
    _ worker: TestWorker, _ model: SyntheticModel, _ spec: DispatchSpec, _ prompt: String = "abc"
  ) throws -> DispatchAnswer {
    try DispatchAnswer(
      decoding: try worker.answer(.dispatch(DispatchCall(model: model.reference, prompt: prompt, dispatch: spec)))
        .get())
  }

  /// The twin is `score`: the log-likelihoods of `label}` after the question and `\boxed{`.
  @Test func theProbabilitiesAreThoseOfTheLabelsGivenThatTheAnswerIsOneOfThem() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let spec = try Self.spec(model, weights: .expert(try model.expert("judge", seed: 17), rescale: .none))
      let answer = try dispatch(worker, model, spec)
      let decision = answer.decision
      #expect(decision.probabilities.map(\.label) == ["first", "third", "other"])
      #expect(abs(decision.probabilities.reduce(0) { $0 + $1.probability } - 1) < 1e-12)
      let question = "first, third, other? abc\n\\boxed{"
      #expect(answer.promptTokens > 0 && answer.seconds > 0)
      let sums = try spec.names.map { name in
        let call = ScoreCall(
          model: model.reference, prompt: .text(question), continuation: .text(name + "}"), weights: spec.weights)
        return try ScoreAnswer(decoding: try worker.answer(.score(call)).get()).logprobs.reduce(0.0) {
          $0 + Double($1)
        }
      }
      for (first, other) in zip(decision.probabilities.dropFirst(), sums.dropFirst()) {
        let ratio = log2(first.probability / decision.probabilities[0].probability)
        #expect(abs(ratio - (other - sums[0]) / log(2)) < 1e-3)
      }
      let best = decision.probabilities.max { $0.probability < $1.probability }
      #expect(decision.label == best?.label && decision.reading == .score)
    }
  }

  @Test func anAnswerThatIsNoLabelMeansTheBaseAndSaysSo() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let decision = try dispatch(worker, model, try Self.spec(model, reading: .generate)).decision
      #expect(decision.label == "other" && decision.reading == .generate)
      #expect(decision.text != nil && decision.note == "the model gave no \\boxed{} answer")
      #expect(decision.probabilities.count == 3)
    }
  }

  private func generate(_ worker: TestWorker, _ call: GenerateCall) throws -> [GenerateAnswer.Generation] {
    try GenerateAnswer(decoding: try worker.answer(.generate(call)).get()).generations
  }

  /// For each label the weights under it: forced by a bank in which only one label's weights differ from the decision's.
  @Test func passTwoAnswersUnderTheWeightsOfTheDecision() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      var decided: Set<String> = []
      for prompt in ["abc", "What is it?", "1 + 1", "zzzz", "{}", "other", "two", "A?", "7"] {
        let spec = try Self.spec(model)
        let asked = GenerateCall(
          model: model.reference, requests: [.init(input: .prompt(prompt), dispatch: spec)], maximumTokens: 6)
        let answer = try generate(worker, asked)[0]
        let decision = try #require(answer.decision)
        #expect(try dispatch(worker, model, spec, prompt).decision == decision)
        decided.insert(decision.label)
        let weights = spec.labels.first { $0.label == decision.label }?.weights ?? .base
        let direct = try generate(
          worker,
          GenerateCall(
            model: model.reference, requests: [.init(input: .prompt(prompt), weights: weights)], maximumTokens: 6))[0]
        #expect(answer.ids == direct.ids && answer.digest == direct.digest)
        #expect((answer.digest == nil) == (decision.label == "other"), "other is the base, and nothing else is")
        #expect(answer.seconds.dispatch > 0 && direct.seconds.dispatch == 0)
      }
      #expect(decided.count > 1, "a test in which every prompt gets one label shows nothing: \(decided)")
    }
  }

  /// One call whose requests all see something else gives each what it gets alone.
  @Test func oneBatchHoldsEveryStrategy() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let spec = try Self.spec(model)
      let mixture = Weights.mixture(
        .init(
          experts: [try model.expert("one", seed: 11), try model.expert("two", seed: 12)], granularity: .vector,
          mix: .delta, rescale: .none, alpha: [[0.25], [0.5]]))
      let requests: [GenerateCall.Request] = [
        .init(input: .prompt("ab")), .init(input: .prompt("ab"), weights: mixture),
        .init(input: .prompt("ab"), weights: spec.labels[0].weights), .init(input: .prompt("zzzz"), dispatch: spec),
        .init(input: .ids([97, 98]), weights: spec.labels[1].weights), .init(input: .ids([97, 98])),
      ]
      var call = GenerateCall(model: model.reference, requests: requests, maximumTokens: 5)
      let together = try generate(worker, call)
      for (index, request) in requests.enumerated() {
        call.requests = [request]
        let single = try generate(worker, call)[0]
        #expect(together[index].ids == single.ids && together[index].digest == single.digest, "request \(index)")
      }
      #expect(together[0].ids == together[5].ids && together[0].promptTokens == 2)
      #expect(Set(together.map(\.digest)).count >= 4)
    }
  }

  @Test func aRequestThatNobodyWaitsForEnds() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let call = GenerateCall(
        model: model.reference, requests: [.init(input: .prompt("ab"))], maximumTokens: 65_536, stream: true)
      let id = try worker.send(.generate(call))
      var isCancelled = false
      var tokens = 0
      var kind: WorkerFault.Kind?
      while kind == nil {
        switch try worker.read() {
        case .event(.token):
          tokens += 1
          if !isCancelled { try worker.send(.cancelRequest(id)) }
          isCancelled = true
        case .fault(id, let fault): kind = fault.kind
        case .result(id, _): kind = .failed
        case .result, .fault, .event: continue
        }
      }
      // The random model's context is short, so it would have ended by itself at 254 tokens.
      #expect(kind == .cancelled && tokens < 250)
    }
  }

  @Test func whatCannotBeDecidedIsRefusedBeforeAnythingIsComputed() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      func fault(_ request: GenerateCall.Request) throws -> WorkerFault? {
        let call = GenerateCall(model: model.reference, requests: [request], maximumTokens: 3)
        guard case .failure(let fault) = try worker.answer(.generate(call)) else { return nil }
        return fault
      }
      let spec = try Self.spec(model)
      // It fits the context of 256 alone, and not within the question.
      let long = try fault(.init(input: .prompt(String(repeating: "a", count: 250)), dispatch: spec))
      #expect(long?.kind == .promptTooLong && long?.message.contains("within the dispatch template") == true)
      let longer = try fault(.init(input: .prompt(String(repeating: "a", count: 257))))
      #expect(longer?.kind == .promptTooLong && longer?.message.contains("257 tokens") == true)
      #expect(try fault(.init(input: .ids([1, 2]), dispatch: spec))?.kind == .badRequest)
      #expect(try fault(.init(input: .ids([999])))?.message.contains("token id 999") == true)
      var lacking = spec
      lacking.template = "{labels}"
      #expect(try fault(.init(input: .prompt("a"), dispatch: lacking))?.message.contains("{prompt}") == true)
      var nobody = spec
      nobody.labels = []
      #expect(try fault(.init(input: .prompt("a"), dispatch: nobody))?.message.contains("no label") == true)
    }
  }

  @Test func anEvaluationThatWasCutGoesOnAndCountsTheSame() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model)
      var judged = spec
      judged.weights = .expert(try model.expert("judge", seed: 17), rescale: .none)
      let rows = (0..<20).map {
        DispatchEvaluateSpec.Row(line: $0 + 1, prompt: "What is \($0 * $0)?", label: $0 < 12 ? "first" : "other")
      }
      let evaluation = DispatchEvaluateSpec(
        model: model.reference, rows: rows,
        strategies: [.init(name: "prompt", dispatch: spec), .init(name: "classifier", dispatch: judged)])
      func strategies(_ ending: TestWorker.Ending) throws -> JSONValue {
        guard case .done(let result) = ending else {
          Issue.record("it ended with \(ending)")
          return .null
        }
        #expect(result["n"] == 20)
        return try #require(result["strategies"])
      }
      let worker = try TestWorker()
      let whole = try worker.run(evaluation)
      let found = try strategies(whole.ending)
      #expect(whole.journal.count == 4, "two batches under each of two strategies")
      for name in ["prompt", "classifier"] {
        let matrix = try #require(found[name]?["matrix"]?.arrayValue).map {
          $0.arrayValue?.compactMap(\.intValue) ?? []
        }
        #expect(matrix.map { $0.reduce(0, +) } == [12, 0, 8])
        for item in found[name]?["items"]?.arrayValue ?? [] {
          let row = rows[(item["line"]?.intValue ?? 0) - 1]
          #expect(item["label"]?.stringValue == row.label)
          let single = try dispatch(worker, model, name == "prompt" ? spec : judged, row.prompt)
          #expect(item["given"]?.stringValue == single.decision.label)
        }
      }
      for kept in [0, 1, 3, 4] {
        let resumed = try TestWorker(threads: 1).run(evaluation, journal: Array(whole.journal.prefix(kept)))
        #expect(try strategies(resumed.ending) == found, "after \(kept) entries")
      }
    }
  }
}
