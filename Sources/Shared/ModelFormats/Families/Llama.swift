extension ModelFamily {
  /// Llama 2, 3, 3.1, 3.2 and 3.3, and what others trained in this form.
  static let llama = ModelFamily(
    name: "Llama", architecture: "LlamaForCausalLM", modelType: "llama", ggufArchitecture: "llama",
    isPermutedInGGUF: true,
    configure: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation(theta: 10000, scalings: [.llama3])]
      if try config.flag("attention_bias") { model.biases.formUnion([.query, .key, .value, .output]) }
      if try config.flag("mlp_bias") { model.biases.formUnion([.gate, .up, .down]) }
    },
    configureGGUF: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation(scalings: [.llama3])]
      // No key announces them.
      model.biases = Set(model.projections.filter { config.hasTensor("model.layers.0." + $0.biasName) })
    })
}
