import ModelFormats
import StrictJSON
import SystemSupport
import Testing

@Suite struct HuggingFaceTests {
  private let config: JSONObject = [
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 16, "hidden_size": 8,
    "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "max_position_embeddings": 64, "rope_theta": 5000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
    "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": [2, 3], "torch_dtype": "float32",
  ]

  private static let shapes: [(String, [Int])] = [
    ("model.embed_tokens.weight", [16, 8]), ("model.layers.0.input_layernorm.weight", [8]),
    ("model.layers.0.post_attention_layernorm.weight", [8]), ("model.layers.0.self_attn.q_proj.weight", [8, 8]),
    ("model.layers.0.self_attn.k_proj.weight", [4, 8]), ("model.layers.0.self_attn.v_proj.weight", [4, 8]),
    ("model.layers.0.self_attn.o_proj.weight", [8, 8]), ("model.layers.0.mlp.gate_proj.weight", [12, 8]),
    ("model.layers.0.mlp.up_proj.weight", [12, 8]), ("model.layers.0.mlp.down_proj.weight", [8, 12]),
    ("model.norm.weight", [8]), ("lm_head.weight", [16, 8]),
  ]

  /// Shapes of the configuration above; every value of tensor number i is i * 1000 + its position.
  private let tensors: [SafetensorsTensor] = shapes.enumerated().map { (index: Int, tensor: (String, [Int])) in
    let count: Int = tensor.1.reduce(1, *)
    let values: [Float] = (0..<count).map { (position: Int) -> Float in Float(index * 1000 + position) }
    return SafetensorsTensor(name: tensor.0, shape: tensor.1, values: values)
  }

  /// A directory with the configuration, the tensors and further files.
  private func withModel<Value>(
    config: JSONObject? = nil, tensors: [SafetensorsTensor]? = nil, files: [String: String] = [:],
    _ body: (String) throws -> Value
  ) throws -> Value {
    try withTemporaryDirectory { directory in
      try writeFile(directory + "/config.json", JSONValue.object(config ?? self.config).serialized())
      try writeFile(
        directory + "/model.safetensors",
        safetensorsBytes(tensors: tensors ?? self.tensors, metadata: [("format", "pt")]))
      for (name, text) in files { try writeFile(directory + "/" + name, Array(text.utf8)) }
      return try body(directory)
    }
  }

  private func problem(
    config: JSONObject? = nil, tensors: [SafetensorsTensor]? = nil, files: [String: String] = [:]
  ) throws -> String {
    try withModel(config: config, tensors: tensors, files: files) { directory in
      do throws(ModelFormatError) {
        _ = try openModel(at: directory)
        return "no error"
      } catch {
        return error.description
      }
    }
  }

  @Test func aDirectoryWithOneFileIsRead() throws {
    try withModel { directory in
      let model = try openModel(at: directory + "/")
      #expect(model.configuration.kvHeads == 1 && model.configuration.headDim == 4)
      #expect(model.configuration.eosIDs == [2, 3] && model.configuration.bosID == 1)
      #expect(!model.configuration.tiedEmbeddings)
      #expect(model.configuration.quantization == "F32")
      #expect(model.configuration.modelID == FileSystem.split(directory).name)
      #expect(model.tokenizerDescription == nil)
      #expect(try model.floats("model.layers.0.self_attn.q_proj.weight") == (3000..<3064).map { Float($0) })
      #expect(try model.floats("model.norm.weight") == (10000..<10008).map { Float($0) })
      var rows = [Float](repeating: 0, count: 24)
      try unsafe rows.withUnsafeMutableBufferPointer {
        try unsafe model.readRows("model.layers.0.mlp.down_proj.weight", 2..<4, into: $0)
      }
      #expect(rows == (9024..<9048).map { Float($0) })
      #expect(throws: ModelFormatError.unknownTensor(path: directory + "/", name: "x")) { try model.floats("x") }
    }
  }

  /// A re-sharded copy is the same base.
  @Test func shardsAreReadThroughTheirIndexAndHaveTheSameDigest() throws {
    let whole = try withModel { try openModel(at: $0).digest() }
    try withTemporaryDirectory { directory in
      var map = JSONObject()
      for (index, tensor) in tensors.enumerated() {
        map[tensor.name] = .string("model-0000\(index % 2 + 1)-of-00002.safetensors")
      }
      try writeFile(directory + "/config.json", JSONValue.object(config).serialized())
      for shard in 0..<2 {
        let part = tensors.enumerated().filter { $0.offset % 2 == shard }.map(\.element)
        try writeFile(
          directory + "/model-0000\(shard + 1)-of-00002.safetensors", safetensorsBytes(tensors: part, metadata: []))
      }
      let index = directory + "/model.safetensors.index.json"
      try writeFile(index, JSONValue.object(["metadata": ["total_size": 1], "weight_map": .object(map)]).serialized())
      #expect(try openModel(at: directory).digest() == whole)

      map["model.norm.weight"] = "model-00002-of-00002.safetensors"
      try writeFile(index, JSONValue.object(["weight_map": .object(map)]).serialized())
      let error = #expect(throws: ModelFormatError.self) { try openModel(at: directory) }
      #expect(error?.description.contains("there is no tensor 'model.norm.weight', which") == true)

      // A slash with an accent is another character to Swift and a slash to the system.
      for path in ["../model-00001-of-00002.safetensors", "../\u{301}", String(repeating: "x", count: 256)] {
        map["model.norm.weight"] = .string(path)
        try writeFile(index, JSONValue.object(["weight_map": .object(map)]).serialized())
        let outside = #expect(throws: ModelFormatError.self) { try openModel(at: directory) }
        #expect(outside?.description.contains("must be a file name") == true)
      }
    }
  }

  @Test func theDigestIsOfTheTargetsOnly() throws {
    let plain = try withModel { try openModel(at: $0).digest() }
    var other = tensors
    other[0] = SafetensorsTensor(name: other[0].name, shape: [16, 8], values: [Float](repeating: 7, count: 128))
    #expect(try withModel(tensors: other) { try openModel(at: $0).digest() } == plain)
    var values = other[3].values
    values[63] = values[63].nextUp
    other[3] = SafetensorsTensor(name: other[3].name, shape: [8, 8], values: values)
    #expect(try withModel(tensors: other) { try openModel(at: $0).digest() } != plain)
  }

  @Test func theTokenizerAndItsTemplateAreHandedOn() throws {
    let list =
      #"{"model_max_length":1000000000000000019884624838656,"chat_template":[{"name":"tool","template":"T"},{"name":"default","template":"D"}]}"#
    try withModel(files: ["tokenizer.json": "{}", "tokenizer_config.json": list]) { directory in
      #expect(try openModel(at: directory).tokenizerDescription?.chatTemplate == "D")
      try writeFile(directory + "/tokenizer_config.json", Array(#"{"chat_template":"plain"}"#.utf8))
      let description = try #require(try openModel(at: directory).tokenizerDescription)
      #expect(description.chatTemplate == "plain")
      guard case .huggingFace(let tokenizer, let config) = description.kind else {
        Issue.record("\(description.kind)")
        return
      }
      #expect(tokenizer == Array("{}".utf8) && config?.isEmpty == false)
      try writeFile(directory + "/chat_template.jinja", Array("file".utf8))
      #expect(try openModel(at: directory).tokenizerDescription?.chatTemplate == "file")
    }
  }

  private static let refused: [(String, JSONValue, String)] = [
    ("architectures", ["GemmaForCausalLM"], "the architecture is \"GemmaForCausalLM\"; supported: LlamaForCausalLM"),
    ("architectures", [], "has no list \"architectures\""), ("hidden_act", "gelu", "\"hidden_act\" is \"gelu\""),
    ("attention_bias", true, "has no tensor 'model.layers.0.self_attn.q_proj.bias'"),
    (
      "rope_scaling", ["rope_type": "llama3", "factor": 8.0],
      "has no \"rope_scaling.original_max_position_embeddings\""
    ),
    ("rope_parameters", ["rope_type": "yarn"], "is \"yarn\""),
    ("quantization_config", ["bits": 4], "quantization_config"),
    ("num_hidden_layers", nil, "has no \"num_hidden_layers\""),
    ("num_hidden_layers", "1", "must be a count, found \"1\""),
    ("num_hidden_layers", 2, "has no tensor 'model.layers.1.input_layernorm.weight'"),
    ("num_hidden_layers", 9_000_000_000_000_000_000, "supported: 1 to 4096"),
    ("num_attention_heads", 0, "0 attention heads"), ("num_key_value_heads", 3, "a multiple of the key/value heads"),
    ("intermediate_size", 16, "has shape 12x8, its configuration asks for 16x8"),
    ("head_dim", 3, "the head size is 3; supported: even sizes"), ("eos_token_id", "2", "a token id or several"),
    ("rope_theta", 0, "rope theta"),
  ]

  @Test(arguments: refused)
  func whatIsMissingOrNotComputedIsNamed(key: String, value: JSONValue, expected: String) throws {
    var changed = config
    changed[key] = value
    let text = try problem(config: changed)
    #expect(text.contains(expected), "\(text)")
  }

  @Test func tensorsThatWouldBeIgnoredAreRefused() throws {
    let extra = SafetensorsTensor(name: "model.layers.0.self_attn.q_norm.weight", shape: [4], values: [1, 1, 1, 1])
    #expect(try problem(tensors: tensors + [extra]).contains("'model.layers.0.self_attn.q_norm.weight'"))
    for module in ["self_attn.qkv_proj", "mlp.gate_up_proj", "attention.query_key_value"] {
      let fused = SafetensorsTensor(
        name: "model.layers.0.\(module).weight", shape: [16, 8], values: [Float](repeating: 1, count: 128))
      let text = try problem(tensors: tensors + [fused])
      #expect(
        text.contains(
          "'model.layers.0.\(module).weight', which has several matrices in one; supported: in LlamaForCausalLM "),
        "\(text)")
    }
    let old = SafetensorsTensor(name: "model.layers.0.self_attn.rotary_emb.inv_freq", shape: [2], values: [1, 1])
    #expect(try problem(tensors: tensors + [old]) == "no error")
    let missing = tensors.filter { $0.name != "model.norm.weight" }
    #expect(try problem(tensors: missing).contains("has no tensor 'model.norm.weight'"))
  }

  @Test func damagedFilesAreNamedWithTheirPlace() throws {
    #expect(try problem(files: ["config.json": "{\"a\":1,\"a\":2}"]).contains("config.json' is not the JSON"))
    #expect(try problem(files: ["config.json": "{"]).contains("found the end of the text"))
    #expect(try problem(files: ["model.safetensors": "x"]).contains("the file has 1 bytes, its header asks for 8"))
    #expect(try problem(files: ["model.safetensors.index.json": "[]"]).contains("does not begin with '{'"))
    try withTemporaryDirectory { directory in
      let error = #expect(throws: ModelFormatError.self) { try openModel(at: directory) }
      #expect(error?.description.contains("an empty directory; a model is") == true)
      let none = #expect(throws: ModelFormatError.self) { try openModel(at: directory + "/none") }
      #expect(none?.description.contains("none': No such file") == true)
    }
  }
}
