import Engines
import LinearAlgebra
import ModelFormats
import Multipliers
import SystemSupport
import Testing

@testable import Transformer

/// What is said of memory beforehand is what is taken.
@Suite struct ModelMemoryTests {
  /// Every family, and files of floats as well as of blocks.
  @Test(arguments: FixtureModel.all.filter { !$0.description.contains("older") })
  func aModelTakesWhatWasPlanned(fixture: FixtureModel) throws {
    let model = try fixture.load()
    let memory = model.memory
    // Each tensor may begin at a cache line of its own.
    let gaps = 64 * model.configuration.requiredTensors.count
    #expect((memory.weights...memory.weights + gaps).contains(model.weightBytes))
    #expect(memory.factors == model.factorization.byteCount)
    #expect(model.factorization.productBytes == 0, "they are made when they are used")
    model.makeProducts()
    #expect(memory.products == model.factorization.productBytes)
    let change = try #require(VectorChange(.ones(model.layout.count), model.factorization))
    let changes = KeptChanges.countLimit * change.byteCount
    #expect((changes - gaps * KeptChanges.countLimit...changes).contains(memory.vectorChanges))
  }

  @Test func whatIsWorkedInIsAsLargeAsPlanned() throws {
    let model = try TinyModel.model.get()
    let shape = model.shape
    let cache = KeyValueCache(shape: shape)
    for positions in [1, 64, 65, 200] {
      cache.reserve(positions)
      #expect(shape.decodingBytes(positions: positions, sequences: 1) == cache.byteCount)
      #expect(shape.decodingBytes(positions: positions, sequences: 3) == 3 * cache.byteCount)
    }
    #expect(Workspace(shape: shape, capacity: 48).byteCount == Workspace.byteCount(shape: shape, capacity: 48))
    var numbers = Numbers(81)
    let experts = (0..<2).map { _ in numbers.vector(model.layout.count) }
    for (budget, isResident) in [(0, false), (ExpertBasis.standardBudget, true)] {
      let basis = try ExpertBasis(model: model, experts: experts, residentBudget: budget)
      #expect(basis.byteCount == shape.searchBytes(experts: 2, threads: 0, isResident: isResident))
    }
    let items = numbers.items(6)
    let tape = try model.record(items, under: experts[0], priority: .job)
    let rows = items.reduce(0) { $0 + $1.rowCount }
    func planned(_ memory: Int) -> Int { shape.gradientBytes(rows: rows, longest: rows / 6, memory: memory) }
    let kept = planned(.max) - planned(0)
    #expect(tape.recordBytes <= kept && tape.recordBytes > kept / 4)
  }

  /// What a recorded pass allocates, its scores above all: of one sequence that is not cut they grow with its square.
  @Test(arguments: [[2990, 10], [1, 700, 300], [40, 3, 3, 3, 60]])
  func aGradientTakesWhatWasPlanned(lengths: [Int]) throws {
    var windowed = ModelConfiguration.long
    for layer in windowed.attention.indices { windowed.attention[layer].window = 24 }
    for configuration in [.long, windowed] {
      let model = try RandomModel.load(configuration)
      func tokens(_ count: Int) -> [Int32] { (0..<Int32(count)).map { $0 % 8 } }
      let item = ScoringItem(prompt: tokens(lengths[0]), continuations: lengths.dropFirst().map(tokens))
      let batch = ItemBatch([item], views: [0]).batch
      let table = MultiplierTable([.ones(model.layout.count)], factorization: model.factorization)
      let pass = RecordedPass(
        weights: model.weights, batch: batch, factored: model.factored(table, rows: batch.tokens.count),
        adapters: nil, temperature: 1, memory: 0)
      pass.begin()
      let state = BackwardState(pass, multipliers: model.layout.count)
      let buffers = pass.streams + [pass.result, pass.normedResult, state.outputGradient, state.streamGradient]
      let taken = buffers.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride } + pass.space.byteCount
      let rows = item.rowCount
      let planned = model.shape.gradientBytes(rows: rows, longest: rows, memory: 0)
      #expect(taken <= planned && planned < 2 * taken + RecordedHead.groupBytes, "\(rows) rows")
    }
  }

  /// The shapes of published models, in units of 10⁹ bytes, as they follow from the shapes by hand.
  @Test(arguments: [
    // name, hidden, intermediate, layers, heads, key heads, vocabulary, tied: targets, embedding in f32; Q; products
    Published("Llama-3-8B", 4096, 14336, 32, 32, 8, 128256, false, (27.9, 4.2, 5.5, 27.9), kib: 256),
    Published("Mistral-7B", 4096, 14336, 32, 32, 8, 32768, false, (27.9, 1.1, 5.5, 27.9), kib: 256),
    Published("Llama-3-70B", 8192, 28672, 80, 64, 8, 128256, false, (273.8, 8.4, 54.0, 273.8), kib: 640),
    Published("Llama-3.2-1B", 2048, 8192, 16, 32, 8, 128256, true, (3.9, 1.1, 1.4, 3.9), kib: 64),
    Published("Gemma-3-270M", 640, 2048, 18, 4, 1, 262144, true, (0.4, 0.7, 0.2, 0.4), kib: 36, headDim: 256),
  ])
  func aPublishedModelNeedsWhatItsShapesSay(model: Published) {
    let memory = ModelMemory(model.configuration) { _ in .f32 }
    func tenths(_ bytes: Int) -> Double { (Double(bytes) / 1e8).rounded() / 10 }
    #expect(tenths(memory.targets) == model.expected.targets)
    #expect(tenths(memory.embedding) == model.expected.embedding)
    #expect(tenths(memory.factors) == model.expected.factors)
    let isSmall = model.configuration.hidden < 2048
    #expect(tenths(memory.products) == (isSmall ? model.expected.products : 0))
    // In halves; of the last two vectors, or of one where two are beyond a gigabyte, or of none.
    #expect(tenths(memory.vectorChanges) == ["Llama-3.2-1B": 0.7, "Gemma-3-270M": 0.2][model.testDescription] ?? 0)
    #expect(memory.shape.decodingBytes(positions: 64, sequences: 1) == 64 * model.kib << 10)
    #expect(memory.held == memory.weights + memory.factors + memory.products)
  }

  struct Published: Sendable, CustomTestStringConvertible {
    let configuration: ModelConfiguration
    let expected: (targets: Double, embedding: Double, factors: Double, products: Double)
    let kib: Int
    var testDescription: String { configuration.modelID }

    init(
      _ name: String, _ hidden: Int, _ intermediate: Int, _ layers: Int, _ heads: Int, _ kvHeads: Int,
      _ vocabulary: Int,
      _ tied: Bool, _ expected: (Double, Double, Double, Double), kib: Int, headDim: Int? = nil
    ) {
      configuration = ModelConfiguration(
        modelID: name, layers: layers, hidden: hidden, intermediate: intermediate, heads: heads, kvHeads: kvHeads,
        headDim: headDim ?? hidden / heads, vocabulary: vocabulary, contextLength: 8192, ropeTheta: 5e5,
        rmsEpsilon: 1e-5, tiedEmbeddings: tied)
      self.expected = expected
      self.kib = kib
    }
  }
}

/// What a process of little memory does with what it is asked.
@Suite struct MemoryRoomUseTests {
  /// Tells as much room as it is set to.
  private final class Given: Sendable {
    private let bytes: Mutex<Int>
    init(_ bytes: Int) { self.bytes = Mutex(bytes) }
    func set(_ bytes: Int) { self.bytes.withLock { $0 = bytes } }
    var room: MemoryRoom { MemoryRoom(advice: "raise the limit") { [self] in bytes.withLock { $0 } } }
  }

  private func load(_ given: Given) throws -> LanguageModel {
    try LanguageModel.load(path: TinyModel.path, factorizationDirectory: nil, pool: TinyModel.pool, room: given.room)
  }

  private func expectRefusal(_ what: String, _ body: () throws -> Void) {
    let error = #expect(throws: EngineError.self) { try body() }
    guard case .notEnoughMemory = error else {
      Issue.record("\(what): \(error?.description ?? "it was done")")
      return
    }
    #expect(error?.description.contains(": raise the limit") == true, "\(error?.description ?? "")")
  }

  @Test func aModelThatDoesNotFitIsRefusedBeforeItIsRead() throws {
    let least = try TinyModel.model.get().memory.least
    let steps = Mutex<[LoadingStep]>([])
    expectRefusal("loading") {
      _ = try LanguageModel.load(
        path: TinyModel.path, factorizationDirectory: nil, pool: TinyModel.pool, room: Given(least - 1).room,
        progress: { step in steps.withLock { $0.append(step) } })
    }
    #expect(steps.withLock { $0 } == [.reading])
  }

  @Test func sequencesWaitForMemoryAndOneThatNeverFitsEndsAlone() throws {
    let given = Given(.max)
    let model = try load(given)
    var numbers = Numbers(83)
    let requests = (0..<5).map { _ in GenerationRequest(prompt: numbers.tokens(30), maximumTokens: 30) }
    let expected = try model.generate(requests, priority: .job).map(\.tokens)

    // One of them, in one block, which it has as soon as it begins; and none of the longest.
    let block = model.decodingBytes(positions: 60, sequences: 1)
    given.set(block)
    let batch = DecodingBatch(model, priority: .job, prefillRows: 16)
    for request in requests { _ = try batch.add(request) }
    let tooLong = try batch.add(GenerationRequest(prompt: numbers.tokens(100), maximumTokens: 150))
    var tokens: [Int: [Int32]] = [:]
    var failed: [Int] = []
    var (together, most) = (Set<Int>(), 0)
    while !batch.isEmpty {
      batch.step { event in
        switch event {
        case .began(let number):
          together.insert(number)
          given.set((1 - together.count) * block)
          most = max(most, together.count)
        case .ended(let number, let generation):
          together.remove(number)
          given.set((1 - together.count) * block)
          tokens[number] = generation.tokens
        case .failed(let number, let error):
          failed.append(number)
          #expect(error.description.contains("raise the limit"))
        case .token: break
        }
      }
    }
    #expect(most == 1)
    #expect(failed == [tooLong])
    for (number, expected) in expected.enumerated() { #expect(tokens[number] == expected, "request \(number)") }
  }

  @Test func aBasisIsBuiltLayerByLayerWhereAllOfItDoesNotFit() throws {
    let given = Given(.max)
    let model = try load(given)
    var numbers = Numbers(84)
    let experts = (0..<2).map { _ in numbers.vector(model.layout.count) }
    let threads = model.pool.threadCount
    let least = model.shape.searchBytes(experts: 2, threads: threads, isResident: false)
    #expect(try ExpertBasis(model: model, experts: experts).isResident)
    given.set(model.shape.searchBytes(experts: 2, threads: threads, isResident: true) - 1)
    #expect(try !ExpertBasis(model: model, experts: experts).isResident)
    given.set(least - 1)
    expectRefusal("a basis") { _ = try ExpertBasis(model: model, experts: experts) }
  }

  @Test func mixturesWhoseStreamsDoNotFitAreNotScored() throws {
    let given = Given(.max)
    let model = try load(given)
    var numbers = Numbers(87)
    let basis = try ExpertBasis(model: model, experts: [numbers.vector(model.layout.count)])
    let blend = BlendCoefficients(
      base: [Float](repeating: 1, count: model.layout.matrices.count),
      experts: [[Float]](repeating: [0], count: model.layout.matrices.count))
    let candidates = [Candidate(blend, numbers.items(4))]
    _ = try model.scoreCandidates(basis: basis, candidates, priority: .job)
    given.set(1000)
    expectRefusal("a population") { _ = try model.scoreCandidates(basis: basis, candidates, priority: .job) }
  }

  @Test func aGradientKeepsWhatFitsAndIsTheSame() throws {
    let given = Given(.max)
    let model = try load(given)
    var numbers = Numbers(85)
    let (items, vector) = (numbers.items(6), numbers.vector(model.layout.count))
    func gradient() throws -> (gradient: [Float], bytes: Int) {
      let tape = try model.record(items, under: vector, priority: .job)
      let ones = tape.scores.map { $0.map { $0.derivatives(1) } }
      return (try tape.gradient(ones, priority: .job), tape.recordBytes)
    }
    let whole = try gradient()
    let least = model.shape.gradientBytes(
      rows: items.reduce(0) { $0 + $1.rowCount }, longest: items.map(\.rowCount).max() ?? 0, memory: 0)
    given.set(least + whole.bytes / 2)
    let tight = try gradient()
    #expect(tight.bytes <= whole.bytes / 2)
    #expect(tight.gradient == whole.gradient)
    given.set(least - 1)
    expectRefusal("a gradient") { _ = try gradient() }
  }

  @Test func thePassOfAnUncutSequenceIsRefusedWhereItDoesNotFit() throws {
    let given = Given(.max)
    let model = try RandomModel.load(.long, room: given.room)
    let prompt = (0..<Int32(LanguageModel.batchRows + 100)).map { $0 % 8 }
    let item = ScoringItem(prompt: prompt, continuations: [[1, 2]])
    _ = try model.score([item], priority: .job)
    given.set(model.shape.passBytes(rows: prompt.count))
    expectRefusal("a pass") { _ = try model.score([item], priority: .job) }
    // In pieces it goes.
    _ = try model.score(item, under: .base, inPiecesOf: 256, priority: .job)
    _ = try model.logits(prompt: prompt, inPiecesOf: 256)
    // A continuation is in one piece.
    given.set(.max)
    let long = ScoringItem(prompt: Array(prompt.prefix(300)), continuations: [prompt])
    _ = try model.score(long, under: .base, inPiecesOf: 256, priority: .job)
    given.set(model.shape.passBytes(rows: prompt.count))
    expectRefusal("a long continuation") {
      _ = try model.score(long, under: .base, inPiecesOf: 256, priority: .job)
    }
    given.set(1000)
    expectRefusal("keys and values") { _ = try model.logits(prompt: prompt, inPiecesOf: 256) }
  }

  @Test func logitsInPiecesAreThoseOfOnePass() throws {
    let model = try TinyModel.model.get()
    var numbers = Numbers(86)
    let prompt = numbers.tokens(90)
    let whole = try model.logits(prompt: prompt)
    let pieces = try model.logits(prompt: prompt, inPiecesOf: 32)
    #expect(zip(whole, pieces).allSatisfy { abs($0 - $1) < 1e-4 })
  }

  /// With a real limit, in a process of its own: 32 texts of up to 32,768 tokens would take 8 GB of keys and values.
  @Test func aProcessWithALimitAnswersAndLives() async {
    await #expect(processExitsWith: .success) {
      let model = try RandomModel.load(.long)
      let held = try #require(ProcessMemory.of()?.data)
      let limit = held + MemoryRoom.margin + (96 << 20)
      var limits = ProcessLimits()
      limits.dataBytes = UInt64(limit)
      try limits.applyToSelf()
      let limited = try RandomModel.load(
        .long, pool: ComputePool(threads: 1), room: .ofProcess(dataLimit: limit, advice: "raise the limit"))
      _ = model
      let batch = DecodingBatch(limited, priority: .job, prefillRows: 64)
      for _ in 0..<32 { _ = try batch.add(GenerationRequest(prompt: [1, 2, 3], maximumTokens: 32_000)) }
      for _ in 0..<32 { _ = try batch.add(GenerationRequest(prompt: [1, 2, 3], maximumTokens: 4)) }
      var (failed, ended) = (0, 0)
      while !batch.isEmpty {
        batch.step { event in
          switch event {
          case .failed: failed += 1
          case .ended: ended += 1
          case .began, .token: break
          }
        }
      }
      #expect(failed == 32 && ended == 32)
    }
  }
}

extension ModelConfiguration {
  /// Small weights, and keys and values of 8 KiB a token.
  fileprivate static let long = ModelConfiguration(
    modelID: "long", layers: 2, hidden: 16, intermediate: 16, heads: 2, kvHeads: 2, headDim: 256, vocabulary: 8,
    contextLength: 32768, ropeTheta: 1e4, rmsEpsilon: 1e-5, tiedEmbeddings: true)
}
