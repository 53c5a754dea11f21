import StrictJSON

/// Opens a directory as Hugging Face's `save_pretrained` writes it: `config.json`, `model.safetensors` or its shards, and
/// where they are there `generation_config.json`, `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`.
func openHuggingFaceDirectory(_ path: String) throws(ModelFormatError) -> OpenModel {
  let directory = try ModelDirectory(path)
  guard let object = try directory.json(HuggingFaceConfig.name) else { throw directory.withoutConfiguration() }
  let configPath = directory.path(of: HuggingFaceConfig.name)
  let config = HuggingFaceConfig(path: configPath, object: object)
  let family = try config.family()
  var configuration = try config.configuration(
    of: family, modelID: ModelConfiguration.modelID(fromPath: directory.path))
  if let ids = try endIDs(in: directory) { configuration.eosIDs = ids }
  try configuration.check(path: configPath)
  let tensors = try HuggingFaceTensors(
    directory: directory, configuration: configuration, normOffset: family.normOffset)
  configuration = configuration.withQuantization { tensors.storedType(of: $0) }
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

/// Where generation ends, which `generation_config.json` says for more models than `config.json` does; nil where it does
/// not.
private func endIDs(in directory: ModelDirectory) throws(ModelFormatError) -> [Int]? {
  let name = "generation_config.json"
  guard let object = try directory.json(name) else { return nil }
  return try HuggingFaceConfig(path: directory.path(of: name), object: object).tokenIDs("eos_token_id")
}

/// Where there is none, also what there is instead.
private func tokenizer(
  in directory: ModelDirectory
) throws(ModelFormatError) -> (TokenizerDescription?, problem: String?) {
  let description = try TokenizerDescription.huggingFace(at: directory.path) { (name) throws(ModelFormatError) in
    name.hasSuffix(".json") ? try directory.jsonBytes(of: name) : try directory.bytes(of: name, expected: "a template")
  }
  return (description, description == nil ? directory.withoutTokenizer : nil)
}

extension TokenizerDescription {
  /// Of the files that a model has beside its weights, wherever they are; nil where there is no `tokenizer.json`.
  /// - Parameters:
  ///   - path: of the directory or engine, for messages.
  ///   - file: the bytes of one by its name, without a byte order mark; nil where there is none.
  package static func huggingFace(
    at path: String, file: (_ name: String) throws(ModelFormatError) -> [UInt8]?
  ) throws(ModelFormatError) -> TokenizerDescription? {
    guard let tokenizer = try file("tokenizer.json") else { return nil }
    let configName = "tokenizer_config.json"
    let config = try file(configName)
    // The file of its own wins over the entry in tokenizer_config.json, as in transformers.
    let templateName = "chat_template.jinja"
    var template: String?
    if let bytes = try file(templateName) {
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw .malformed(path: path + "/" + templateName, place: "the template", problem: "it is not UTF-8")
      }
      template = text
    } else if let config {
      template = templateText(try modelJSON(config, path: path + "/" + configName)?["chat_template"])
    }
    return TokenizerDescription(
      kind: .huggingFace(tokenizerJSON: tokenizer, configJSON: config), chatTemplate: template)
  }
}

/// A text, or a list of named texts of which "default" is the one for plain chats.
private func templateText(_ value: JSONValue?) -> String? {
  if let text = value?.stringValue { return text }
  return value?.arrayValue?.first { $0["name"]?.stringValue == "default" }?["template"]?.stringValue
}
