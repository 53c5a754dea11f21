import FileKinds
import StrictJSON
import SystemSupport

// What a directory is that is no model, with what makes one of it.

extension ModelDirectory {
  /// Of a directory without `config.json`.
  func withoutConfiguration() -> ModelFormatError {
    if let ending = UnfinishedDownload.endings.first(where: { has("config.json" + $0) }) {
      return .unfinishedDownload(path: path(of: "config.json"), sign: "config.json" + ending)
    }
    if let found = adapter() ?? hubModel() { return found }
    if let sign = unfinishedWeights() { return .unfinishedDownload(path: path(of: "config.json"), sign: sign) }
    if has("model_index.json") {
      return .notAModel(path: path, found: "a pipeline of diffusers, which makes pictures")
    }
    if has("params.json"), names.contains(where: { $0.hasPrefix("consolidated.") }) {
      return .notAModel(
        path: path, found: "a model in the layout of its makers ('params.json', 'consolidated.*')",
        advice: "take the same model in Hugging Face's layout, with config.json and model.safetensors")
    }
    let weights = names.filter { $0.hasSuffix(".safetensors") }
    if !weights.isEmpty {
      return .notAModel(
        path: path, found: "a directory with '\(weights[0].excerpt)' and without config.json",
        advice: "copy config.json, and tokenizer.json, from where the weights come from")
    }
    if let found = ggufFiles() { return found }
    if let found = modelsBelow() ?? hubCache() { return found }
    let tokenizer = tokenizerFiles
    if !tokenizer.isEmpty {
      return .notAModel(
        path: path, found: "a tokenizer without a model (\(tokenizer.excerpt))",
        advice: "a model's directory has config.json and model.safetensors too")
    }
    return .notAModel(path: path, found: names.isEmpty ? "an empty directory" : "a directory without config.json")
  }

  /// Of a directory with `config.json`, and without safetensors files that are the model's.
  func withoutWeights() -> ModelFormatError {
    if let sign = unfinishedWeights() {
      return .unfinishedDownload(path: path(of: "model.safetensors"), sign: sign)
    }
    if let found = adapter() { return found }
    if let name = names.first(where: { $0.hasPrefix("pytorch_model") && $0.contains(".bin") }) ?? pickles.first {
      return withoutSafetensors(beside: name)
    }
    let others = names.filter { $0.hasSuffix(".safetensors") }
    if others.count == 1 {
      return .wrongParts(
        path: path, problem: "the weights are looked for in 'model.safetensors', and there is '\(others[0].excerpt)'",
        advice: "where that is the whole model, rename it")
    }
    if !others.isEmpty {
      return .wrongParts(
        path: path,
        problem: "there is neither 'model.safetensors' nor 'model.safetensors.index.json', but "
          + "\(others.map { "'\($0)'" }.excerpt)", advice: "download the missing one, which says what the model is")
    }
    if let found = ggufFiles() { return found }
    if let other = names.first(where: { ["onnx", "tflite", "h5", "msgpack", "npz", "ot"].contains(ending(of: $0)) }) {
      return .notAModel(
        path: path, found: "a model in another format only ('\(other.excerpt)')",
        advice: "take the same model with model.safetensors, or a GGUF file")
    }
    return .notAModel(
      path: path,
      found: "a directory with config.json and without weights",
      advice: "download 'model.safetensors', or 'model.safetensors.index.json' and its shards, too")
  }

  // MARK: Adapters

  /// Nil where nothing of an adapter is here.
  private func adapter() -> ModelFormatError? {
    let weights = names.filter { $0.hasPrefix("adapter_model.") }
    guard has(Self.adapterConfiguration) || !weights.isEmpty else { return nil }
    let config: JSONObject?
    do throws(ModelFormatError) { config = try json(Self.adapterConfiguration) } catch { return error }
    let type = config?["peft_type"]?.stringValue
    let kind = type.map { $0 == "LORA" ? "a LoRA adapter" : "an adapter of type \($0.excerpt)" } ?? "an adapter"
    let base = config?["base_model_name_or_path"]?.stringValue.map { " of the model '\($0.excerpt)'" } ?? ""
    // These put their own tokens before a prompt, so there are no weights that they change.
    let isPrompt =
      type.map { $0.contains("PROMPT") || $0.contains("PREFIX") || $0 == "P_TUNING" || $0 == "CPT" } == true
    return .notAModel(
      path: path, found: "\(kind)\(base) (PEFT), not a model",
      advice: isPrompt
        ? "it changes no weights and cannot become a part of its model; add that model alone"
        : "merge it into its model and add the result, NEW: python3 -c 'import sys; from peft import "
          + "AutoPeftModelForCausalLM as M; from transformers import AutoTokenizer as T; m = "
          + "M.from_pretrained(sys.argv[1]).merge_and_unload(); m.save_pretrained(sys.argv[2]); "
          + "T.from_pretrained(m.config._name_or_path).save_pretrained(sys.argv[2])' \(shellWord(path)) NEW")
  }

  static let adapterConfiguration = "adapter_config.json"

  // MARK: Other formats

  private var pickles: [String] { names.filter { ["bin", "pt", "pth", "ckpt"].contains(ending(of: $0)) } }

  /// With weights of `torch.save`, which is a program and nothing that is run here.
  private func withoutSafetensors(beside name: String) -> ModelFormatError {
    if let file = try? MappedFile(path: path(of: name)),
      let kind = FileKind(beginning: file.copy(first: FileKind.examinedBytes))
    {
      switch kind {
      case .weights, .archive(.zip): break
      case .gitLFSPointer, .webPage, .serverMessage, .archive, .table, .text, .document, .program, .empty, .zeros:
        return .anotherKind(path: path(of: name), kind, expected: "weights")
      }
    }
    return .notAModel(
      path: path, found: "a model in PyTorch's format only ('\(name.excerpt)'), which is not read",
      advice: "make safetensors of it, in NEW, and add that: python3 -c 'import sys; from transformers import "
        + "AutoModelForCausalLM as M, AutoTokenizer as T; M.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2]); "
        + "T.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])' \(shellWord(path)) NEW")
  }

  private func ggufFiles() -> ModelFormatError? {
    let files = names.filter { ending(of: $0) == "gguf" }
    guard let first = files.first else { return nil }
    return .notAModel(
      path: path, found: "a directory of GGUF files (\(files.excerpt))",
      advice: "add one of them: t2ctl model add \(shellWord(path(of: first)))")
  }

  private var tokenizerFiles: [String] {
    ["tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "tokenizer_config.json"]
      .filter(has)
  }

  /// What a model without `tokenizer.json` does, and what makes one of what is there.
  var withoutTokenizer: String {
    let others = tokenizerFiles.filter { $0 != "tokenizer_config.json" }
    let effect = "there is no 'tokenizer.json', so the model takes token ids only"
    guard !others.isEmpty else { return effect }
    return
      "\(effect): \(others.excerpt) \(others.count == 1 ? "is" : "are") not read; make it of \(others.count == 1 ? "that" : "them"): "
      + "python3 -c 'import sys; from transformers import AutoTokenizer as T; "
      + "T.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])' \(shellWord(path))"
  }

  private func ending(of name: String) -> String {
    name.split(separator: ".", omittingEmptySubsequences: false).dropFirst().last.map { $0.lowercased() } ?? ""
  }

  // MARK: Downloads

  /// The sign of a download of weights that is not at its end: beside the missing file, in huggingface_hub's directory of
  /// a download, or among the blobs of its cache.
  func unfinishedWeights() -> String? {
    for ending in UnfinishedDownload.endings {
      for name in names where name.hasSuffix(".safetensors" + ending) { return name }
    }
    // As `hf download --local-dir` has it, and a snapshot of the cache.
    for place in [".cache/huggingface/download", "../../blobs"] {
      let names = (try? Self.names(in: path(of: place))) ?? []
      if let name = names.first(where: { $0.hasSuffix(".incomplete") }) { return place + "/" + name.excerpt }
    }
    return nil
  }

  // MARK: Directories of models

  /// A directory of a model in the hub's cache that is no snapshot: `models--ORGANISATION--NAME`, or what is in it.
  private func hubModel() -> ModelFormatError? {
    let (parent, name) = FileSystem.split(path)
    let isPart = ["snapshots", "blobs", "refs"].contains(name) && Self.isHubModel(parent)
    guard isPart || Self.isHubModel(path) else { return nil }
    let root = isPart ? parent : path
    let found = (isPart ? "a part of " : "") + "a model's directory in the hub's cache"
    let snapshots = ((try? Self.names(in: root + "/snapshots")) ?? []).filter {
      fileKind("\(root)/snapshots/\($0)") == .directory
    }
    let current = (try? FileSystem.readAll(root + "/refs/main", maximumBytes: 256))
      .map { String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isWhitespace).joined() }
    guard let newest = snapshots.first(where: { $0 == current }) ?? snapshots.first else {
      return .notAModel(
        path: path, found: found + ", without any snapshot", advice: "download it again; its download is not at its end"
      )
    }
    let others = snapshots.filter { $0 != newest }
    return .notAModel(
      path: path, found: found,
      advice: "add its snapshot\(newest == current ? ", which is the current one by refs/main" : ""): t2ctl model add "
        + shellWord("\(root)/snapshots/\(newest)") + (others.isEmpty ? "" : "; there are also \(others.excerpt)"))
  }

  private static func isHubModel(_ path: String) -> Bool {
    fileKind(path + "/snapshots") == .directory
      && ["refs", "blobs"].contains { fileKind("\(path)/\($0)") == .directory }
  }

  /// What holds such directories.
  private func hubCache() -> ModelFormatError? {
    let models = names.filter { $0.hasPrefix("models--") && fileKind(path(of: $0)) == .directory }
    guard let first = models.first else { return nil }
    return .notAModel(
      path: path, found: "the hub's cache, with \(models.excerpt)",
      advice: "add a snapshot of one of them, such as those in \(shellWord(path(of: first + "/snapshots")))")
  }

  /// The models one level further down, as in the directory of a training, or above what was cloned.
  private func modelsBelow() -> ModelFormatError? {
    let models = names.prefix(1000).filter { fileKind(path(of: $0 + "/config.json")) == .regular }
    guard let first = models.first else { return nil }
    return .notAModel(
      path: path, found: "a directory without config.json, in which there are models (\(models.excerpt))",
      advice: "add one of them: t2ctl model add \(shellWord(path(of: first)))")
  }
}
