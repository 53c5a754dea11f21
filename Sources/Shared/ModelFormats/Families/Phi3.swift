extension ModelFamily {
  /// Phi-3: queries, keys and values are one matrix, gate and up another.
  static let phi3 = ModelFamily(
    name: "Phi-3", architecture: "Phi3ForCausalLM", modelType: "phi3", ggufArchitecture: "phi3",
    ggufModules: ["attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"], marksTakeBlanksInGGUF: true,
    defaults: Defaults(contextLength: 4096, epsilon: 1e-5), describe: { $0.isFused = true },
    configure: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation(theta: 10000)]
      try config.slideAll(&model, by: config.window(ifMissing: nil))
    },
    configureGGUF: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation()]
      guard let window = try config.optionalInteger("attention.sliding_window"), window > 0 else { return }
      for layer in model.attention.indices { model.attention[layer].window = window }
    })
}
