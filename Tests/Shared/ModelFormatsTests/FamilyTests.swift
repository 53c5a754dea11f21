import Glibc
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import ModelFormats

/// The tiny models of every family in `Tests/Fixtures`, which PyTorch made.
@Suite struct FamilyTests {
  static let names = [
    "llama2", "llama3", "llama32-bf16", "llama-bias", "mistral", "mistral-nemo", "mistral-window", "qwen2",
    "qwen2-untied", "qwen3", "qwen3-untied", "gemma3", "gemma3-linear", "gemma3-scaled", "phi3", "smollm3",
  ]

  /// Opens a copy of a tiny model whose config.json is that in the spelling before transformers 5.
  static func openOlder(_ name: String) throws -> OpenModel {
    try withTemporaryDirectory { directory in
      let (original, path) = (fixtureModel(name), directory + "/" + name)
      try FileSystem.createDirectories(path)
      for file in try FileSystem.entries(original, limit: 100).compactMap(\.text) {
        let bytes = try FileSystem.readAll(original + "/" + file, maximumBytes: 1 << 24)
        if file == "config.v4.json" {
          try writeFile(path + "/config.json", bytes)
        } else if file != "config.json" {
          try writeFile(path + "/" + file, bytes)
        }
      }
      return try openModel(at: path)
    }
  }

  static let twins = [
    "llama2": "llama2.f32", "llama3": "llama3.f32", "llama32-bf16": "llama32-bf16.bf16", "llama-bias": "llama-bias.f32",
    "mistral": "mistral.f32", "mistral-nemo": "mistral-nemo.f32", "qwen2": "qwen2.f32", "qwen3": "qwen3.bf16",
    "qwen3-untied": "qwen3-untied.f32", "gemma3": "gemma3.f32", "gemma3-linear": "gemma3-linear.f32",
    "phi3": "phi3.f32", "smollm3": "smollm3.f32",
  ]

  @Test(arguments: names) func bothSpellingsOfAConfigurationSayTheSame(name: String) throws {
    let model = try openModel(at: fixtureModel(name))
    let older = try Self.openOlder(name)
    var expected = model.configuration
    expected.modelID = older.configuration.modelID
    #expect(older.configuration == expected)
    #expect(older.tensorNames == model.tensorNames)
  }

  @Test(arguments: names) func theDigestIsThatOfPyTorchsTensors(name: String) throws {
    let values = try parseJSON(FileSystem.readAll(fixtureModel(name) + "/values.json", maximumBytes: 1 << 22))
    #expect(
      try openModel(at: fixtureModel(name)).digest().description == "sha256:\(values["digest"]?.stringValue ?? "")")
  }

  /// Values bit for bit, with rows of queries and keys in their order and the norms' factors, and the same pass.
  @Test(arguments: twins.sorted { $0.key < $1.key })
  func aTwinInGGUFIsTheSameModel(name: String, file: String) throws {
    let model = try openModel(at: fixtureModel(name))
    let twin = try openModel(at: fixtureGGUF(file))
    #expect(twin.tensorNames == model.tensorNames)
    for tensor in model.tensorNames {
      #expect(twin.shape(of: tensor) == model.shape(of: tensor))
      let (found, expected) = (try twin.floats(tensor), try model.floats(tensor))
      #expect(found.elementsEqual(expected) { $0.bitPattern == $1.bitPattern }, "\(tensor)")
    }
    var expected = model.configuration
    #expect(twin.configuration.modelID == name)
    // GGUF has Mistral as Llama, and names one end of generation, which is not the same one for all files.
    expected.modelID = name
    #expect(twin.configuration.architecture == (name.hasPrefix("mistral") ? "LlamaForCausalLM" : expected.architecture))
    expected.architecture = twin.configuration.architecture
    expected.eosIDs = twin.configuration.eosIDs
    // A tokenizer that puts none in front need not name it.
    if twin.configuration.bosID == nil { expected.bosID = nil }
    for (index, rotation) in twin.configuration.rotations.enumerated() {
      guard case .divided(let divisors) = rotation.scaling else { continue }
      for (found, right) in zip(divisors, Self.divisors(of: expected.rotations[index], headDim: expected.headDim)) {
        #expect(abs(Double(found) - right) < 1e-5 * right)
      }
      expected.rotations[index].scaling = rotation.scaling
    }
    #expect(twin.configuration == expected)
  }

  /// By the rule of Llama 3.1, in double precision.
  private static func divisors(of rotation: Rotation, headDim: Int) -> [Double] {
    guard case .llama3(let factor, let low, let high, let context) = rotation.scaling else { return [] }
    return (0..<headDim / 2).map { pair in
      let frequency = pow(rotation.theta, -2 * Double(pair) / Double(headDim))
      let waves = Double(context) * frequency / (2 * .pi)
      if waves > high { return 1 }
      if waves < low { return factor }
      let smooth = (waves - low) / (high - low)
      return 1 / ((1 - smooth) / factor + smooth)
    }
  }
}

/// What README and t2d(8) say that loads.
@Suite struct FamilyTableTests {
  enum Form: String, CaseIterable {
    case directory = "config.json of transformers 5"
    case older = "older config.json"
    case gguf = "GGUF"
  }

  static let families: [(family: String, model: String)] = [
    ("Llama 2", "llama2"), ("Llama 3.1", "llama3"), ("Llama 3.2", "llama32-bf16"), ("Llama with biases", "llama-bias"),
    ("Mistral", "mistral"), ("Mistral Nemo", "mistral-nemo"), ("Qwen2", "qwen2"), ("Qwen3", "qwen3"),
    ("Gemma 3", "gemma3"), ("Gemma 3, scaled", "gemma3-linear"), ("Phi-3", "phi3"), ("SmolLM3", "smollm3"),
  ]

  @Test(arguments: families.map(\.model), Form.allCases)
  func aFamilyIsReadInEveryForm(model: String, form: Form) throws {
    let expected = try openModel(at: fixtureModel(model))
    let found =
      switch form {
      case .directory: try openModel(at: fixtureModel(model) + "/")
      case .older: try FamilyTests.openOlder(model)
      case .gguf: try openModel(at: fixtureGGUF(try #require(FamilyTests.twins[model])))
      }
    #expect(found.targets == expected.targets)
    #expect(try found.digest() == expected.digest())
    #expect(found.configuration.attention == expected.configuration.attention)
    #expect(found.configuration.biases == expected.configuration.biases)
  }

  /// The manual's list is that of the sources.
  @Test func theManualNamesWhatLoads() throws {
    let page = try ManualPage("t2d.8").lines
    let start = try #require(page.firstIndex(of: ".Sh MODELS"))
    let end = try #require(page[(start + 1)...].firstIndex { $0.hasPrefix(".Sh ") })
    let section = page[start..<end]
    let rows = section.filter { $0.hasPrefix(".It ") && !$0.contains("Em ") }
      .map { $0.split(separator: " Ta ").dropFirst().map(String.init) }
    #expect(rows == ModelFamily.all.map { [$0.architecture, $0.ggufArchitecture ?? "llama"] })
    let words = Set(section.joined(separator: " ").split { !$0.isLetter && !$0.isNumber && $0 != "_" }.map(String.init))
    #expect(Set(ElementType.allCases.map(\.rawValue)).isSubset(of: words))
    let readme = try ManualPage.text("README.md")
    for family in ModelFamily.all { #expect(readme.contains(family.name.replacing("Qwen2", with: "Qwen2.5"))) }
  }
}

/// Models of one layer in each quantised type and in llama.cpp's mixtures of them.
@Suite struct QuantizedModelTests {
  static let names = [
    "q2_k", "q2_k_mix", "q3_k", "q3_k_m", "q4_0", "q4_1", "q4_k", "q4_k_m", "q5_0", "q5_1", "q5_k", "q5_k_m", "q6_k",
    "q8_0", "iq4_nl", "iq4_xs", "iq4_xs_mix",
  ]

  /// The digest of values.json is of what ggml makes of the blocks.
  @Test(arguments: names) func theValuesAreThoseOfTheReferenceReader(name: String) throws {
    let path = repository + "/Tests/Fixtures/quants/models/wide.\(name)"
    let values = try parseJSON(FileSystem.readAll(path + ".values.json", maximumBytes: 1 << 20))
    let model = try openModel(at: path + ".gguf")
    #expect(try model.digest().description == "sha256:\(values["digest"]?.stringValue ?? "")")
    if !name.contains("_m") { #expect(model.configuration.quantization == name.uppercased()) }
    // As several threads read it, by rows of blocks.
    let embedding = "model.embed_tokens.weight"
    let whole = try model.floats(embedding)
    let width = model.configuration.hidden
    var rows = [Float](repeating: 0, count: 3 * width)
    try unsafe rows.withUnsafeMutableBufferPointer { try unsafe model.readRows(embedding, 5..<8, into: $0) }
    #expect(rows == Array(whole[5 * width..<8 * width]))
  }
}

func fixtureGGUF(_ name: String) -> String { repository + "/Tests/Fixtures/gguf/\(name).gguf" }

func fixtureModel(_ name: String) -> String { repository + "/Tests/Fixtures/families/" + name }
