import StrictJSON

/// Opens a directory as Hugging Face's `save_pretrained` writes it: `config.json`, `model.safetensors` or its shards, and
/// where they are there `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`.
func openHuggingFaceDirectory(_ path: String) throws(ModelFormatError) -> OpenModel {
  let directory = try ModelDirectory(path)
  guard let object = try directory.json(HuggingFaceConfig.name) else { throw directory.withoutConfiguration() }
  let configPath = directory.path(of: HuggingFaceConfig.name)
  let config = HuggingFaceConfig(path: configPath, object: object)
  let unchecked = try config.configuration(modelID: ModelConfiguration.modelID(fromPath: directory.path))
  try unchecked.check(path: configPath)
  let tensors = try HuggingFaceTensors(directory: directory, configuration: unchecked)
  let configuration = unchecked.withQuantization { tensors.storedType(of: $0) }
  let (tokenizer, problem) = try tokenizer(in: directory)
  var warnings = tensors.warnings
  if directory.has(ModelDirectory.adapterConfiguration) {
    warnings.append(
      "'\(ModelDirectory.adapterConfiguration)' of an adapter lies beside the model, and the adapter is not applied")
  }
  if let problem { warnings.append(problem) }
  return try OpenModel(
    path: path, configuration: configuration, tokenizerDescription: tokenizer, store: tensors, warnings: warnings)
}

/// Where there is none, also what there is instead.
private func tokenizer(
  in directory: ModelDirectory
) throws(ModelFormatError) -> (TokenizerDescription?, problem: String?) {
  guard let tokenizer = try directory.jsonBytes(of: "tokenizer.json") else {
    return (nil, directory.withoutTokenizer)
  }
  let config = try directory.jsonBytes(of: "tokenizer_config.json")
  // The file of its own wins over the entry in tokenizer_config.json, as in transformers.
  let templateName = "chat_template.jinja"
  var template: String?
  if let bytes = try directory.bytes(of: templateName, expected: "a template") {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .malformed(path: directory.path(of: templateName), place: "the template", problem: "it is not UTF-8")
    }
    template = text
  } else {
    template = chatTemplate(try directory.json("tokenizer_config.json")?["chat_template"])
  }
  return (
    TokenizerDescription(
      kind: .huggingFace(tokenizerJSON: tokenizer, configJSON: config), chatTemplate: template), nil
  )
}

/// A text, or a list of named texts of which "default" is the one for plain chats.
private func chatTemplate(_ value: JSONValue?) -> String? {
  if let text = value?.stringValue { return text }
  return value?.arrayValue?.first { $0["name"]?.stringValue == "default" }?["template"]?.stringValue
}

/// The values of `config.json` that matter. Other people's file: what is not known is left alone, what would change the
/// computation is refused.
struct HuggingFaceConfig {
  static let name = "config.json"

  let path: String
  let object: JSONObject

  func configuration(modelID: String) throws(ModelFormatError) -> ModelConfiguration {
    try refuseWhatIsNotComputed()
    let hidden = try integer("hidden_size")
    let heads = try integer("num_attention_heads")
    guard hidden > 0, heads > 0 else {
      throw .malformed(
        path: path, place: "the configuration", problem: "\(heads) attention heads of \(hidden) channels")
    }
    return ModelConfiguration(
      modelID: modelID, layers: try integer("num_hidden_layers"), hidden: hidden,
      intermediate: try integer("intermediate_size"), heads: heads,
      kvHeads: try optionalInteger("num_key_value_heads") ?? heads,
      headDim: try optionalInteger("head_dim") ?? hidden / heads, vocabulary: try integer("vocab_size"),
      contextLength: try optionalInteger("max_position_embeddings") ?? 2048, ropeTheta: try ropeTheta(),
      rmsEpsilon: Float(try optionalNumber("rms_norm_eps") ?? 1e-6),
      tiedEmbeddings: try optionalBool("tie_word_embeddings") ?? false, bosID: try optionalInteger("bos_token_id"),
      eosIDs: try endIDs(), quantization: "")
  }

  private func refuseWhatIsNotComputed() throws(ModelFormatError) {
    let supported = "LlamaForCausalLM"
    guard let architectures = object["architectures"]?.arrayValue, !architectures.isEmpty else {
      throw .missing(path: path, what: "list \"architectures\"")
    }
    guard architectures.count == 1, architectures[0].stringValue == supported else {
      throw .unsupported(
        path: path, what: "the architecture", found: architectures.map(\.jsonText).excerpt,
        supported: supported)
    }
    let fixed: [(key: String, allowed: [JSONValue])] = [
      ("hidden_act", ["silu"]), ("attention_bias", [false]), ("mlp_bias", [false]),
      ("partial_rotary_factor", [1.0, 1]),
    ]
    for (key, allowed) in fixed {
      if let found = optional(key), !allowed.contains(found) {
        throw .unsupported(path: path, what: "\"\(key)\"", found: found.excerpt, supported: allowed[0].jsonText)
      }
    }
    // "quantization" is MLX's.
    for key in ["quantization_config", "quantization"] {
      guard let found = optional(key) else { continue }
      throw .unsupported(
        path: path, what: "the quantisation (\"\(key)\")", found: Self.quantization(found),
        supported: SafetensorsType.readWeights)
    }
    for key in ["rope_scaling", "rope_parameters"] {
      guard let found = optional(key)?.objectValue else { continue }
      let type = (found["rope_type"] ?? found["type"])?.stringValue ?? "default"
      if type != "default" {
        throw .unsupported(
          path: path, what: "the rotary scaling (\"\(key)\")", found: "\"\(type.excerpt)\"", supported: "none")
      }
    }
  }

  /// "gptq, 4 bits", as far as it says.
  private static func quantization(_ value: JSONValue) -> String {
    guard let object = value.objectValue else { return value.excerpt }
    let method = object["quant_method"]?.stringValue.map { "\"\($0.excerpt)\"" }
    let bits = (object["bits"] ?? object["w_bit"])?.intValue.map { "\($0) bits" }
    let parts = [method, bits].compactMap { $0 }
    return parts.isEmpty ? value.excerpt : parts.joined(separator: ", ")
  }

  private func ropeTheta() throws(ModelFormatError) -> Double {
    if let theta = try optionalNumber("rope_theta") { return theta }
    return optional("rope_parameters")?["rope_theta"]?.doubleValue ?? 10000
  }

  /// One id or several.
  private func endIDs() throws(ModelFormatError) -> [Int] {
    guard let value = optional("eos_token_id") else { return [] }
    var ids: [Int] = []
    for value in value.arrayValue ?? [value] {
      guard let id = value.intValue, id >= 0 else { throw wrongKind("eos_token_id", value, "a token id or several") }
      ids.append(id)
    }
    return ids
  }

  private func optional(_ key: String) -> JSONValue? {
    guard let value = object[key], !value.isNull else { return nil }
    return value
  }

  private func wrongKind(_ key: String, _ value: JSONValue, _ expected: String) -> ModelFormatError {
    .malformed(path: path, place: "\"\(key)\"", problem: "must be \(expected), found \(value.excerpt)")
  }

  private func optionalInteger(_ key: String) throws(ModelFormatError) -> Int? {
    guard let value = optional(key) else { return nil }
    guard let number = value.intValue, number >= 0 else { throw wrongKind(key, value, "a count") }
    return number
  }

  private func integer(_ key: String) throws(ModelFormatError) -> Int {
    guard let value = try optionalInteger(key) else { throw .missing(path: path, what: "\"\(key)\"") }
    return value
  }

  private func optionalNumber(_ key: String) throws(ModelFormatError) -> Double? {
    guard let value = optional(key) else { return nil }
    guard let number = value.doubleValue else { throw wrongKind(key, value, "a number") }
    return number
  }

  private func optionalBool(_ key: String) throws(ModelFormatError) -> Bool? {
    guard let value = optional(key) else { return nil }
    guard let bool = value.boolValue else { throw wrongKind(key, value, "true or false") }
    return bool
  }
}
