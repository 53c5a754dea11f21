import StrictJSON

/// The values of `config.json` that matter, in the spelling of transformers 5 and the older one.
///
/// Other people's file: what is not known is left alone, what would change the computation is refused. It remembers which
/// keys a family asked for, so that of the keys that change what some model computes those that this family does not
/// have are found (`HuggingFaceConfig+Refusals.swift`). Used by one thread.
final class HuggingFaceConfig {
  static let name = "config.json"

  let path: String
  private let object: JSONObject
  private(set) var asked: Set<String> = []

  init(path: String, object: JSONObject) {
    self.path = path
    self.object = object
  }

  /// By `architectures`, which `model_type` must not contradict.
  func family() throws(ModelFormatError) -> ModelFamily {
    guard let architectures = optional("architectures")?.arrayValue, !architectures.isEmpty else {
      throw .missing(path: path, what: "list \"architectures\"")
    }
    guard architectures.count == 1, let name = architectures[0].stringValue, let family = ModelFamily.named(name) else {
      throw .unsupported(
        path: path, what: "the architecture", found: architectures.map(\.jsonText).excerpt,
        supported: ModelFamily.all.map(\.architecture).joined(separator: ", "))
    }
    if let type = optional("model_type"), type.stringValue != family.modelType {
      throw unsupported("model_type", "\"\(family.modelType)\" with \(family.architecture)")
    }
    return family
  }

  /// Unchecked as to its bounds.
  func configuration(of family: ModelFamily, modelID: String) throws(ModelFormatError) -> ModelConfiguration {
    try refuseQuantization()
    try refuseOtherActivations(family)
    var model = try plain(family, modelID: modelID)
    family.describe(&model)
    try family.configure(&model, self)
    try refuseWhatWasNotAskedFor(family)
    return model
  }

  /// What all families have.
  private func plain(_ family: ModelFamily, modelID: String) throws(ModelFormatError) -> ModelConfiguration {
    let hidden = try integer("hidden_size")
    let heads = try integer("num_attention_heads")
    guard hidden > 0, heads > 0 else {
      throw .malformed(
        path: path, place: "the configuration", problem: "\(heads) attention heads of \(hidden) channels")
    }
    var model = ModelConfiguration(
      modelID: modelID, layers: try integer("num_hidden_layers"), hidden: hidden,
      intermediate: try integer("intermediate_size"), heads: heads,
      kvHeads: try optionalInteger("num_key_value_heads", ifMissing: family.defaults.kvHeads) ?? heads,
      headDim: try optionalInteger("head_dim") ?? family.defaults.headDim ?? hidden / heads,
      vocabulary: try integer("vocab_size"),
      contextLength: try optionalInteger("max_position_embeddings") ?? family.defaults.contextLength,
      // Each family sets its rotations.
      ropeTheta: 1, rmsEpsilon: Float(try optionalNumber("rms_norm_eps") ?? family.defaults.epsilon),
      tiedEmbeddings: try optionalBool("tie_word_embeddings") ?? family.defaults.tiedEmbeddings,
      bosID: try optionalInteger("bos_token_id"), eosIDs: try tokenIDs("eos_token_id") ?? [])
    model.architecture = family.architecture
    return model
  }

  // MARK: Windows

  /// Nil where the file says null.
  func window(ifMissing missing: Int?) throws(ModelFormatError) -> Int? {
    try optionalInteger("sliding_window", ifMissing: missing)
  }

  /// Gives the layers their windows: by `layer_types` where that is there, else those that `slides`.
  func slide(_ model: inout ModelConfiguration, by window: Int?, _ slides: (Int) -> Bool) throws(ModelFormatError) {
    let types = try layerTypes(of: model)
    for layer in model.attention.indices where types?[layer] ?? slides(layer) {
      guard let window else {
        throw types == nil
          ? unsupported("sliding_window", "a number of positions, since layers slide")
          : unsupported("layer_types", "no sliding layers where no sliding window is set or used")
      }
      model.attention[layer].window = window
    }
  }

  /// Gives all layers the window, where there is one. transformers' classes of these families do not look at
  /// `layer_types`, so what it says must be the same.
  func slideAll(_ model: inout ModelConfiguration, by window: Int?) throws(ModelFormatError) {
    if let types = try layerTypes(of: model), types.contains(window == nil) {
      let type = window == nil ? "full_attention" : "sliding_attention"
      throw unsupported(
        "layer_types", "\"\(type)\" only, since \"sliding_window\" is \(window.map(String.init) ?? "null")")
    }
    for layer in model.attention.indices { model.attention[layer].window = window }
  }

  /// Which layers slide.
  private func layerTypes(of model: ModelConfiguration) throws(ModelFormatError) -> [Bool]? {
    guard let value = optional("layer_types") else { return nil }
    guard let types = value.arrayValue, types.count == model.layers else {
      throw unsupported("layer_types", "a list of \(model.layers), one for each layer")
    }
    var slides: [Bool] = []
    for type in types.prefix(model.attention.count) {
      switch type.stringValue {
      case "full_attention": slides.append(false)
      case "sliding_attention": slides.append(true)
      default:
        throw .unsupported(
          path: path, what: "an entry of \"layer_types\"", found: type.excerpt,
          supported: "\"full_attention\", \"sliding_attention\"")
      }
    }
    return slides
  }

  // MARK: Values

  /// Nil where it is not there, or null.
  func optional(_ key: String) -> JSONValue? {
    asked.insert(key)
    guard let value = object[key], !value.isNull else { return nil }
    return value
  }

  /// Of a key that changes nothing in this family.
  func ignore(_ keys: String...) { asked.formUnion(keys) }

  func wrongKind(_ key: String, _ value: JSONValue, _ expected: String) -> ModelFormatError {
    .malformed(path: path, place: "\"\(key)\"", problem: "must be \(expected), found \(value.excerpt)")
  }

  func unsupported(_ key: String, _ supported: String) -> ModelFormatError {
    .unsupported(path: path, what: "\"\(key)\"", found: object[key]?.excerpt ?? "not there", supported: supported)
  }

  func optionalInteger(_ key: String) throws(ModelFormatError) -> Int? {
    guard let value = optional(key) else { return nil }
    guard let number = value.intValue, number >= 0 else { throw wrongKind(key, value, "a count") }
    return number
  }

  /// Nil where the file says null.
  private func optionalInteger(_ key: String, ifMissing missing: Int?) throws(ModelFormatError) -> Int? {
    object[key] == nil ? missing : try optionalInteger(key)
  }

  private func integer(_ key: String) throws(ModelFormatError) -> Int {
    guard let value = try optionalInteger(key) else { throw .missing(path: path, what: "\"\(key)\"") }
    return value
  }

  func optionalNumber(_ key: String) throws(ModelFormatError) -> Double? {
    guard let value = optional(key) else { return nil }
    guard let number = value.doubleValue else { throw wrongKind(key, value, "a number") }
    return number
  }

  private func optionalBool(_ key: String) throws(ModelFormatError) -> Bool? {
    guard let value = optional(key) else { return nil }
    guard let bool = value.boolValue else { throw wrongKind(key, value, "true or false") }
    return bool
  }

  /// False where the key is missing.
  func flag(_ key: String) throws(ModelFormatError) -> Bool { try optionalBool(key) ?? false }

  /// One id or several.
  func tokenIDs(_ key: String) throws(ModelFormatError) -> [Int]? {
    guard let value = optional(key) else { return nil }
    var ids: [Int] = []
    var known: Set<Int> = []
    for id in value.arrayValue ?? [value] {
      guard let id = id.intValue, id >= 0 else { throw wrongKind(key, value, "a token id or several") }
      if known.insert(id).inserted { ids.append(id) }
    }
    return ids
  }
}
