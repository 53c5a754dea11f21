extension ModelFamily {
  /// Mistral 7B (the first with a window) and Nemo (with heads that are not the hidden size over their number).
  ///
  /// GGUF has them as Llama, without the window.
  static let mistral = ModelFamily(
    name: "Mistral", architecture: "MistralForCausalLM", modelType: "mistral",
    defaults: Defaults(contextLength: 131_072, kvHeads: 8),
    configure: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation(theta: 10000)]
      try config.slideAll(&model, by: config.window(ifMissing: 4096))
    })
}
