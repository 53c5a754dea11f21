import Engines
import LinearAlgebra
import ModelFormats
import Multipliers
import Testing

@testable import Transformer

/// Sequences far longer than their windows, in every way in which keys come to a row: its own block and earlier ones, a
/// shared prompt, a cache, and several views in one batch.
@Suite(.inEveryForm) struct WindowTests {
  /// Windows shorter than a block of attention, about as long, longer, and none.
  static let models = Result {
    let windows: [[Int?]] = [[1, nil], [7, 64], [65, 3], [100, 130]]
    return try windows.map { windows in
      var configuration = AnyShape.plain.configuration
      configuration.layers = 2
      configuration.attention = windows.map { LayerAttention(window: $0) }
      return try RandomModel.load(configuration)
    }
  }
  private func model(_ number: Int) throws -> LanguageModel { try Self.models.get()[number] }

  @Test(arguments: 0..<4) func aLongSequenceIsThatOfTheTwin(number: Int) throws {
    let model = try model(number)
    var numbers = Numbers(81)
    let ids = numbers.tokens(290)
    let item = ScoringItem(prompt: Array(ids[..<150]), continuations: [Array(ids[150...])])
    let expected = NaiveDecoder(model).score([item])
    #expect(distance(try model.score([item], priority: .job), expected) < 1e-4)
    // In pieces, into a cache: the windows end within its blocks.
    for rows in [5, 64, 97] {
      let pieces = try model.score(item, under: .base, inPiecesOf: rows, priority: .job)
      #expect(distance([pieces], expected) < 1e-4, "pieces of \(rows)")
    }
    let s = numbers.vector(model.layout.count)
    let adapted = NaiveDecoder(model, under: s).score([item])
    #expect(distance(try model.score([item], under: .factored(s), priority: .job), adapted) < 1e-4)
    #expect(distance(try model.record([item], under: s, priority: .job).scores, adapted) < 1e-4)
  }

  /// Short questions and their answers behind a long common beginning, of which the windows reach different parts.
  @Test(arguments: 0..<4) func aSharedBeginningIsSeenAsFarAsTheWindowReaches(number: Int) throws {
    let model = try model(number)
    var numbers = Numbers(82)
    let prefix = numbers.tokens(110)
    let items = (0..<4).map { place in
      ScoringItem(prompt: prefix + numbers.tokens(1 + 17 * place), continuations: [numbers.tokens(1 + 13 * place)])
    }
    let s = numbers.vector(model.layout.count)
    let views: [WeightView] = items.indices.map { $0 % 2 == 0 ? .base : .factored(s) }
    let found = try model.score(items, under: views, priority: .job)
    let (base, adapted) = (NaiveDecoder(model), NaiveDecoder(model, under: s))
    for (place, item) in items.enumerated() {
      let expected = (place % 2 == 0 ? base : adapted).score([item])
      #expect(distance([found[place]], expected) < 1e-4, "item \(place)")
    }
  }

  @Test(arguments: 0..<4) func decodingGoesOnPastTheWindow(number: Int) throws {
    let model = try model(number)
    var numbers = Numbers(83)
    let requests = [100, 2].map { GenerationRequest(prompt: numbers.tokens($0), maximumTokens: 90) }
    let generations = try model.generate(requests, priority: .job)
    for (request, generation) in zip(requests, generations) {
      #expect(generation.tokens.count == 90)
      let logits = NaiveDecoder(model).logits(request.prompt + generation.tokens.dropLast()).suffix(90)
      for (token, row) in zip(generation.tokens, logits) { #expect(row[Int(token)] > (row.max() ?? 0) - 2e-4) }
    }
  }

  /// Keys of one segment get their gradients from the blocks whose windows reach them, and from no other.
  @Test(arguments: 0..<4) func theGradientOfALongSequenceIsThatOfDifferences(number: Int) throws {
    let model = try model(number)
    var numbers = Numbers(84)
    let prefix = numbers.tokens(75)
    let items = [80, 3].map {
      ScoringItem(prompt: prefix + numbers.tokens($0), continuations: [numbers.tokens(20), numbers.tokens(5)])
    }
    let s = numbers.vector(model.layout.count)
    let derivatives = items.map { $0.continuations.map { $0.map { _ in numbers.float(-1, 1) } } }
    let gradient = try model.record(items, under: s, priority: .job).gradient(derivatives, priority: .job)
    let d = (0..<model.layout.count).map { _ in numbers.float(-0.1, 0.1) }
    func loss(_ step: Float) -> Double {
      let moved = MultiplierVector(zip(s.values, d).map { $0 + step * $1 })
      return weighted(NaiveDecoder(model, under: moved).score(items), derivatives)
    }
    let expected = (loss(0.02) - loss(-0.02)) / 0.04
    #expect(abs(dot(gradient, d) - expected) < 4e-3 * max(1, abs(expected)), "\(dot(gradient, d)) against \(expected)")
  }

  /// Columns that no row sees are not computed: a block behind a long prompt has about a window's and its own.
  @Test func whatNoRowSeesIsLeftOut() {
    var batch = TokenBatch()
    let prompt = batch.append(Array(0..<300), outputCount: 0, view: -1)
    for _ in 0..<3 { _ = batch.append(Array(0..<20), parent: prompt, outputCount: 20, view: -1) }
    let blocks = batch.attentionBlocks(outputsOnly: false, window: 10)
    #expect(blocks.map(\.rowCount).reduce(0, +) == 360)
    for block in blocks {
      #expect(block.keyCount <= 9 + AttentionBlock.rowLimit)
      for piece in block.pieces {
        for row in 0..<piece.count { #expect(block.seen(piece, row: row).count <= 10) }
      }
    }
    // The answers share the end of the prompt.
    #expect(blocks.last?.context == [.rows(first: 291, count: 9)])
    let whole = batch.attentionBlocks(outputsOnly: false, window: nil)
    #expect(whole.last?.context == [.rows(first: 0, count: 300)])
  }
}
