import Engines
import Foundation
import LinearAlgebra
import ModelFormats
import Multipliers
import StrictJSON
import TestSupport

@testable import Transformer

/// A model of Tests/Fixtures of which PyTorch computed values, as one of the files in which it is there. The list is what
/// `etc/results/models.md` has rows of, and each test of ``FixtureModelTests`` a column.
struct FixtureModel: Sendable, CustomStringConvertible {
  enum Form: Sendable {
    /// A directory with config.json in the spelling of transformers 5.
    case directory
    /// The same with the older spelling.
    case olderDirectory
    case gguf(String)
  }

  let description: String
  let form: Form
  private let values: String

  private init(family: String, _ form: Form) {
    values = "families/\(family)/values.json"
    self.form = form
    description =
      switch form {
      case .directory: family
      case .olderDirectory: "\(family), older config.json"
      case .gguf(let file): file
      }
  }

  private init(quantised name: String) {
    values = "quants/models/wide.\(name).values.json"
    form = .gguf("wide.\(name).gguf")
    description = "wide.\(name).gguf"
  }

  static let families = [
    "llama2", "llama3", "llama32-bf16", "llama-bias", "mistral", "mistral-nemo", "mistral-window", "qwen2",
    "qwen2-untied", "qwen3", "qwen3-untied", "gemma3", "gemma3-linear", "gemma3-scaled", "phi3", "smollm3",
  ]

  /// By family, the file of llama.cpp's converter; one of them is in three parts.
  private static let twins = [
    "llama2": "llama2.f32", "llama3": "llama3.f32", "llama32-bf16": "llama32-bf16.bf16", "llama-bias": "llama-bias.f32",
    "mistral": "mistral.f32", "mistral-nemo": "mistral-nemo.f32", "qwen2": "qwen2.f32", "qwen3": "qwen3.bf16",
    "qwen3-untied": "qwen3-untied.f32", "gemma3": "gemma3.f32", "gemma3-linear": "gemma3-linear.f32",
    "phi3": "phi3.f32", "smollm3": "smollm3.f32",
  ]

  /// One Llama layer of width 256 in each type, and in llama.cpp's mixtures of types.
  private static let quantised = [
    "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "q2_k_mix",
    "q3_k_m", "q4_k_m", "q5_k_m", "iq4_xs_mix",
  ]

  static let all: [FixtureModel] =
    families.flatMap { family in
      [FixtureModel(family: family, .directory), FixtureModel(family: family, .olderDirectory)]
        + (twins[family].map { [FixtureModel(family: family, .gguf($0 + ".gguf"))] } ?? [])
    } + [FixtureModel(family: "mistral", .gguf("mistral-split-00002-of-00003.gguf"))]
    + quantised.map { FixtureModel(quantised: $0) }

  private static let fixtures = repository + "/Tests/Fixtures/"

  func load() throws -> LanguageModel {
    switch form {
    case .directory: return try Self.load(folder)
    case .olderDirectory: return try loadOlderDirectory()
    case .gguf(let file):
      return try Self.load(Self.fixtures + (values.hasPrefix("quants") ? "quants/models/" : "gguf/") + file)
    }
  }

  private func loadOlderDirectory() throws -> LanguageModel {
    let directory = NSTemporaryDirectory() + "t2-older-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try FileManager.default.copyItem(atPath: folder + "config.v4.json", toPath: directory + "/config.json")
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name.hasPrefix("model") {
      try FileManager.default.copyItem(atPath: folder + name, toPath: directory + "/" + name)
    }
    return try Self.load(directory)
  }

  /// Without its tokenizer: the values are of ids.
  private static func load(_ path: String) throws -> LanguageModel {
    ModelInForms(
      try LanguageModel.load(
        openModel(at: path).withoutTokenizer(), factorizationDirectory: nil, pool: TinyModel.pool,
        shouldStop: { false }, progress: { _ in })
    ).current
  }

  private var folder: String { Self.fixtures + values.split(separator: "/").dropLast().joined(separator: "/") + "/" }

  func reference() throws -> Reference {
    let bytes = try require(FileManager.default.contents(atPath: Self.fixtures + values))
    return Reference(values: try require(parseJSON(Array(bytes)).objectValue))
  }

  /// values.json
  struct Reference {
    let values: JSONObject

    func vector(_ name: String, _ model: LanguageModel) throws -> MultiplierVector {
      let named = try require(values[name]?.objectValue)
      _ = try require(named.members.count == model.layout.matrices.count ? true : nil)
      var vector = MultiplierVector.ones(model.layout.count)
      for (name, value) in named.members {
        let range = model.layout.range(of: try require(model.layout.index(of: name)))
        vector.values.replaceSubrange(range, with: try floats(value))
      }
      return vector
    }

    /// Of `base` or `adapted`.
    func list(_ group: String, _ name: String) throws -> [JSONObject] {
      try require(values[group]?[name]?.arrayValue).map { try require($0.objectValue) }
    }

    /// The loss is −Σ ln p over the continuation.
    func lossItem() throws -> ScoringItem {
      let ids = try tokens(values["ids"])
      let ends = try tokens(values["loss_targets"]).map { Int($0) }
      return ScoringItem(prompt: Array(ids[..<ends[0]]), continuations: [Array(ids[ends[0]..<ends[1]])])
    }
  }
}
