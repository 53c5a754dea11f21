import FileKinds
import StrictJSON

/// The tensors of one or several mapped safetensors files, under the names that the model's have without what a trainer
/// put around them.
final class HuggingFaceTensors: TensorStore {
  private struct Place {
    let file: Int
    /// In its file.
    let name: String
  }

  private let files: [SafetensorsFile]
  private let places: [String: Place]
  /// Is added to the weights of norms.
  private let normOffset: Float
  let names: [String]
  /// What was resolved, and could be meant in another way.
  let warnings: [String]

  /// Finds the weights, and refuses tensors that the engine would have to compute with and does not know, and types that
  /// are not read. `configuration` is checked.
  init(
    directory: ModelDirectory, configuration: ModelConfiguration, normOffset: Float = 0
  ) throws(ModelFormatError) {
    let parts = try WeightFiles(directory)
    var files: [SafetensorsFile] = []
    var fileOfTensor: [UTF8Key: Int] = [:]
    for (number, name) in parts.names.enumerated() {
      let file = try Self.map(name, of: directory)
      for tensor in file.tensors {
        if let other = fileOfTensor.updateValue(number, forKey: UTF8Key(tensor.name)) {
          throw .wrongParts(
            path: directory.path,
            problem: "tensor '\(tensor.name)' is in '\(parts.names[other].excerpt)' and in '\(name.excerpt)'",
            advice: "get the shards anew from one place; these are not of one model")
        }
      }
      files.append(file)
    }
    try Self.check(parts, fileOfTensor, directory)
    var warnings = parts.warnings
    if let total = parts.totalBytes {
      let found = files.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.byteRange.count } }
      if total != found {
        warnings.append(
          "'\(WeightFiles.indexName)' says that the tensors have \(total) bytes, and its shards have \(found); are they of "
            + "one model?")
      }
    }

    let required = Set(configuration.requiredTensors.map(\.name))
    let stored = files.flatMap { $0.tensors.map(\.name) }
    let wrapper = WrapperPrefix(of: stored) { required.contains($0) || Self.isIgnored($0) }
    var places: [String: Place] = [:]
    for (number, file) in files.enumerated() {
      for tensor in file.tensors {
        let name = wrapper?.strip(tensor.name) ?? tensor.name
        guard let other = places.updateValue(Place(file: number, name: tensor.name), forKey: name) else { continue }
        throw .wrongParts(
          path: directory.path, problem: "'\(other.name)' and '\(tensor.name)' are both the model's '\(name)'",
          advice: "remove the one that is not")
      }
    }
    if let wrapper, !wrapper.isEmpty {
      warnings.append("the names of the tensors have \(wrapper), without which they were read")
    }
    self.files = files
    self.normOffset = normOffset
    self.places = places
    self.warnings = warnings
    names = places.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    try check(required, configuration, directory)
    if configuration.tiedEmbeddings { try checkHead(configuration, directory) }
  }

  private static func map(_ name: String, of directory: ModelDirectory) throws(ModelFormatError) -> SafetensorsFile {
    let path = directory.path(of: name)
    try directory.checkLink(name)
    try refuseUnfinishedDownload(path)
    do throws(ModelFormatError) {
      return try SafetensorsFile.map(path: path)
    } catch .badSafetensors(_, let error) {
      let beginning = try MappedFile(path: path).copy(first: FileKind.examinedBytes)
      guard let kind = FileKind(beginning: beginning), kind != .weights(.safetensors) else {
        throw .badSafetensors(path: path, error)
      }
      throw .anotherKind(path: path, kind, expected: "a safetensors file")
    } catch {
      throw error
    }
  }

  /// Each tensor of the index is in its shard.
  private static func check(
    _ parts: WeightFiles, _ fileOfTensor: [UTF8Key: Int], _ directory: ModelDirectory
  ) throws(ModelFormatError) {
    for (tensor, file) in parts.index {
      let found = fileOfTensor[UTF8Key(tensor)].map { parts.names[$0] }
      if let found, UTF8Key(found) == UTF8Key(file) { continue }
      throw .wrongParts(
        path: directory.path(of: file.excerpt),
        problem: "there is no tensor '\(tensor.excerpt)', which '\(WeightFiles.indexName)' places there"
          + (found.map { "; it is in '\($0.excerpt)'" } ?? ""),
        advice: "get the index and its shards anew from one place")
    }
  }

  private func check(
    _ required: Set<String>, _ configuration: ModelConfiguration, _ directory: ModelDirectory
  ) throws(ModelFormatError) {
    for name in names {
      guard let tensor = tensor(name) else { continue }
      if required.contains(name) {
        guard tensor.type.elementType != nil else {
          throw .unsupportedTensorType(
            path: directory.path, tensor: name, type: tensor.type.rawValue, supported: SafetensorsType.readNames)
        }
      } else if !Self.isIgnored(name) {
        throw unknown(name, configuration, directory)
      }
    }
  }

  /// A table that is computed here, and a head that is the embedding.
  private static func isIgnored(_ name: String) -> Bool {
    name.hasSuffix(".rotary_emb.inv_freq") || name == ModelConfiguration.headName
  }

  /// Refuses a head of its own where the configuration says that the embedding is the head: older transformers take the
  /// embedding, newer ones and GGUF's converter the head.
  private func checkHead(
    _ configuration: ModelConfiguration, _ directory: ModelDirectory
  ) throws(ModelFormatError) {
    let (embedding, head) = (ModelConfiguration.embeddingName, ModelConfiguration.headName)
    // An embedding of another shape is refused when the model is opened.
    let shape = [configuration.vocabulary, configuration.hidden]
    guard let second = tensor(head), tensor(embedding)?.shape == shape else { return }
    if second.shape == shape, second.type.elementType != nil, sameValues(embedding, head, shape) { return }
    throw .wrongParts(
      path: directory.path,
      problem:
        "'\(embedding)' and '\(head)' differ, and \"tie_word_embeddings\" of config.json says that one is the other",
      advice:
        "where the model has a head of its own, set \"tie_word_embeddings\" to false; else save it without '\(head)'")
  }

  /// Whether two matrices of this shape, which are read, have the same values.
  private func sameValues(_ one: String, _ other: String, _ shape: [Int]) -> Bool {
    var values = [[Float]](repeating: [Float](repeating: 0, count: shape[1]), count: 2)
    for row in 0..<shape[0] {
      for (index, name) in [one, other].enumerated() {
        unsafe values[index].withUnsafeMutableBufferPointer { unsafe read(name, rows: row..<row + 1, into: $0) }
      }
      guard values[0].elementsEqual(values[1], by: { $0.bitPattern == $1.bitPattern }) else { return false }
    }
    return true
  }

  private func unknown(
    _ name: String, _ configuration: ModelConfiguration, _ directory: ModelDirectory
  ) -> ModelFormatError {
    let component = name.split(separator: ".").last ?? ""
    if Self.quantizedParts.contains(String(component)) {
      return .unsupported(
        path: directory.path, what: "a tensor", found: "'\(name)', which is a part of quantised weights",
        supported: SafetensorsType.readWeights)
    }
    if name.contains(".lora_") {
      return .notAModel(
        path: directory.path, found: "a model with the matrices of a LoRA adapter ('\(name)')",
        advice: "merge them first: merge_and_unload() of peft")
    }
    if let module = name.split(separator: ".").dropLast().last, Self.fusedModules.contains(String(module)) {
      return .unsupported(
        path: directory.path, what: "a tensor", found: "'\(name)', which has several matrices in one",
        supported: "in \(configuration.architecture) each by itself, as transformers saves them "
          + "(q_proj, k_proj, v_proj, gate_proj, up_proj)")
    }
    let known = WrapperPrefix(knownIn: names).map { "; all names have \($0), and do not fit without it either" } ?? ""
    return .unsupported(
      path: directory.path, what: "a tensor", found: "'\(name)'\(known)",
      supported: "those of \(configuration.architecture) with \(configuration.layers) layers")
  }

  /// What GPTQ, AWQ, MLX, bitsandbytes, compressed-tensors and FP8 checkpoints have beside or in place of a weight.
  private static let quantizedParts: Set<String> = [
    "qweight", "qzeros", "g_idx", "scales", "biases", "absmax", "quant_map", "SCB", "weight_packed", "weight_scale",
    "weight_scale_inv", "weight_zero_point",
  ]

  /// Queries, keys and values in one, or gate and up. In which order their rows lie only the program knows that fused them.
  private static let fusedModules: Set<String> = [
    "qkv_proj", "gate_up_proj", "query_key_value", "Wqkv", "W_pack", "wqkv", "c_attn", "qkv",
  ]

  private func tensor(_ name: String) -> SafetensorsFile.Tensor? {
    places[name].flatMap { files[$0.file].tensor($0.name) }
  }

  func shape(of name: String) -> [Int]? { tensor(name)?.shape }

  func storedType(of name: String) -> String? { tensor(name)?.type.rawValue }

  func read(_ name: String, rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
    guard let place = places[name], let tensor = tensor(name) else { preconditionFailure("no '\(name)'") }
    let rowLength = tensor.shape.dropFirst().reduce(1, *)
    unsafe files[place.file].widen(
      tensor, values: rows.lowerBound * rowLength..<rows.upperBound * rowLength, into: target)
    if normOffset != 0, name.hasSuffix("norm.weight") {
      for index in target.indices { unsafe target[index] += normOffset }
    }
  }

  func readStored(_ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer) {
    guard let place = places[name], let tensor = tensor(name) else { preconditionFailure("no '\(name)'") }
    let rowSize = target.count / max(1, rows.count)
    unsafe files[place.file].copy(tensor, bytes: rows.lowerBound * rowSize..<rows.upperBound * rowSize, into: target)
  }
}
