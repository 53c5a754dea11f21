import Engines
import Foundation
import LinearAlgebra
import ModelFormats
import Multipliers
import StrictJSON

@testable import Transformer

/// The random Llama of three layers whose values PyTorch computed, loaded once.
enum TinyModel {
  static var model: Result<LanguageModel, any Error> { loaded.map(\.current) }
  private static let loaded = Result { try load(pool) }

  static func load(threads: Int) throws -> LanguageModel { try load(ComputePool(threads: threads)).current }

  private static func load(_ pool: ComputePool) throws -> ModelInForms {
    ModelInForms(try LanguageModel.load(path: path, factorizationDirectory: nil, pool: pool))
  }

  static let pool = ComputePool(threads: 2)
  static var path: String { fixture("tiny") }

  /// tiny/values.json
  static func values() throws -> JSONObject { try object("tiny/values.json") }

  /// The multipliers of values.json as a vector of the model's layout.
  static func multipliers() throws -> MultiplierVector {
    let named = try require(values()["multipliers"]?.objectValue)
    let layout = try model.get().layout
    var vector = MultiplierVector.ones(layout.count)
    for (name, value) in named.members {
      let numbers = try floats(value)
      vector.values.replaceSubrange(layout.range(of: try require(layout.index(of: name))), with: numbers)
    }
    return vector
  }

  static func ids() throws -> [Int32] { try tokens(require(values()["ids"])) }
}

/// The numbers of all layers' matrices of some kinds.
func matrices(_ model: LanguageModel, _ projections: [Projection]) -> [Int] {
  model.layout.matrices.indices.filter { projections.contains(model.shape.matrix($0).projection) }
}

struct MissingFixture: Error {}

func require<Value>(_ value: Value?) throws -> Value {
  guard let value else { throw MissingFixture() }
  return value
}

func fixture(_ name: String) -> String { Bundle.module.bundlePath + "/Fixtures/" + name }

func object(_ name: String) throws -> JSONObject {
  let bytes = try require(FileManager.default.contents(atPath: fixture(name)))
  return try require(parseJSON(Array(bytes)).objectValue)
}

func floats(_ value: JSONValue?) throws -> [Float] {
  try require(value?.arrayValue).map { Float(try require($0.doubleValue)) }
}

func tokens(_ value: JSONValue?) throws -> [Int32] {
  try require(value?.arrayValue).map { Int32(try require($0.integerValue)) }
}

/// The largest difference between two lists.
func distance(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count else { return .infinity }
  // A comparison with NaN is false, so that max would lose it.
  return zip(a, b).reduce(0) { abs($1.0 - $1.1) <= $0 ? $0 : ($1.0 - $1.1).isNaN ? .infinity : abs($1.0 - $1.1) }
}

func distance(_ a: [[ContinuationScore]], _ b: [[ContinuationScore]]) -> Float {
  distance(a.flatMap { $0.flatMap(\.logprobs) }, b.flatMap { $0.flatMap(\.logprobs) })
}

/// Small numbers from a seed.
struct Numbers {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }

  mutating func tokens(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(next() % 97) } }

  /// Between `low` and `high`.
  mutating func float(_ low: Float, _ high: Float) -> Float { low + (high - low) * Float(next() % 10_000) / 10_000 }

  mutating func vector(_ count: Int) -> MultiplierVector {
    MultiplierVector((0..<count).map { _ in float(0.5, 1.5) })
  }

  /// Items of unequal lengths, some with one token to a continuation.
  mutating func items(_ count: Int) -> [ScoringItem] {
    (0..<count).map { _ in
      let prompt = tokens(Int(next() % 20) + 3)
      return ScoringItem(
        prompt: prompt, continuations: (0..<Int(next() % 4) + 1).map { _ in tokens(Int(next() % 6) + 1) })
    }
  }
}

/// The tiny model without its head: the embedding is both.
enum TiedModel {
  static func load() throws -> LanguageModel {
    let directory = NSTemporaryDirectory() + "t2-tied-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let config = try String(contentsOfFile: TinyModel.path + "/config.json", encoding: .utf8)
      .replacing("\"tie_word_embeddings\": false", with: "\"tie_word_embeddings\": true")
    try config.write(toFile: directory + "/config.json", atomically: true, encoding: .utf8)
    let file = try SafetensorsFile.open(path: TinyModel.path + "/model.safetensors")
    let tensors = try file.tensors.filter { $0.name != "lm_head.weight" }.map {
      SafetensorsTensor(name: $0.name, shape: $0.shape, values: try file.floats($0.name))
    }
    try writeSafetensors(to: directory + "/model.safetensors", tensors: tensors, metadata: [])
    let model = try LanguageModel.load(path: directory, factorizationDirectory: nil, pool: TinyModel.pool)
    _ = try require(model.configuration.tiedEmbeddings ? model : nil)
    return ModelInForms(model).current
  }
}
