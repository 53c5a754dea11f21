import ModelFormats

extension HostileReader {
  /// `config.json`, beside the weights that a model of its family and of two layers has: 8 channels, 2 heads of 4, one of
  /// keys and values, 12 channels between, 16 tokens.
  static let config = HostileReader(
    "config",
    samples: { families.map { ($0.name, Array($0.json.utf8)) } },
    read: { bytes in
      let text = String(decoding: bytes, as: UTF8.self)
      let family = families.first { text.contains($0.architecture) } ?? families[0]
      let weights = safetensorsBytes(
        tensors: family.tensors.map {
          SafetensorsTensor(
            name: $0.name, shape: $0.shape, values: [Float](repeating: 0.5, count: $0.shape.reduce(1, *)))
        }, metadata: [])
      try readModel(["config.json": bytes, "model.safetensors": weights]) { $0 }
    })

  private struct Family {
    let name: String
    let architecture: String
    /// What its configuration has besides.
    let members: String
    var norms = ["input_layernorm", "post_attention_layernorm"]
    var hasHeadNorms = false
    var biases: [String] = []
    var isFused = false

    var json: String {
      #"{"architectures":[""# + architecture
        + #""],"hidden_size":8,"intermediate_size":12,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"#
        + #""num_hidden_layers":2,"vocab_size":16,"max_position_embeddings":64,"rms_norm_eps":1e-05,"eos_token_id":[1,2],"#
        + #""tie_word_embeddings":true,"# + members + "}"
    }

    var tensors: [(name: String, shape: [Int])] {
      var tensors: [(name: String, shape: [Int])] = [
        ("model.embed_tokens.weight", [16, 8]), ("model.norm.weight", [8]),
      ]
      for layer in 0..<2 {
        let prefix = "model.layers.\(layer)."
        tensors += norms.map { (prefix + $0 + ".weight", [8]) }
        if hasHeadNorms { tensors += ["q", "k"].map { (prefix + "self_attn.\($0)_norm.weight", [4]) } }
        let fused = [("self_attn.qkv_proj", [16, 8]), ("mlp.gate_up_proj", [24, 8])]
        let split = [
          ("self_attn.q_proj", [8, 8]), ("self_attn.k_proj", [4, 8]), ("self_attn.v_proj", [4, 8]),
          ("mlp.gate_proj", [12, 8]), ("mlp.up_proj", [12, 8]),
        ]
        for (name, shape) in (isFused ? fused : split) + [("self_attn.o_proj", [8, 8]), ("mlp.down_proj", [8, 12])] {
          tensors.append((prefix + name + ".weight", shape))
          if biases.contains(name) { tensors.append((prefix + name + ".bias", [shape[0]])) }
        }
      }
      return tensors
    }
  }

  private static let families = [
    Family(
      name: "llama", architecture: "LlamaForCausalLM",
      members: #""model_type":"llama","hidden_act":"silu","attention_bias":true,"rope_theta":500000.0,"#
        + #""rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64}"#,
      biases: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]),
    Family(
      name: "mistral", architecture: "MistralForCausalLM",
      members:
        #""model_type":"mistral","sliding_window":16,"rope_parameters":{"rope_type":"default","rope_theta":1000000.0}"#),
    Family(
      name: "qwen2", architecture: "Qwen2ForCausalLM",
      members:
        #""model_type":"qwen2","use_sliding_window":true,"sliding_window":24,"max_window_layers":1,"use_mrope":false"#,
      biases: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    Family(
      name: "qwen3", architecture: "Qwen3ForCausalLM",
      members: #""model_type":"qwen3","attention_bias":false,"layer_types":["full_attention","full_attention"]"#,
      hasHeadNorms: true),
    Family(
      name: "gemma3", architecture: "Gemma3ForCausalLM",
      members: #""model_type":"gemma3_text","hidden_activation":"gelu_pytorch_tanh","query_pre_attn_scalar":16,"#
        + #""final_logit_softcapping":30.0,"sliding_window":12,"_sliding_window_pattern":2,"#
        + #""rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0},"sliding_attention":{"rope_theta":10000.0}}"#,
      norms: [
        "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
      ], hasHeadNorms: true),
    Family(
      name: "phi3", architecture: "Phi3ForCausalLM",
      members: #""model_type":"phi3","sliding_window":20,"partial_rotary_factor":1.0,"rope_scaling":null"#,
      isFused: true),
    Family(
      name: "smollm3", architecture: "SmolLM3ForCausalLM",
      members: #""model_type":"smollm3","no_rope_layers":[1,0],"use_sliding_window":false,"sliding_window":null"#),
  ]
}
