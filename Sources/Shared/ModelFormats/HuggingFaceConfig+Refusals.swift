import StrictJSON

/// What is refused since it would be computed in another way than it is here.
extension HuggingFaceConfig {
  /// Keys by which some model computes something else, with the values that change nothing. A family that has one asks
  /// for it.
  private static let changing: [(keys: [String], neutral: Neutral)] = [
    // Biases.
    (["attention_bias", "qkv_bias", "attention_out_bias", "mlp_bias", "bias", "use_bias"], .off),
    // What attention sees, and how it is summed.
    (["use_sliding_window", "use_bidirectional_attention", "use_bidirectional"], .off),
    (["sliding_window", "sliding_window_pattern", "_sliding_window_pattern", "attention_chunk_size"], .null),
    (["attn_logit_softcapping", "attn_logit_softcap", "clip_qkv", "query_pre_attn_scalar"], .null),
    (["attention_multiplier", "attn_scale", "attention_sinks"], .null),
    (["is_causal"], .values([true])),
    (["use_qk_norm", "qk_norm", "qk_layernorm", "use_qk_layernorm", "attn_temperature_tuning"], .off),
    (["num_kv_shared_layers"], .off),
    // Rotation.
    (["partial_rotary_factor", "rotary_pct"], .one),
    (["rotary_dim", "rope_local_base_freq", "no_rope_layers", "no_rope_layer_interval"], .null),
    (["rope_interleaved", "rope_interleave", "alibi", "use_alibi", "use_mrope"], .off),
    (["position_embedding_type"], .values(["rope", "rotary"])),
    // Order and number of the networks.
    (["parallel_attn", "use_parallel_residual"], .off),
    (["num_experts", "num_local_experts", "n_routed_experts", "num_shared_experts", "n_shared_experts"], .off),
    (["moe_num_experts", "use_moe"], .off),
    // Scales.
    (["embedding_multiplier", "residual_multiplier", "logits_scaling", "logit_scale", "scale_emb"], .one),
    (["lm_head_multiplier", "key_multiplier", "embedding_scale", "output_multiplier_scale"], .one),
    (["scale_depth", "dim_model_base", "mlp_multipliers", "final_logit_softcapping", "final_logit_softcap"], .null),
  ]

  private enum Neutral {
    case null
    /// False or zero.
    case off
    case one
    case values([JSONValue])

    func has(_ value: JSONValue) -> Bool {
      switch self {
      case .null: false
      case .off: value.boolValue == false || value.doubleValue == 0
      case .one: value.doubleValue == 1
      case .values(let values): values.contains(value)
      }
    }

    /// For messages.
    func shown(for found: JSONValue) -> String {
      switch self {
      case .null: "null"
      case .off: found.boolValue == nil ? "0" : "false"
      case .one: "1"
      case .values(let values): values.map(\.jsonText).joined(separator: ", ")
      }
    }
  }

  func refuseWhatWasNotAskedFor(_ family: ModelFamily) throws(ModelFormatError) {
    let known = asked
    for (keys, neutral) in Self.changing {
      for key in keys where !known.contains(key) {
        guard let found = optional(key), !neutral.has(found) else { continue }
        throw unsupported(key, "\(neutral.shown(for: found)) in \(family.name) models")
      }
    }
    guard !known.contains("layer_types"), let types = optional("layer_types") else { return }
    guard types.arrayValue?.allSatisfy({ $0 == "full_attention" }) == true else {
      throw unsupported("layer_types", "\"full_attention\" only in \(family.name) models")
    }
  }

  func refuseOtherActivations(_ family: ModelFamily) throws(ModelFormatError) {
    for key in ["hidden_act", "hidden_activation"] {
      if let found = optional(key), found.stringValue != family.activation {
        throw unsupported(key, "\"\(family.activation)\"")
      }
    }
  }

  /// "quantization" is MLX's.
  func refuseQuantization() throws(ModelFormatError) {
    for key in ["quantization_config", "quantization"] {
      guard let found = optional(key) else { continue }
      throw .unsupported(
        path: path, what: "the quantisation (\"\(key)\")", found: Self.quantization(found),
        supported: SafetensorsType.readWeights)
    }
  }

  /// "gptq, 4 bits", as far as it says.
  private static func quantization(_ value: JSONValue) -> String {
    guard let object = value.objectValue else { return value.excerpt }
    let method = object["quant_method"]?.stringValue.map { "\"\($0.excerpt)\"" }
    let bits = (object["bits"] ?? object["w_bit"])?.intValue.map { "\($0) bits" }
    let parts = [method, bits].compactMap { $0 }
    return parts.isEmpty ? value.excerpt : parts.joined(separator: ", ")
  }
}
