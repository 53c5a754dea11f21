extension ModelFamily {
  /// Llama 2, 3, 3.1, 3.2 and 3.3, and what others trained in this form.
  static let llama = ModelFamily(
    name: "Llama", architecture: "LlamaForCausalLM", modelType: "llama",
    configure: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation(theta: 10000, scalings: [.llama3])]
      if try config.flag("attention_bias") { model.biases.formUnion([.query, .key, .value, .output]) }
      if try config.flag("mlp_bias") { model.biases.formUnion([.gate, .up, .down]) }
    })
}
