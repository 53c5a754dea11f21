extension ModelFamily {
  /// Qwen2 and Qwen2.5: queries, keys and values have biases, which no key announces.
  static let qwen2 = ModelFamily(
    name: "Qwen2", architecture: "Qwen2ForCausalLM", modelType: "qwen2", ggufArchitecture: "qwen2",
    defaults: Defaults(contextLength: 32768, kvHeads: 32),
    describe: { $0.biases = [.query, .key, .value] },
    configure: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation(theta: 10000)]
      try config.slideUpperLayers(&model)
      // What some files say of the biases is what all models have.
      config.ignore("attention_bias", "qkv_bias")
    })
}

extension HuggingFaceConfig {
  /// Qwen's windows: they count where `use_sliding_window` says so, from layer `max_window_layers` on. The window alone
  /// stands in files of models without one.
  func slideUpperLayers(_ model: inout ModelConfiguration) throws(ModelFormatError) {
    let window = try window(ifMissing: 4096)
    let first = try optionalInteger("max_window_layers") ?? 28
    let isUsed = try flag("use_sliding_window")
    try slide(&model, by: isUsed ? window : nil) { isUsed && window != nil && $0 >= first }
  }
}
