import FileKinds
import StrictJSON
import SystemSupport

// What a file is that is no GGUF file of a language model, with what makes one of it.

extension GGUFMetadata {
  /// Adapters, encoders, vocabularies and parts of models are GGUF files too.
  func refuseWhatIsNoModel(tensorCount: Int) throws(ModelFormatError) {
    let type = try optionalString("general.type") ?? "model"
    let architecture = try optionalString("general.architecture") ?? ""
    if type == "adapter" || values["adapter.type"] != nil { throw try adapter() }
    if type == "mmproj" || architecture == "clip" {
      throw .notAModel(
        path: path, found: "the part of a model that reads pictures or sound (mmproj), not a language model",
        advice: "add the GGUF file of its language model")
    }
    if type == "imatrix" || architecture == "imatrix" {
      throw .notAModel(
        path: path, found: "an importance matrix, by which models are quantised, not a model",
        advice: "add the GGUF file of the model")
    }
    if architecture == "controlvector" {
      throw .notAModel(
        path: path, found: "a control vector, not a model", advice: "add the GGUF file of the model that it is for")
    }
    guard type == "model" else {
      throw .notAModel(path: path, found: "a GGUF file whose 'general.type' is '\(type.excerpt)', not 'model'")
    }
    // The first of several parts may have none.
    let isPart = try splitCount() != nil
    guard tensorCount > 0 || isPart else {
      throw .notAModel(
        path: path, found: "a vocabulary without a model: it holds no tensor",
        advice: "add the GGUF file of the model that it belongs to")
    }
  }

  private func adapter() throws(ModelFormatError) -> ModelFormatError {
    let kind = try optionalString("adapter.type").map { $0 == "lora" ? "LoRA adapter" : "adapter (\($0.excerpt))" }
    var base = try optionalString("general.base_model.0.name")
    if base == nil { base = try optionalString("general.base_model.0.repo_url") }
    return .notAModel(
      path: path, found: "a \(kind ?? "adapter")\(base.map { " of the model '\($0.excerpt)'" } ?? ""), not a model",
      advice: "merge it into its model, BASE.gguf, and add the result: llama-export-lora -m BASE.gguf --lora "
        + "\(shellWord(path)) -o MERGED.gguf")
  }
}

/// Refuses a part of a file that was cut by bytes, which begins like the whole file or like nothing: by its name.
func refuseByteParts(_ path: String) throws(ModelFormatError) {
  let (directory, name) = FileSystem.split(path)
  let whole: Substring
  if let match = name.wholeMatch(of: /(.+\.gguf)[.-]part-?[0-9]+(?:-?of-?[0-9]+)?/) {
    whole = match.1
  } else if let match = name.wholeMatch(of: /(.+\.gguf)(?:-split-[a-z]|\.part-?[a-z]{1,2}|\.[0-9]{2,3})/) {
    whole = match.1
  } else {
    return
  }
  throw .wrongParts(
    path: path, problem: "it is by its name one of the parts into which a file was cut",
    advice: "join them in their order and add the whole: cat PART1 PART2 ... > \(shellWord("\(directory)/\(whole)"))")
}

/// What a file is that does not begin as a GGUF file does.
func notGGUF(_ path: String, beginning: [UInt8]) -> ModelFormatError {
  let (directory, name) = FileSystem.split(path)
  let weights: FileKind.Weights?
  switch FileKind(beginning: beginning) {
  case .weights(let found)?: weights = found
  case let kind?: return .anotherKind(path: path, kind, expected: "a GGUF file")
  case nil: weights = nil
  }
  let isOfDirectory =
    fileKind(directory + "/config.json") == .regular
  let partEndings = [".safetensors", ".json", ".bin", ".pt", ".pth", ".jinja", ".txt", ".model"]
  if isOfDirectory, partEndings.contains(where: { name.hasSuffix($0) }) {
    return .notAModel(
      path: path, found: "one file of a model", advice: "add its directory: t2ctl model add \(shellWord(directory))")
  }
  switch weights {
  case .safetensors?:
    return .notAModel(
      path: path, found: "a safetensors file without a config.json beside it",
      advice: "a model is the directory that has both; an expert is registered with t2ctl expert register")
  case .ggml?:
    return .notAModel(
      path: path, found: "a GGML file, which GGUF came after",
      advice: "convert it with llama.cpp's convert_llama_ggml_to_gguf.py, or take the model's GGUF file")
  case .gguf?, .torch?, .pickle?, .onnx?, .tensorFlowLite?:
    return .notAModel(
      path: path, found: weights.map { FileKind.weights($0).name } ?? "",
      advice: "take the same model as a GGUF file, or as a directory with model.safetensors")
  case nil:
    return .notAModel(path: path, found: "not a GGUF file (it does not begin with 'GGUF')")
  }
}
