import Glibc
import StrictJSON

/// Opens a directory as Hugging Face's `save_pretrained` writes it: `config.json`, `model.safetensors` or the shards of
/// `model.safetensors.index.json`, and where they are there `tokenizer.json`, `tokenizer_config.json`,
/// `chat_template.jinja`.
func openHuggingFaceDirectory(_ path: String) throws(ModelFormatError) -> OpenModel {
  let directory = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
  let configPath = directory + "/config.json"
  guard let configBytes = try fileBytes(configPath) else {
    throw .notAModel(path: path, found: "a directory without config.json")
  }
  let config = HuggingFaceConfig(path: configPath, object: try jsonObject(configBytes, path: configPath))
  let tensors = try HuggingFaceTensors(directory: directory)
  let unchecked = try config.configuration(modelID: ModelConfiguration.modelID(fromPath: directory))
  try unchecked.check(path: configPath)
  let configuration = unchecked.withQuantization { tensors.storedType(of: $0) }
  try tensors.check(configuration, directory: directory)
  return try OpenModel(
    path: path, configuration: configuration, tokenizerDescription: try tokenizer(in: directory), store: tensors)
}

private func tokenizer(in directory: String) throws(ModelFormatError) -> TokenizerDescription? {
  guard let tokenizer = try fileBytes(directory + "/tokenizer.json") else { return nil }
  let configPath = directory + "/tokenizer_config.json"
  let config = try fileBytes(configPath)
  // The file of its own wins over the entry in tokenizer_config.json, as in transformers.
  let templatePath = directory + "/chat_template.jinja"
  var template: String?
  if let bytes = try fileBytes(templatePath) {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .malformed(path: templatePath, place: "the template", problem: "it is not UTF-8")
    }
    template = text
  } else if let config {
    template = chatTemplate(try jsonObject(config, path: configPath)["chat_template"])
  }
  return TokenizerDescription(
    kind: .huggingFace(tokenizerJSON: tokenizer, configJSON: config), chatTemplate: template)
}

/// A text, or a list of named texts of which "default" is the one for plain chats.
private func chatTemplate(_ value: JSONValue?) -> String? {
  if let text = value?.stringValue { return text }
  return value?.arrayValue?.first { $0["name"]?.stringValue == "default" }?["template"]?.stringValue
}

/// The values of `config.json` that matter. Other people's file: what is not known is left alone, what would change the
/// computation is refused.
struct HuggingFaceConfig {
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
    if let found = optional("quantization_config") {
      throw .unsupported(
        path: path, what: "\"quantization_config\"", found: found.excerpt, supported: "weights of F32, F16 or BF16")
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

/// The tensors of one or several mapped safetensors files.
final class HuggingFaceTensors: TensorStore {
  private let files: [SafetensorsFile]
  /// Which file holds which tensor.
  private let places: [String: Int]
  let names: [String]

  init(directory: String) throws(ModelFormatError) {
    let indexPath = directory + "/model.safetensors.index.json"
    var files: [SafetensorsFile] = []
    var places: [String: Int] = [:]
    if let bytes = try fileBytes(indexPath) {
      guard let map = try jsonObject(bytes, path: indexPath)["weight_map"]?.objectValue else {
        throw .missing(path: indexPath, what: "object \"weight_map\"")
      }
      var positions: [String: Int] = [:]
      for (tensor, value) in map.members {
        guard let name = value.stringValue, (1...255).contains(name.utf8.count), !name.utf8.contains(UInt8(ascii: "/")),
          name != "..", name != "."
        else {
          throw .malformed(
            path: indexPath, place: "the entry of '\(tensor.excerpt)'",
            problem: "must be a file name, found \(value.excerpt)")
        }
        if positions[name] == nil {
          positions[name] = files.count
          files.append(try SafetensorsFile.map(path: directory + "/" + name))
        }
        guard let position = positions[name], files[position].tensor(tensor) != nil else {
          throw .missing(path: directory + "/" + name, what: "tensor '\(tensor.excerpt)', which the index places there")
        }
        places[tensor] = position
      }
    } else {
      files = [try SafetensorsFile.map(path: directory + "/model.safetensors")]
      for tensor in files[0].tensors { places[tensor.name] = 0 }
    }
    self.files = files
    self.places = places
    names = places.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Refuses tensors that the engine would have to compute with and does not know, and types that are not read.
  func check(_ configuration: ModelConfiguration, directory: String) throws(ModelFormatError) {
    var required: Set<String> = []
    for (name, _) in configuration.requiredTensors { required.insert(name) }
    for name in names {
      guard let tensor = tensor(name) else { continue }
      if required.contains(name) {
        guard tensor.type.elementType != nil else {
          throw .unsupportedTensorType(
            path: directory, tensor: name, type: tensor.type.rawValue, supported: SafetensorsType.readNames)
        }
      } else if !name.hasSuffix(".rotary_emb.inv_freq") && name != "lm_head.weight" {
        throw .unsupported(
          path: directory, what: "a tensor", found: "'\(name)'",
          supported: "those of \(configuration.architecture) with \(configuration.layers) layers")
      }
    }
  }

  private func tensor(_ name: String) -> SafetensorsFile.Tensor? { places[name].flatMap { files[$0].tensor(name) } }

  func shape(of name: String) -> [Int]? { tensor(name)?.shape }

  func storedType(of name: String) -> String? { tensor(name)?.type.rawValue }

  func read(_ name: String, rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
    guard let place = places[name], let tensor = files[place].tensor(name) else { preconditionFailure("no '\(name)'") }
    let rowLength = tensor.shape.dropFirst().reduce(1, *)
    unsafe files[place].widen(tensor, values: rows.lowerBound * rowLength..<rows.upperBound * rowLength, into: target)
  }
}

private let modelJSONLimits = JSONLimits(maximumDepth: 64, oddNumbers: .integersRounded)

private func jsonObject(_ bytes: [UInt8], path: String) throws(ModelFormatError) -> JSONObject {
  do throws(JSONError) {
    let value = try parseJSON(bytes, limits: modelJSONLimits)
    if let object = value.objectValue { return object }
    throw JSONError(
      kind: .syntax, offset: 0, line: 1, column: 1, problem: "expected an object, found \(value.kindName)")
  } catch {
    throw .badJSON(path: path, error)
  }
}

/// The bytes of a file of at most 64 MiB; nil where there is none.
private func fileBytes(_ path: String) throws(ModelFormatError) -> [UInt8]? {
  guard unsafe access(path, F_OK) == 0 else { return nil }
  let file = try MappedFile(path: path)
  guard file.count <= modelJSONLimits.maximumBytes else {
    throw .malformed(
      path: path, place: "the file", problem: "\(file.count) bytes; at most \(modelJSONLimits.maximumBytes)")
  }
  return unsafe Array(file.bytes)
}
