extension ModelFamily {
  /// Gemma 3's language models, without the part for pictures: norms before and behind, two rotations, most layers with a window.
  static let gemma3 = ModelFamily(
    name: "Gemma 3", architecture: "Gemma3ForCausalLM", modelType: "gemma3_text", ggufArchitecture: "gemma3",
    ggufModules: [
      "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
      "post_ffw_norm": "post_feedforward_layernorm",
    ],
    defaults: Defaults(contextLength: 131_072, kvHeads: 4, headDim: 256, tiedEmbeddings: true),
    activation: "gelu_pytorch_tanh",
    normOffset: 1,
    describe: { model in
      model.norms = .around
      model.hasHeadNorms = true
      model.activation = .tanhGELU
      model.embeddingScale = Float(model.hidden).squareRoot()
    },
    configure: { model, config throws(ModelFormatError) in
      model.rotations = [
        try config.rotation(theta: 1_000_000, scalings: [.linear], of: .full),
        try config.rotation(theta: 10000, of: .sliding),
      ]
      let scalar = try config.optionalNumber("query_pre_attn_scalar") ?? 256
      guard scalar > 0 else { throw config.unsupported("query_pre_attn_scalar", "a number above 0") }
      model.attentionScale = inverseRoot(scalar)
      model.logitCap = try config.optionalNumber("final_logit_softcapping").map { Float($0) }
      let period = try config.windowPeriod() ?? 6
      try config.slide(&model, by: config.window(ifMissing: 4096)) { ($0 + 1) % period != 0 }
      model.turnSlidingLayers()
    },
    configureGGUF: { model, config throws(ModelFormatError) in
      model.rotations = [
        try config.rotation(scalings: [.linear]),
        Rotation(theta: try config.optionalNumber("rope.freq_base_swa") ?? 10000),
      ]
      // No key says it. The model of 62 layers, of 27 billion parameters, is the only one that has another scale.
      let scalar = model.layers == 62 ? model.hidden / model.heads : model.headDim
      model.attentionScale = inverseRoot(Double(scalar))
      if let cap = try config.optionalNumber("final_logit_softcapping"), cap != 0 { model.logitCap = Float(cap) }
      let window = try config.integer("attention.sliding_window")
      let slides = try config.slidingLayers(of: model.layers, ifMissing: 6)
      for layer in model.attention.indices where slides[layer] { model.attention[layer].window = window }
      model.turnSlidingLayers()
    })
}

/// In double precision, so that both formats give the same bits.
private func inverseRoot(_ number: Double) -> Float { Float(1 / number.squareRoot()) }

extension ModelConfiguration {
  /// Gives the layers with a window the second rotation.
  fileprivate mutating func turnSlidingLayers() {
    for layer in attention.indices where attention[layer].window != nil { attention[layer].rotation = 1 }
  }
}

extension HuggingFaceConfig {
  /// Every how many layers one sees all; nil where the file does not say.
  fileprivate func windowPeriod() throws(ModelFormatError) -> Int? {
    var found: Int?
    for key in ["_sliding_window_pattern", "sliding_window_pattern"] {
      guard let period = try optionalInteger(key) else { continue }
      guard period > 0 else { throw unsupported(key, "1 or more") }
      found = period
    }
    return found
  }
}
