extension ModelFamily {
  /// Qwen3: no biases, and a norm of each head's queries and keys.
  static let qwen3 = ModelFamily(
    name: "Qwen3", architecture: "Qwen3ForCausalLM", modelType: "qwen3", ggufArchitecture: "qwen3",
    defaults: Defaults(contextLength: 32768, kvHeads: 32, headDim: 128), describe: { $0.hasHeadNorms = true },
    configure: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation(theta: 10000)]
      try config.slideUpperLayers(&model)
    })
}
