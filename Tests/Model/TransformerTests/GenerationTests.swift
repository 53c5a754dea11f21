import Engines
import LinearAlgebra
import Multipliers
import Testing

@testable import Transformer

@Suite(.inEveryForm) struct GenerationTests {
  /// Decoding without a cache: the whole sequence anew for every token.
  private func naive(
    _ model: LanguageModel, _ prompt: [Int32], _ view: WeightView, count: Int
  ) throws -> [Int32] {
    var ids = prompt
    for _ in 0..<count {
      let logits = try model.logits(prompt: ids, under: view)
      ids.append(Int32(try require(logits.firstIndex(of: try require(logits.max())))))
    }
    return Array(ids[prompt.count...])
  }

  /// Prompts of unequal lengths with weights of their own, in one batch.
  @Test func cachedBatchedDecodingIsWhatFullPassesGive() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(31)
    let vector = numbers.vector(model.layout.count)
    let views: [WeightView] = [
      .factored(vector), .base, .factored(numbers.vector(model.layout.count)), .base, .factored(vector),
    ]
    let requests = zip([3, 40, 17, 1, 9], views).map { length, view in
      GenerationRequest(prompt: numbers.tokens(length), view: view, maximumTokens: 12)
    }
    let found = try model.generate(requests, priority: .interactive)
    for (request, generation) in zip(requests, found) {
      #expect(try generation.tokens == naive(model, request.prompt, request.view, count: 12))
      #expect(generation.ending == .maximumTokens)
    }
  }

  @Test func generationEndsWhereTheContextIsFull() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(32)
    let prompt = numbers.tokens(120)
    let found = try model.generate([GenerationRequest(prompt: prompt, maximumTokens: 100)], priority: .job)[0]
    #expect(found.ending == .context)
    // The last token stands behind a full context.
    #expect(found.tokens.count == 128 - 120 + 1)
    #expect(try Array(found.tokens.prefix(8)) == naive(model, prompt, .base, count: 8))
  }

  @Test func aStopTokenEndsItsRequestOnly() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(33)
    let prompts = [numbers.tokens(5), numbers.tokens(7)]
    let free = try model.generate(
      prompts.map { GenerationRequest(prompt: $0, maximumTokens: 8) }, priority: .job)
    let stop = free[0].tokens[2]
    let first = try require(free[0].tokens.firstIndex(of: stop))
    let found = try model.generate(
      [
        GenerationRequest(prompt: prompts[0], maximumTokens: 8, stopIDs: [stop]),
        GenerationRequest(prompt: prompts[1], maximumTokens: 8),
      ], priority: .job)
    #expect(found[0].tokens == Array(free[0].tokens[...first]))
    #expect(found[0].ending == .stopToken(stop))
    #expect(found[1] == free[1])
  }

  @Test func tokensAreHandedOutAsTheyComeAndTheReaderMayStop() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(34)
    let requests = [4, 6].map { GenerationRequest(prompt: numbers.tokens($0), maximumTokens: 5) }
    var seen: [[Int32]] = [[], []]
    let found = try model.generate(requests, priority: .job) { token in
      seen[token.request].append(token.id)
      return token.request == 1 || seen[0].count < 2
    }
    #expect(found.map(\.tokens) == seen)
    #expect(found[0].ending == .cancelled && found[0].tokens.count == 2)
    #expect(found[1].ending == .maximumTokens && found[1].tokens.count == 5)
  }

  @Test func moreRequestsThanABatchHoldsAreAllAnswered() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(35)
    let requests = (0..<40).map { GenerationRequest(prompt: numbers.tokens(3), maximumTokens: $0 % 4 + 1) }
    let found = try model.generate(requests, priority: .job)
    #expect(found.map(\.tokens.count) == requests.map(\.maximumTokens))
    for index in [0, 33, 39] {
      #expect(
        try found[index].tokens
          == naive(model, requests[index].prompt, .base, count: requests[index].maximumTokens))
    }
  }

  @Test func samplingDependsOnItsSeedAndStreamAlone() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(36)
    let prompt = numbers.tokens(6)
    func request(_ seed: UInt64, _ stream: UInt64) -> GenerationRequest {
      GenerationRequest(
        prompt: prompt, sampling: .sampled(temperature: 1.3, topP: 0.95, seed: seed, stream: stream),
        maximumTokens: 16)
    }
    let first = try model.generate([request(1, 0)], priority: .job)[0]
    #expect(try model.generate([request(1, 0)], priority: .job)[0] == first)
    #expect(try model.generate([request(2, 0)], priority: .job)[0] != first)
    let together = try model.generate([request(1, 0), request(1, 1), request(1, 0)], priority: .job)
    #expect(together[0] == together[2])
    #expect(together[0] != together[1])
  }

  @Test func badRequestsAreErrors() throws {
    let model = try TinyModel.model.get()
    func message(_ request: GenerationRequest) -> String {
      do {
        _ = try model.generate([request], priority: .job)
        return "nothing"
      } catch { return "\(error)" }
    }
    #expect(message(GenerationRequest(prompt: [])).contains("no tokens"))
    #expect(message(GenerationRequest(prompt: [1, 97])).contains("token id 97, the vocabulary has 0 to 96"))
    #expect(
      message(GenerationRequest(prompt: [Int32](repeating: 1, count: 129))).contains(
        "needs 129 tokens, the model's context holds 128"))
    #expect(message(GenerationRequest(prompt: [1], maximumTokens: 0)).contains("ask for one or more"))
    #expect(message(GenerationRequest(prompt: [1], stopStrings: ["x"])).contains("no tokenizer"))
    let hot = Sampling.sampled(temperature: 0, topP: 1, seed: 0, stream: 0)
    #expect(message(GenerationRequest(prompt: [1], sampling: hot)).contains("the temperature is 0.0"))
    let wide = Sampling.sampled(temperature: 1, topP: 1.5, seed: 0, stream: 0)
    #expect(message(GenerationRequest(prompt: [1], sampling: wide)).contains("top-p is 1.5"))
    #expect(
      message(GenerationRequest(prompt: [1], view: .factored(MultiplierVector([1, 2])))).contains(
        "has 2 values, this model's target matrices have"))
  }
}

@Suite struct SamplingTests {
  private func choose(_ sampling: Sampling, _ logits: [Float], step: Int = 0) -> Int32? {
    unsafe logits.withUnsafeBufferPointer { unsafe sampling.choose($0, step: step) }
  }

  @Test func greedyTakesTheFirstOfEqualLogits() {
    #expect(choose(.greedy, [1, 3, 2, 3]) == 1)
    #expect(choose(.greedy, [-5]) == 0)
    #expect(choose(.greedy, [1, .nan]) == nil)
  }

  @Test func frequenciesFollowTheSoftmaxWithinTheNucleus() {
    // Probabilities 0.5, 0.25, 0.125, 0.125; the nucleus of 0.7 is the first two.
    let logits: [Float] = [0, 0.693_147_2, -0.693_147_2, -0.693_147_2]
    func counts(_ topP: Float) -> [Int] {
      var counts = [0, 0, 0, 0]
      for step in 0..<4000 {
        let sampling = Sampling.sampled(temperature: 1, topP: topP, seed: 7, stream: 3)
        counts[Int(choose(sampling, logits, step: step) ?? 0)] += 1
      }
      return counts
    }
    let all = counts(1)
    for (found, expected) in zip(all, [1000, 2000, 500, 500]) { #expect(abs(found - expected) < 120) }
    let nucleus = counts(0.7)
    #expect(nucleus[2] == 0 && nucleus[3] == 0)
    #expect(abs(nucleus[1] - 2667) < 120)
  }

  @Test func aColdSampleIsGreedy() {
    let cold = Sampling.sampled(temperature: 1e-3, topP: 0.9, seed: 1, stream: 0)
    for step in 0..<50 { #expect(choose(cold, [0, 1, 0.9, -3], step: step) == 1) }
  }
}

@Suite struct StopFilterTests {
  /// Feeds one character at a time.
  private func run(_ text: String, _ stops: [String]) -> (pieces: [String], stopped: Bool) {
    var filter = StopFilter(stops)
    var pieces = text.map { filter.push(String($0)) }
    if !filter.hasStopped { pieces.append(filter.finish()) }
    return (pieces, filter.hasStopped)
  }

  @Test func aStopStringAcrossPiecesIsCutOff() {
    let found = run("one\n\nQuestion: two", ["\n\nQ", "xyz"])
    #expect(found.pieces.joined() == "one" && found.stopped)
    #expect(run("abc", ["abc"]).pieces.joined().isEmpty)
  }

  @Test func whatOnlyBeginsLikeAStopStringComesOutLate() {
    let found = run("a\n\nb", ["\n\nQ"])
    #expect(found.pieces == ["a", "", "", "\n\nb", ""] && !found.stopped)
    #expect(run("ab\n", ["\nQ"]).pieces.joined() == "ab\n")
  }

  @Test func withoutStopStringsEverythingPasses() {
    #expect(run("as it is", []).pieces.joined() == "as it is")
    #expect(run("as it is", [""]).pieces.joined() == "as it is")
  }
}
