extension ModelFamily {
  /// Gemma 3's language models, without their eyes: norms before and behind, two rotations, most layers with a window.
  static let gemma3 = ModelFamily(
    name: "Gemma 3", architecture: "Gemma3ForCausalLM", modelType: "gemma3_text",
    defaults: Defaults(contextLength: 131_072, headDim: 256, tiedEmbeddings: true), activation: "gelu_pytorch_tanh",
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
      model.attentionScale = Float(1 / scalar.squareRoot())
      model.logitCap = try config.optionalNumber("final_logit_softcapping").map { Float($0) }
      let period = try config.windowPeriod() ?? 6
      try config.slide(&model, by: config.window(ifMissing: 4096)) { ($0 + 1) % period != 0 }
      for layer in model.attention.indices where model.attention[layer].window != nil {
        model.attention[layer].rotation = 1
      }
    })
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
