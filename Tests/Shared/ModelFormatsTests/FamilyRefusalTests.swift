import StrictJSON
import SystemSupport
import Testing

@testable import ModelFormats

/// What a family's config.json may not say, and what it may leave out.
@Suite struct FamilyRefusalTests {
  /// The configuration of a tiny model, changed; `older` takes that of before transformers 5.
  private func read(
    _ model: String, older: Bool = false, _ changes: [(key: String, value: JSONValue?)] = []
  ) throws -> ModelConfiguration {
    let name = older ? "/config.v4.json" : "/config.json"
    var object = try #require(
      parseJSON(FileSystem.readAll(fixtureModel(model) + name, maximumBytes: 1 << 16)).objectValue)
    for (key, value) in changes { object[key] = value }
    let config = HuggingFaceConfig(path: "config.json", object: object)
    let configuration = try config.configuration(of: config.family(), modelID: "m")
    try configuration.check(path: "config.json")
    return configuration
  }

  private func problem(
    _ model: String, older: Bool = false, _ changes: [(key: String, value: JSONValue?)]
  ) throws -> String {
    do { _ = try read(model, older: older, changes) } catch let error as ModelFormatError { return error.description }
    return "no error"
  }

  private static let yarn: JSONValue = ["rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64]

  static let refused: [(model: String, key: String, value: JSONValue, message: String)] = [
    ("llama2", "sliding_window", 16, "\"sliding_window\" is 16; supported: null in Llama models"),
    ("llama2", "attention_multiplier", 0.5, "\"attention_multiplier\" is 0.5; supported: null in Llama models"),
    ("llama2", "residual_multiplier", 0.5, "\"residual_multiplier\" is 0.5; supported: 1 in Llama models"),
    ("llama2", "logits_scaling", 8, "\"logits_scaling\" is 8; supported: 1 in Llama models"),
    ("llama2", "num_experts", 8, "\"num_experts\" is 8; supported: 0 in Llama models"),
    ("llama2", "num_local_experts", 8, "\"num_local_experts\" is 8; supported: 0 in Llama models"),
    ("llama2", "clip_qkv", 6.0, "\"clip_qkv\" is 6.0; supported: null in Llama models"),
    ("llama2", "final_logit_softcapping", 30.0, "\"final_logit_softcapping\" is 30.0; supported: null in Llama models"),
    ("llama2", "rope_interleaved", true, "\"rope_interleaved\" is true; supported: false in Llama models"),
    ("llama2", "partial_rotary_factor", 0.5, "\"partial_rotary_factor\" is 0.5; supported: 1 in Llama models"),
    ("llama2", "use_qk_norm", true, "\"use_qk_norm\" is true; supported: false in Llama models"),
    ("llama2", "hidden_act", "gelu", "\"hidden_act\" is \"gelu\"; supported: \"silu\""),
    (
      "llama2", "layer_types", ["sliding_attention", "full_attention"],
      "supported: \"full_attention\" only in Llama models"
    ),
    ("llama2", "model_type", "mistral", "\"model_type\" is \"mistral\"; supported: \"llama\" with LlamaForCausalLM"),
    ("llama2", "architectures", ["LlamaModel"], "the architecture is \"LlamaModel\"; supported: LlamaForCausalLM, Mis"),
    (
      "llama2", "rope_parameters", ["rope_type": "linear", "factor": 2.0],
      "(\"rope_parameters\") is \"linear\"; supported: \"llama3\" or none"
    ),
    (
      "llama2", "rope_parameters", ["rope_type": "dynamic", "factor": 2.0],
      "is \"dynamic\"; supported: \"llama3\" or none"
    ),
    ("llama2", "rope_parameters", ["factor": 2.0], "\"rope_parameters.factor\" is 2.0; supported: 1"),
    (
      "llama2", "rope_parameters", ["full_attention": ["rope_theta": 10.0]],
      "\"rope_parameters.full_attention\" is {\"rope_theta\":10.0}; supported: one rotation for all layers"
    ),
    ("llama2", "rope_parameters", 3, "\"rope_parameters\": must be an object, found 3"),
    ("llama2", "rope_parameters", ["rope_type": 3], "\"rope_parameters.rope_type\" is 3; supported: a name"),
    ("llama2", "rope_parameters", ["rope_theta": "x"], "\"rope_parameters.rope_theta\" is \"x\"; supported: a number"),
    ("llama2", "rope_parameters", ["rope_theta": -1.0], "rope theta is -1.0; supported: numbers above 0"),
    ("llama2", "rope_scaling", yarn, "(\"rope_scaling\") is \"yarn\"; supported: \"llama3\" or none"),
    (
      "llama3", "rope_parameters", ["rope_type": "llama3", "factor": 8.0],
      "has no \"rope_parameters.original_max_position_embeddings\""
    ),
    (
      "llama3", "rope_parameters",
      [
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
      ],
      "the high frequency of the rotary scaling is 4.0; supported: more than the low one, 4.0"
    ),
    (
      "llama3", "rope_parameters",
      [
        "rope_type": "llama3", "factor": 0.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
      ],
      "the factor of the rotary scaling is 0.0; supported: numbers above 0"
    ),
    (
      "llama3", "rope_scaling", ["rope_type": "default"],
      "\"rope_scaling\": it says another thing than \"rope_parameters\""
    ),
    (
      "llama3", "original_max_position_embeddings", 128,
      "\"original_max_position_embeddings\" is 128; supported: the 64 of \"rope_parameters\", or nothing"
    ),
    (
      "mistral", "layer_types", .array(Array(repeating: "sliding_attention", count: 3)),
      "supported: \"full_attention\" only, since \"sliding_window\" is null"
    ),
    (
      "mistral-window", "layer_types", .array(["full_attention", "sliding_attention", "sliding_attention"]),
      "supported: \"sliding_attention\" only, since \"sliding_window\" is 16"
    ),
    ("phi3", "layer_types", .array(["full_attention", "full_attention"]), "only, since \"sliding_window\" is 20"),
    ("mistral", "attention_bias", true, "\"attention_bias\" is true; supported: false in Mistral models"),
    ("mistral-window", "sliding_window", 0, "the sliding window is 0.0; supported: 1 or more"),
    ("mistral", "rope_scaling", yarn, "is \"yarn\"; supported: none"),
    ("qwen2", "rope_scaling", yarn, "is \"yarn\"; supported: none"),
    ("qwen2", "rope_scaling", ["type": "mrope", "mrope_section": [1, 2]], "is \"mrope\"; supported: none"),
    (
      "qwen2", "layer_types", ["full_attention", "sliding_attention", "sliding_attention"],
      "supported: no sliding layers where no sliding window is set or used"
    ),
    ("qwen2", "layer_types", ["full_attention"], "supported: a list of 3, one for each layer"),
    (
      "qwen2", "layer_types", ["full_attention", "full_attention", "linear_attention"],
      "an entry of \"layer_types\" is \"linear_attention\"; supported: \"full_attention\", \"sliding_attention\""
    ),
    ("qwen3", "attention_bias", true, "\"attention_bias\" is true; supported: false in Qwen3 models"),
    ("qwen3", "num_experts", 128, "\"num_experts\" is 128; supported: 0 in Qwen3 models"),
    ("gemma3", "attention_bias", true, "\"attention_bias\" is true; supported: false in Gemma 3 models"),
    ("gemma3", "attn_logit_softcapping", 50.0, "\"attn_logit_softcapping\" is 50.0; supported: null in Gemma 3 models"),
    (
      "gemma3", "use_bidirectional_attention", true,
      "\"use_bidirectional_attention\" is true; supported: false in Gemma 3 models"
    ),
    ("gemma3", "hidden_activation", "silu", "\"hidden_activation\" is \"silu\"; supported: \"gelu_pytorch_tanh\""),
    (
      "gemma3", "architectures", ["Gemma3ForConditionalGeneration"],
      "the architecture is \"Gemma3ForConditionalGeneration\"; supported: "
    ),
    ("qwen3", "mlp_bias", true, "\"mlp_bias\" is true; supported: false in Qwen3 models"),
    ("llama2", "head_dim", 15, "the head size is 15; supported: even sizes"),
    ("gemma3", "query_pre_attn_scalar", 0, "\"query_pre_attn_scalar\" is 0; supported: a number above 0"),
    ("gemma3", "query_pre_attn_scalar", -256, "\"query_pre_attn_scalar\" is -256; supported: a number above 0"),
    ("gemma3", "final_logit_softcapping", 0.0, "the bound of the logits is 0.0; supported: numbers above 0"),
    (
      "gemma3", "rope_parameters", ["rope_theta": 10000.0, "rope_type": "default"],
      "supported: an object with \"full_attention\" and \"sliding_attention\""
    ),
    (
      "gemma3", "rope_parameters", ["sliding_attention": ["rope_type": "linear", "factor": 8.0]],
      "(\"rope_parameters.sliding_attention\") is \"linear\"; supported: none"
    ),
    (
      "gemma3", "rope_parameters", ["full_attention": ["rope_type": "linear"]],
      "has no \"rope_parameters.full_attention.factor\""
    ),
    (
      "phi3", "rope_parameters", ["rope_type": "longrope", "short_factor": [1], "long_factor": [1]],
      "is \"longrope\"; supported: none"
    ),
    ("phi3", "rope_scaling", ["type": "su", "short_factor": [1], "long_factor": [1]], "is \"su\"; supported: none"),
    ("phi3", "partial_rotary_factor", 0.75, "\"partial_rotary_factor\" is 0.75; supported: 1 in Phi-3 models"),
    (
      "phi3", "rope_parameters", ["partial_rotary_factor": 0.75],
      "\"rope_parameters.partial_rotary_factor\" is 0.75; supported: 1"
    ),
    ("smollm3", "attention_bias", true, "\"attention_bias\" is true; supported: false in SmolLM3 models"),
    ("smollm3", "use_sliding_window", true, "\"use_sliding_window\" is true; supported: false in SmolLM3 models"),
    (
      "smollm3", "no_rope_layers", [1, 0],
      "\"no_rope_layers\" is [1,0]; supported: a list of 4 numbers, 1 for each layer"
    ),
    ("smollm3", "no_rope_layers", [1, 2, 1, 0], "\"no_rope_layers\" is [1,2,1,0]; supported: a list of 4 numbers"),
    ("smollm3", "rope_scaling", yarn, "is \"yarn\"; supported: none"),
  ]

  @Test(arguments: refused)
  func whatAFamilyDoesNotComputeIsNamed(model: String, key: String, value: JSONValue, message: String) throws {
    let text = try problem(model, [(key, value)])
    #expect(text.contains(message), "\(text)")
  }

  @Test func whatChangesNothingIsLeftAlone() throws {
    let plain = try read("llama2")
    let more: [(key: String, value: JSONValue?)] = [
      ("pretraining_tp", 2), ("num_experts", 0), ("sliding_window", nil), ("residual_multiplier", 1.0),
      ("mlp_bias", false), ("layer_types", .array(Array(repeating: "full_attention", count: plain.layers))),
      ("use_cache", true), ("rope_scaling", .null), ("a_key_of_tomorrow", ["x": 1]),
    ]
    #expect(try read("llama2", more) == plain)
    #expect(try read("qwen2", [("attention_bias", false)]) == read("qwen2"))
  }

  /// What transformers takes for a key that a file lacks.
  @Test func missingKeysHaveTheDefaultsOfTheirFamily() throws {
    #expect(try read("qwen3", [("head_dim", nil)]).headDim == 128)
    #expect(try read("llama2", [("head_dim", nil)]).headDim == read("llama2").hidden / read("llama2").heads)
    let kvHeads = ["llama2": 4, "mistral": 8, "qwen2": 32, "qwen3": 32, "gemma3": 4, "phi3": 4, "smollm3": 4]
    for (model, count) in kvHeads {
      #expect(
        try read(model, [("num_key_value_heads", nil), ("num_attention_heads", count > 4 ? 32 : 4)]).kvHeads == count)
      #expect(try read(model, [("num_key_value_heads", .null)]).kvHeads == read(model).heads, "\(model)")
    }
    #expect(try read("gemma3", [("tie_word_embeddings", nil)]).tiedEmbeddings)
    #expect(try !read("qwen2", [("tie_word_embeddings", nil)]).tiedEmbeddings)
    #expect(try read("mistral", [("rope_parameters", nil)]).rotations == [Rotation(theta: 10000)])
    #expect(
      try read("gemma3", older: true, [("rope_theta", nil), ("rope_local_base_freq", nil)]).rotations
        == [Rotation(theta: 1_000_000), Rotation(theta: 10000)])
    let pattern = try read("gemma3", older: true, [("sliding_window_pattern", nil), ("_sliding_window_pattern", nil)])
    #expect(pattern.attention == (try read("gemma3").attention))
  }

  @Test func thePatternOfWindowsIsReadInEitherSpelling() throws {
    for (key, other) in [
      ("sliding_window_pattern", "_sliding_window_pattern"), ("_sliding_window_pattern", "sliding_window_pattern"),
    ] {
      let model = try read("gemma3", older: true, [(key, 3), (other, nil)])
      #expect(model.attention.map { $0.window == nil } == [false, false, true, false, false, true, false])
      #expect(model.attention.map(\.rotation) == [1, 1, 0, 1, 1, 0, 1])
    }
    #expect(
      try problem("gemma3", older: true, [("sliding_window_pattern", 0)])
        .contains("\"sliding_window_pattern\" is 0; supported: 1 or more"))
  }

  @Test func aWindowThatIsNullAndUsedIsNamed() throws {
    let text = try problem("gemma3", older: true, [("sliding_window", .null)])
    #expect(
      text.contains("\"sliding_window\" is null; supported: a number of positions, since layers slide"), "\(text)")
  }

  @Test func layersWithoutRotationAreReadInEitherSpelling() throws {
    #expect(try read("smollm3").attention.map(\.rotation) == [0, 0, 0, nil])
    #expect(try read("smollm3", [("no_rope_layers", [0, 1, 1, 1])]).attention.map(\.rotation) == [nil, 0, 0, 0])
    let interval: [(key: String, value: JSONValue?)] = [("no_rope_layers", nil), ("no_rope_layer_interval", 2)]
    #expect(try read("smollm3", interval).attention.map(\.rotation) == [0, nil, 0, nil])
    #expect(try read("smollm3", [("no_rope_layers", nil), ("no_rope_layer_interval", nil)]) == read("smollm3"))
    #expect(
      try problem("smollm3", [("no_rope_layers", nil), ("no_rope_layer_interval", 0)])
        .contains("\"no_rope_layer_interval\" is 0; supported: 1 or more"))
  }

  @Test func fusedMatricesAreTheTargets() throws {
    let model = try read("phi3")
    #expect(model.projections == [.queryKeyValue, .output, .gateUp, .down])
    #expect(model.attention.allSatisfy { $0.window == 20 })
    #expect(try read("phi3", [("sliding_window", nil)]).attention.allSatisfy { $0.window == nil })
  }

  /// Of any length, in time: each id once.
  @Test func aLongListOfEndsIsRead() throws {
    let ends = (0..<200_000).map { JSONValue($0) }
    #expect(try read("llama2", [("eos_token_id", .array(ends + ends))]).eosIDs == Array(0..<200_000))
  }

  /// `use_sliding_window` decides, since Qwen's files name a window that no layer has.
  @Test func aWindowThatIsNotUsedIsNone() throws {
    #expect(try read("qwen2", older: true).attention.allSatisfy { $0.window == nil })
    let used = try read("qwen2", older: true, [("use_sliding_window", true)])
    #expect(used.attention.map(\.window) == [nil, 24, 24])
    #expect(try read("qwen2-untied").attention.map(\.window) == [nil, 24, 24])
    #expect(try read("mistral").attention.allSatisfy { $0.window == nil })
    #expect(try read("mistral-window").attention.allSatisfy { $0.window == 16 })
  }
}
