import Engines
import LinearAlgebra
import ModelFormats
import Multipliers
import SystemSupport
import Testing

@testable import SVF
@testable import Transformer

/// What one vector changes, Q diag(s − 1) Qᵀ in halves.
@Suite struct VectorChangeTests {
  @Test(arguments: [AnyShape.plain, .fused]) func itIsThatOfItsDefinition(shape: AnyShape) throws {
    let model = try shape.load()
    var numbers = Numbers(41)
    var vector = numbers.vector(model.layout.count)
    for i in model.layout.range(of: 1) { vector.values[i] = 1 }
    let change = try #require(VectorChange(vector, model.factorization))
    #expect(change.madeCount == 0)
    // In as many pieces as there are matrices that it changes, one without work among them.
    var steps = 0
    while !change.isComplete {
      change.make(multiplications: 1, pool: model.pool, priority: .job)
      steps += 1
    }
    #expect(steps == model.layout.matrices.count - 1)
    for (index, matrix) in model.layout.matrices.enumerated() where index != 1 {
      let r = matrix.rank
      let scratch = Scratch()
      let q = withExtendedLifetime(scratch) {
        unsafe UnsafeBufferPointer(start: model.factorization[index].q(scratch, slot: 0), count: r * r).map {
          Double($0)
        }
      }
      let s = vector.values[model.layout.range(of: index)].map { Double($0) - 1 }
      var found = [Float](repeating: .nan, count: r * r)
      unsafe change.rows(index).widen(rows: r, inner: r, into: &found, outStride: r)
      for i in 0..<r {
        for j in 0..<r {
          let expected = (0..<r).reduce(0.0) { $0 + q[i * r + $1] * s[$1] * q[j * r + $1] }
          #expect(abs(Double(found[i * r + j]) - expected) < 1e-6 + abs(expected) / 2047)
          #expect(found[i * r + j] == found[j * r + i])
        }
      }
    }
  }

  /// Whatever form goes with what is not made yet, and however much is. Within what halves round, which these models, that
  /// make 2e-5 of the rounding of floats, enlarge like that.
  @Test(arguments: [AnyShape.plain, .oneKeyHead, .fused, .narrowMLP, .everything], [1, 4])
  func rowsUnderOneVectorAgreeWithTheTwin(shape: AnyShape, count: Int) throws {
    let model = try shape.load()
    var numbers = Numbers(42)
    let vector = numbers.vector(model.layout.count)
    let items = (0..<count).map { _ in
      ScoringItem(prompt: numbers.tokens(7), continuations: [numbers.tokens(3), numbers.tokens(2)])
    }
    let views = items.map { _ in WeightView.base } + items.map { _ in .factored(vector) }
    let expected = NaiveDecoder(model).score(items) + NaiveDecoder(model, under: vector).score(items)
    for form in FactoredForm.allCases {
      let changing = model.always(form, changes: true)
      let found = try changing.score(items + items, under: views, priority: .job)
      #expect(changing.keptChanges.count == 1)
      #expect(distance(found, expected) < 1e-2, "\(form)")
      // Rounded to halves, so another path than the form's own.
      #expect(found != (try model.always(form).score(items + items, under: views, priority: .job)))
      #expect(distance(Array(found[..<count]), Array(expected[..<count])) < 1e-4)

      // A matrix after the other.
      let whole = try model.logits(prompt: items[0].prompt, under: .factored(vector))
      let change = try #require(VectorChange(vector, model.factorization))
      while !change.isComplete {
        change.make(multiplications: 1, pool: model.pool, priority: .job)
        var batch = TokenBatch()
        _ = batch.append(items[0].prompt, outputCount: 1, view: 0)
        let table = MultiplierTable([vector], factorization: model.factorization)
        let pass = ForwardPass(
          weights: model.weights, batch: batch, factored: changing.factored(table, rows: 7, change: change),
          cut: model.cut)
        let logits = model.fullLogits(pass, .job)
        let row = unsafe Array(logits.buffer[..<model.shape.vocabulary])
        #expect(distance(row, whole) < 1e-2)
      }
    }
  }

  @Test func aVectorThatLeavesAMatrixAloneIsTheBaseThere() throws {
    let model = try AnyShape.plain.load().always(.weights, changes: true)
    var numbers = Numbers(43)
    var vector = MultiplierVector.ones(model.layout.count)
    for index in matrices(model, [.query, .key]) {
      for i in model.layout.range(of: index) { vector.values[i] = numbers.float(0.5, 1.5) }
    }
    // A single token attends to itself, whatever its query and key are.
    let prompt = numbers.tokens(1)
    #expect(try model.logits(prompt: prompt, under: .factored(vector)) == model.logits(prompt: prompt))
    #expect(model.keptChanges.count == 1)
  }

  /// A long answer under one vector, made while it is decoded; beside one of the base, and beside another vector's, where
  /// it is of no use.
  @Test(arguments: [AnyShape.plain, .everything]) func longAnswersAreThoseOfTheTwin(shape: AnyShape) throws {
    let model = try RandomModel.load(shape.configuration)
    var numbers = Numbers(44)
    let vectors = (0..<2).map { _ in numbers.vector(model.layout.count) }
    // Of models as small as these it pays for a few tokens.
    #expect(model.forms.changePays(tokens: 60))
    func check(_ views: [WeightView], _ twins: [NaiveDecoder]) throws {
      let prompts = views.map { _ in numbers.tokens(5) }
      let found = try model.generate(
        zip(prompts, views).map { GenerationRequest(prompt: $0, view: $1, maximumTokens: 60) }, priority: .interactive)
      for (prompt, (answer, twin)) in zip(prompts, zip(found, twins)) {
        #expect(answer.tokens.count == 60)
        let logits = twin.logits(prompt + answer.tokens.dropLast()).suffix(60)
        for (token, row) in zip(answer.tokens, logits) { #expect(row[Int(token)] > (row.max() ?? 0) - 1e-2) }
      }
    }
    let twins = [NaiveDecoder(model)] + vectors.map { NaiveDecoder(model, under: $0) }
    try check([.factored(vectors[0])], [twins[1]])
    let kept = try #require(model.keptChanges.change(of: vectors[0], model.factorization))
    #expect(kept.isComplete)
    try check([.base, .factored(vectors[0])], [twins[0], twins[1]])
    #expect(model.keptChanges.change(of: vectors[0], model.factorization) === kept)
    try check([.factored(vectors[0]), .factored(vectors[1])], [twins[1], twins[2]])
  }

  @Test func shortAnswersAndJobsMakeNothing() throws {
    let model = try RandomModel.load(AnyShape.plain.configuration)
    var numbers = Numbers(45)
    let vector = numbers.vector(model.layout.count)
    let tokens = try #require((1...1000).first { model.forms.changePays(tokens: $0) })
    func kept(_ count: Int, _ priority: ComputePool.Priority = .interactive) throws -> Int {
      _ = try model.generate(
        [GenerationRequest(prompt: [1, 2], view: .factored(vector), maximumTokens: count)], priority: priority)
      return model.keptChanges.count
    }
    #expect(tokens > 1)
    #expect(try kept(tokens - 1) == 0)
    // Nor do jobs, whose results must not depend on what was asked before.
    #expect(try kept(tokens, .job) == 0)
    #expect(try kept(tokens) == 1)
  }

  @Test func theLastTwoAreKept() throws {
    let model = try AnyShape.plain.load()
    var numbers = Numbers(46)
    let vectors = (0..<3).map { _ in numbers.vector(model.layout.count) }
    let kept = KeptChanges()
    let first = try #require(kept.change(of: vectors[0], model.factorization))
    _ = kept.change(of: vectors[1], model.factorization)
    // Asked for again, it is the last; so the second goes.
    #expect(kept.change(of: vectors[0], model.factorization) === first)
    _ = kept.change(of: vectors[2], model.factorization)
    #expect(kept.count == KeptChanges.countLimit)
    #expect(kept.change(of: vectors[0], model.factorization) === first)
    _ = kept.change(of: vectors[1], model.factorization)
    _ = kept.change(of: vectors[2], model.factorization)
    #expect(kept.change(of: vectors[0], model.factorization) !== first)
  }

  @Test func whatIsKeptGivesWayToWhatIsNeeded() throws {
    // Who fills the room: nobody at first, then what is kept as long as there is any, then somebody else.
    let filling = Mutex<@Sendable () -> Bool>({ false })
    let room = MemoryRoom(advice: "") { filling.withLock { $0() } ? 1000 : 1_000_000_000 }
    let model = try RandomModel.load(AnyShape.plain.configuration, room: room)
    var numbers = Numbers(47)
    let vectors = (0..<2).map { _ in numbers.vector(model.layout.count) }
    let kept = model.keptChanges
    #expect(model.change(of: vectors[0]) != nil)
    filling.withLock { $0 = { kept.count > 0 } }
    #expect(model.change(of: vectors[0]) != nil, "it is there, and takes nothing more")
    #expect(kept.count == 1)
    #expect(model.room.has(1_000_000))
    #expect(kept.count == 0)

    filling.withLock { $0 = { true } }
    #expect(!model.room.has(1_000_000))
    #expect(model.change(of: vectors[1]) == nil)
    #expect(kept.count == 0)
  }

  @Test func whatHalvesDoNotHoldIsNotMade() throws {
    let model = try AnyShape.plain.load()
    var vector = MultiplierVector.ones(model.layout.count)
    vector.values[3] = 7e4
    #expect(VectorChange(vector, model.factorization) == nil)
    #expect(KeptChanges().change(of: vector, model.factorization) == nil)
  }

  @Test func halvesAreRoundedToTheNearest() {
    let known: [(Float, UInt16)] = [
      (0, 0), (-0.0, 0x8000), (1, 0x3C00), (-2, 0xC000), (65504, 0x7BFF), (65519.9, 0x7BFF), (65520, 0x7C00),
      (.infinity, 0x7C00), (-.infinity, 0xFC00), (0x1p-14, 0x0400), (0x1p-24, 1), (0x1p-25, 0), (0x1.8p-24, 2),
      (1 + 0x1p-11, 0x3C00), (1 + 0x1.8p-10, 0x3C02), (0.1, 0x2E66),
    ]
    var numbers = Numbers(47)
    let random = (0..<1000).map { _ in
      numbers.float(-1, 1) * Float(sign: .plus, exponent: Int(numbers.next() % 40) - 28, significand: 1)
    }
    let x = known.map(\.0) + random
    var found = [UInt16](repeating: 1, count: x.count)
    unsafe storeHalves(x, &found, count: x.count)
    #expect(found.prefix(known.count) == known.map(\.1)[...])
    #expect(found == x.map { Float16($0).bitPattern })
    var strange = [UInt16](repeating: 0, count: 1)
    unsafe storeHalves([.nan], &strange, count: 1)
    #expect(Float16(bitPattern: strange[0]).isNaN)
  }
}
