import LinearAlgebra
@testable import ModelFormats
import SVF
import SystemSupport
import TestSupport

@testable import Transformer

/// Models of any configuration, with weights that a seed decides.
enum RandomModel {
  static func load(
    _ configuration: ModelConfiguration, seed: UInt64 = 1, pool: ComputePool = TinyModel.pool,
    room: MemoryRoom = .unlimited
  ) throws -> LanguageModel {
    try loadInForms(configuration, seed: seed, pool: pool, room: room).current
  }

  static func loadInForms(
    _ configuration: ModelConfiguration, seed: UInt64 = 1, precision: FactorPrecision? = nil,
    pool: ComputePool = TinyModel.pool, room: MemoryRoom = .unlimited
  ) throws -> ModelInForms {
    let file = try OpenModel(
      path: "/random", configuration: configuration, tokenizerDescription: nil,
      store: RandomStore(configuration, seed: seed))
    return ModelInForms(
      try LanguageModel.load(
        file, factorizationDirectory: nil, precision: precision, pool: pool, room: room, shouldStop: { false },
        progress: { _ in }))
  }
}

extension OpenModel {
  /// The same model without its tokenizer, for tests that speak in ids.
  func withoutTokenizer() throws -> OpenModel {
    try OpenModel(
      path: path, configuration: configuration, tokenizerDescription: nil, store: Forwarding(file: self))
  }

  private struct Forwarding: TensorStore {
    let file: OpenModel
    var names: [String] { file.tensorNames }
    func shape(of name: String) -> [Int]? { file.shape(of: name) }
    func storedType(of name: String) -> String? { file.storedType(of: name) }

    func read(_ name: String, rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
      do { try unsafe file.readRows(name, rows, into: target) } catch { preconditionFailure("\(error)") }
    }

    func readStored(_ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer) {
      unsafe file.readStored(name, rows, into: target)
    }
  }
}

private struct RandomStore: TensorStore {
  private let tensors: [String: [Float]]
  private let shapes: [String: [Int]]

  /// Sizes that keep the stream and the logits at a few units: norms near 1, matrices by their inputs, biases of 0.3.
  init(_ configuration: ModelConfiguration, seed: UInt64) {
    var numbers = SplitMix(seed: seed)
    var tensors: [String: [Float]] = [:]
    for (name, shape) in configuration.requiredTensors {
      let size: ClosedRange<Float> =
        if name.hasSuffix("norm.weight") {
          0.5...1.5
        } else if name.hasSuffix("bias") {
          -0.3...0.3
        } else {
          -(6 / Float(shape[1])).squareRoot()...(6 / Float(shape[1])).squareRoot()
        }
      tensors[name] = numbers.floats(shape.reduce(1, *), in: size)
    }
    self.tensors = tensors
    shapes = Dictionary(uniqueKeysWithValues: configuration.requiredTensors.map { ($0.name, $0.shape) })
  }

  var names: [String] { tensors.keys.sorted() }
  func shape(of name: String) -> [Int]? { shapes[name] }
  func storedType(of name: String) -> String? { tensors[name] == nil ? nil : "F32" }

  func read(_ name: String, rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
    guard let values = tensors[name], let shape = shapes[name] else { preconditionFailure("no tensor '\(name)'") }
    let width = shape.dropFirst().reduce(1, *)
    for (place, value) in values[rows.lowerBound * width..<rows.upperBound * width].enumerated() {
      unsafe target[place] = value
    }
  }

  func readStored(_ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer) {
    unsafe read(name, rows: rows, into: target.bindMemory(to: Float.self))
  }
}

/// Configurations in which every operation of a pass occurs, alone and with others, at widths that no vector unit divides.
enum AnyShape: String, CaseIterable, Sendable {
  case plain, oneKeyHead, biases, headNorms, fused, fusedBiases, normsAround, gelu, scales, cap, windows, unturned
  case linear, llama3, divided, narrowMLP, everything

  var configuration: ModelConfiguration {
    var c = ModelConfiguration(
      modelID: rawValue, layers: 3, hidden: 36, intermediate: 52, heads: 4, kvHeads: 2, headDim: 10, vocabulary: 97,
      contextLength: 512, ropeTheta: 10_000, rmsEpsilon: 1e-5, tiedEmbeddings: true)
    switch self {
    case .plain: c.tiedEmbeddings = false
    case .oneKeyHead: (c.heads, c.kvHeads, c.headDim) = (3, 1, 24)
    case .biases: c.biases = Set(c.projections)
    case .headNorms: c.hasHeadNorms = true
    case .fused: c.isFused = true
    case .fusedBiases:
      c.isFused = true
      c.biases = [.queryKeyValue, .gateUp, .down]
    case .normsAround: c.norms = .around
    case .gelu: c.activation = .tanhGELU
    case .scales: (c.embeddingScale, c.attentionScale) = (6, 0.2)
    case .cap: c.logitCap = 2.5
    case .windows: c.attention = [3, nil, 11].map { LayerAttention(window: $0) }
    case .unturned: c.attention[1].rotation = nil
    case .linear: c.rotations[0].scaling = .linear(factor: 8)
    case .llama3:
      c.rotations[0].scaling = .llama3(factor: 8, lowFrequency: 1, highFrequency: 4, originalContext: 64)
    case .divided: c.rotations[0].scaling = .divided([1, 1.5, 3, 8, 8])
    case .narrowMLP: (c.intermediate, c.headDim) = (20, 8)
    case .everything:
      (c.heads, c.kvHeads, c.headDim, c.intermediate) = (5, 1, 18, 44)
      c.rotations = [Rotation(theta: 1e6, scaling: .linear(factor: 4)), Rotation(theta: 1e4)]
      c.attention = [
        LayerAttention(window: 5, rotation: 1), LayerAttention(window: nil, rotation: 0),
        LayerAttention(window: 9, rotation: nil),
      ]
      c.isFused = true
      c.biases = Set(c.projections)
      c.norms = .around
      c.hasHeadNorms = true
      c.activation = .tanhGELU
      (c.embeddingScale, c.attentionScale, c.logitCap) = (6, 0.3, 4)
    }
    return c
  }

  /// Loaded once.
  func load() throws -> LanguageModel { try Self.models[self]?.get().current ?? RandomModel.load(configuration) }

  private static let models = Dictionary(
    uniqueKeysWithValues: allCases.map { shape in (shape, Result { try RandomModel.loadInForms(shape.configuration) }) }
  )
}

extension ModelConfiguration {
  /// Any dimensions, odd ones among them, and any facts.
  static func random(seed: UInt64) -> ModelConfiguration {
    var numbers = SplitMix(seed: seed)
    func number(_ range: ClosedRange<Int>) -> Int { range.lowerBound + numbers.below(range.count) }
    func chance() -> Bool { numbers.below(2) == 0 }
    let kvHeads = number(1...3)
    let headDim = 2 * number(1...17)
    var c = ModelConfiguration(
      modelID: "random-\(seed)", layers: number(1...4), hidden: number(9...45), intermediate: number(3...70),
      heads: kvHeads * number(1...4), kvHeads: kvHeads, headDim: headDim, vocabulary: number(97...130),
      contextLength: 256, ropeTheta: 1e4, rmsEpsilon: chance() ? 1e-5 : 1e-6, tiedEmbeddings: chance())
    c.isFused = chance()
    c.biases = Set(c.projections.filter { _ in chance() })
    c.norms = chance() ? .before : .around
    c.hasHeadNorms = chance()
    c.activation = chance() ? .silu : .tanhGELU
    if chance() { c.embeddingScale = Float(c.hidden).squareRoot() }
    if chance() { c.attentionScale = numbers.float(in: 0.1...1) }
    if chance() { c.logitCap = numbers.float(in: 1...20) }
    let scalings: [Rotation.Scaling] = [
      .none, .linear(factor: 4), .llama3(factor: 8, lowFrequency: 1, highFrequency: 4, originalContext: 32),
      .divided(numbers.floats(headDim / 2, in: 1...8)),
    ]
    c.rotations = (0..<number(1...3)).map { _ in
      Rotation(theta: chance() ? 1e4 : 1e6, scaling: scalings[number(0...3)])
    }
    c.attention = (0..<c.layers).map { _ in
      LayerAttention(
        window: chance() ? number(1...40) : nil, rotation: number(0...5) == 0 ? nil : number(0...c.rotations.count - 1))
    }
    return c
  }
}
