import Engines
import LinearAlgebra
import Multipliers
import Testing

@testable import Transformer

@Suite(.inEveryForm) struct DecodingBatchTests {
  /// What a request gives when nobody else is there.
  private func alone(_ model: LanguageModel, _ request: GenerationRequest) throws -> Generation {
    try model.generate([request], priority: .job)[0]
  }

  private func run(_ batch: DecodingBatch, _ seen: (DecodingEvent) -> Void = { _ in }) -> [Int: Generation] {
    var ended: [Int: Generation] = [:]
    while !batch.isEmpty {
      batch.step { event in
        if case .ended(let number, let generation) = event { ended[number] = generation }
        seen(event)
      }
    }
    return ended
  }

  /// Eight mixtures, of which each is nobody else's business: the tokens are those of the request alone.
  @Test func requestsThatComeWhileOthersDecodeJoinThemAndDisturbNobody() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(61)
    let requests = (0..<8).map { number in
      GenerationRequest(
        prompt: numbers.tokens(3 + 5 * number),
        view: number == 3 ? .base : .factored(numbers.vector(model.layout.count)), maximumTokens: 6 + number)
    }
    let batch = DecodingBatch(model, priority: .job, prefillRows: 4)
    var ended: [Int: Generation] = [:]
    var steps = 0
    for request in requests {
      _ = try batch.add(request)
      // Two steps before the next one comes.
      for _ in 0..<2 {
        steps += 1
        batch.step { if case .ended(let number, let generation) = $0 { ended[number] = generation } }
      }
    }
    #expect(batch.count > 1, "they overlap")
    ended.merge(run(batch)) { first, _ in first }
    #expect(ended.count == requests.count)
    for (number, request) in requests.enumerated() {
      #expect(try ended[number]?.tokens == alone(model, request).tokens, "request \(number)")
    }
  }

  /// Of several answers to one prompt the first computes it and the others copy it: under the same weights only.
  @Test func answersToOnePromptComputeItOnceAndAreThoseOfTheirOwn() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(63)
    let prompt = numbers.tokens(70)
    let views = [numbers.vector(model.layout.count), numbers.vector(model.layout.count)].map { WeightView.factored($0) }
    let requests = (0..<6).map { number in
      GenerationRequest(
        prompt: prompt, view: views[number % 2],
        sampling: .sampled(temperature: 1, topP: 1, seed: 5, stream: UInt64(number)), maximumTokens: 5)
    }
    let batch = DecodingBatch(model, priority: .job, prefillRows: 16)
    for request in requests { _ = try batch.add(request) }
    var begun: [Int] = []
    var steps = 0
    var ended: [Int: Generation] = [:]
    while !batch.isEmpty {
      steps += 1
      batch.step { event in
        if case .began(let number) = event { begun.append(number) }
        if case .ended(let number, let generation) = event { ended[number] = generation }
      }
    }
    #expect(begun.sorted() == Array(0..<6))
    // Two prompts of 70 rows, four last rows and the tokens: not six prompts, which would be 27 steps of prompts alone.
    #expect(steps < 20, "\(steps) steps")
    for (number, request) in requests.enumerated() {
      #expect(try ended[number]?.tokens == alone(model, request).tokens, "request \(number)")
    }
  }

  @Test func aLongPromptHoldsTheOthersUpForOnePieceOnly() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(62)
    let batch = DecodingBatch(model, priority: .job, prefillRows: 8)
    let short = try batch.add(GenerationRequest(prompt: numbers.tokens(2), maximumTokens: 40))
    batch.step { _ in }
    let long = try batch.add(GenerationRequest(prompt: numbers.tokens(80), maximumTokens: 1))
    var tokensOfShort = 0
    var shortWhenLongBegan: Int?
    _ = run(batch) { event in
      if case .token(let token) = event, token.request == short { tokensOfShort += 1 }
      if case .token(let token) = event, token.request == long { shortWhenLongBegan = tokensOfShort }
    }
    // Ten pieces of eight rows, in each of whose steps the other one got its token.
    #expect(try #require(shortWhenLongBegan) >= 10)
    #expect(tokensOfShort == 39)
  }

  @Test func aCancelledRequestEndsWithWhatItHas() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(63)
    let batch = DecodingBatch(model, priority: .job, prefillRows: 16)
    let (first, second) = (
      try batch.add(GenerationRequest(prompt: numbers.tokens(4), maximumTokens: 9)),
      try batch.add(GenerationRequest(prompt: numbers.tokens(4), maximumTokens: 9))
    )
    let ended = run(batch) { event in
      if case .token(let token) = event, token.request == first { batch.cancel(first) }
    }
    #expect(ended[first]?.ending == .cancelled && ended[first]?.tokens.count == 1)
    #expect(ended[second]?.ending == .maximumTokens && ended[second]?.tokens.count == 9)
  }

  @Test func whatCannotBeComputedIsRefusedAndTheBatchGoesOn() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(64)
    let batch = DecodingBatch(model, priority: .job, prefillRows: 16)
    _ = try batch.add(GenerationRequest(prompt: numbers.tokens(4), maximumTokens: 2))
    #expect(throws: EngineError.self) { try batch.add(GenerationRequest(prompt: [])) }
    #expect(throws: EngineError.self) {
      try batch.add(GenerationRequest(prompt: [1], view: .factored(MultiplierVector([1, 2]))))
    }
    #expect(run(batch).values.map(\.tokens.count) == [2])
  }
}
