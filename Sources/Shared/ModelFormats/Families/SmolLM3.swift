extension ModelFamily {
  /// SmolLM3: a Llama in which positions do not turn the queries and keys of some layers.
  static let smolLM3 = ModelFamily(
    name: "SmolLM3", architecture: "SmolLM3ForCausalLM", modelType: "smollm3", ggufArchitecture: "smollm3",
    isPermutedInGGUF: true, defaults: Defaults(contextLength: 32768, kvHeads: 4, tiedEmbeddings: true),
    configure: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation(theta: 2_000_000)]
      for layer in try config.layersWithoutRotation(of: model) { model.attention[layer].rotation = nil }
      // The window stands there unused; one that is used is refused.
      config.ignore("sliding_window")
    },
    configureGGUF: { model, config throws(ModelFormatError) in
      model.rotations = [try config.rotation()]
      // No key says it.
      for layer in model.attention.indices where (layer + 1) % 4 == 0 { model.attention[layer].rotation = nil }
    })
}

extension HuggingFaceConfig {
  /// Those that `no_rope_layers` marks with 0, else every `no_rope_layer_interval`-th.
  fileprivate func layersWithoutRotation(of model: ModelConfiguration) throws(ModelFormatError) -> [Int] {
    let interval = try optionalInteger("no_rope_layer_interval") ?? 4
    guard let list = optional("no_rope_layers") else {
      guard interval > 0 else { throw unsupported("no_rope_layer_interval", "1 or more") }
      return model.attention.indices.filter { ($0 + 1) % interval == 0 }
    }
    guard let marks = list.arrayValue?.map(\.intValue), marks.count == model.layers,
      marks.allSatisfy({ $0 == 0 || $0 == 1 })
    else {
      throw unsupported("no_rope_layers", "a list of \(model.layers) numbers, 1 for each layer that is turned, else 0")
    }
    return model.attention.indices.filter { marks[$0] == 0 }
  }
}
