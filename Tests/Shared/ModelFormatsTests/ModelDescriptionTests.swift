import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import ModelFormats

@Suite struct ModelDescriptionTests {
  private static let fixtures = repository + "/Tests/Fixtures/"

  private func configuration(_ changes: [String: JSONValue?] = [:]) throws -> [UInt8] {
    let bytes = try FileSystem.readAll(Self.fixtures + "families/llama3/config.json", maximumBytes: 1 << 20)
    var object = try #require(parseJSON(bytes).objectValue)
    for key in ["dtype", "torch_dtype"] { object[key] = nil }
    for (key, value) in changes { object[key] = value }
    return JSONValue.object(object).serialized()
  }

  @Test func aConfigurationAloneIsDescribed() throws {
    let whole = try ModelDescription(at: Self.fixtures + "families/llama3")
    #expect(whole.hasWeights)
    try withTemporaryDirectory { directory in
      for (key, name, type) in [
        ("torch_dtype", "bfloat16", ElementType.bf16), ("dtype", "float16", .f16), ("dtype", "float32", .f32),
      ] {
        try FileSystem.writeAtomically(directory + "/config.json", configuration([key: .string(name)]))
        for path in [directory, directory + "/", directory + "/config.json"] {
          let found = try ModelDescription(at: path)
          #expect(!found.hasWeights && found.configuration.quantization == type.rawValue)
          #expect(found.type(of: "model.embed_tokens.weight") == type)
          #expect(found.configuration.targets == whole.configuration.targets)
        }
      }
      try FileSystem.rename(directory + "/config.json", to: directory + "/llama.json")
      #expect(try ModelDescription(at: directory + "/llama.json").configuration.layers == whole.configuration.layers)
    }
  }

  @Test func aConfigurationThatCannotBeRunIsRefusedAsWithItsWeights() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/config.json"
      for (changes, said) in [
        (["torch_dtype": "float8_e4m3fn"], "\"torch_dtype\""), (["num_key_value_heads": 3], "attention heads"),
        (["architectures": ["MambaForCausalLM"]], "LlamaForCausalLM"),
        (
          [
            "num_hidden_layers": 4096, "hidden_size": JSONValue(1 << 20), "intermediate_size": JSONValue(1 << 22),
            "num_attention_heads": 65536, "num_key_value_heads": 65536, "head_dim": 65536, "vocab_size": 16_777_216,
          ], "the number of parameters is "
        ),
      ] as [([String: JSONValue], String)] {
        try FileSystem.writeAtomically(path, configuration(changes))
        let error = #expect(throws: ModelFormatError.self) { try ModelDescription(at: path) }
        #expect(error?.description.contains(said) == true, "\(error?.description ?? "")")
      }
      try FileSystem.writeAtomically(path, Array("no JSON".utf8))
      #expect(throws: ModelFormatError.self) { try ModelDescription(at: path) }
      let missing = #expect(throws: ModelFormatError.self) { try ModelDescription(at: directory + "/no.json") }
      #expect(missing?.description.contains("no.json") == true)
    }
  }

  /// Files of llama.cpp's quantizer.
  @Test func theMixtureOfTypesIsLlamaCpps() throws {
    for (file, form) in [("q4_k_m", StoredForm.q4_K_M), ("q8_0", .q8_0)] {
      let model = try ModelDescription(at: Self.fixtures + "quants/models/wide.\(file).gguf")
      for tensor in model.configuration.requiredTensors where tensor.shape.count == 2 {
        #expect(model.type(of: tensor.name) == form.types(of: model.configuration)(tensor.name), "\(tensor.name)")
      }
    }
  }

  /// Of 32 layers 16 have more bits: the first and last four, and every third between.
  @Test func layersThatMatterMoreHaveMoreBits() {
    let model = ModelConfiguration(
      modelID: "8B", layers: 32, hidden: 4096, intermediate: 14336, heads: 32, kvHeads: 8, headDim: 128,
      vocabulary: 128_256, contextLength: 8192, ropeTheta: 5e5, rmsEpsilon: 1e-5, tiedEmbeddings: false)
    let favoured = (0..<32).filter {
      StoredForm.q4_K_M.types(of: model)("model.layers.\($0).mlp.down_proj.weight") == .q6_K
    }
    #expect(favoured == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31])
    // 28 are no whole eighths: the last seven eighths begin at 24, as llama.cpp counts them.
    var smaller = model
    smaller.layers = 28
    let types = StoredForm.q4_K_M.types(of: smaller)
    let inSmaller = (0..<28).filter { types("model.layers.\($0).self_attn.v_proj.weight") == .q6_K }
    #expect(inSmaller == [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27])
    #expect(StoredForm.q4_K_M.types(of: model)("model.layers.0.mlp.up_proj.weight") == .q4_K)
    #expect(StoredForm.q4_K_M.types(of: model)("lm_head.weight") == .q6_K)
    #expect(StoredForm.q4_K_M.types(of: model)("model.embed_tokens.weight") == .q4_K)
    #expect(StoredForm.q8_0.types(of: model)("lm_head.weight") == .q8_0)
  }

  /// Gemma's rows of 640 are not whole super-blocks.
  @Test func rowsThatAreNoWholeBlocksAreStoredInShorterOnes() {
    let model = ModelConfiguration(
      modelID: "270M", layers: 18, hidden: 640, intermediate: 2048, heads: 4, kvHeads: 1, headDim: 256,
      vocabulary: 1000, contextLength: 8192, ropeTheta: 1e6, rmsEpsilon: 1e-6, tiedEmbeddings: true)
    let types = StoredForm.q4_K_M.types(of: model)
    #expect(types("model.layers.3.mlp.up_proj.weight") == .q5_0)
    #expect(types("model.layers.3.mlp.down_proj.weight") == .q4_K, "its rows have 2048 values")
    #expect(types("model.embed_tokens.weight") == .q8_0, "it is the head")
  }
}
