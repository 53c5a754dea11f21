import Glibc
package import Multipliers
import StrictJSON
import SystemSupport

/// What a model is, and how its tensors are stored: of one that is there, or of a `config.json` without weights.
package struct ModelDescription: Sendable {
  package private(set) var configuration: ModelConfiguration
  /// Whether the weights are there, so that their types are those of the file.
  package let hasWeights: Bool
  private let types: @Sendable (String) -> ElementType

  package func type(of tensor: String) -> ElementType { types(tensor) }

  /// The same, see ``ModelConfiguration/factoring(_:)``.
  package func factoring(_ modules: [String]) throws(UnknownModule) -> ModelDescription {
    var copy = self
    copy.configuration = try configuration.factoring(modules)
    return copy
  }

  private init(_ file: OpenModel) {
    configuration = file.configuration
    hasWeights = true
    types = { file.elementType(of: $0) ?? .f32 }
  }

  private init(_ configuration: ModelConfiguration, storedAs type: ElementType) {
    var configuration = configuration
    configuration.quantization = type.rawValue
    self.configuration = configuration
    hasWeights = false
    types = { _ in type }
  }

  /// Reads headers only. At `path` is a model, a `config.json`, or a directory with one and without weights.
  package init(at path: String) throws(ModelFormatError) {
    let (directory, name) = FileSystem.split(path)
    if name.hasSuffix(".json") {
      self = try Self.configuration(name, in: try ModelDirectory(directory))
    } else if fileKind(path) == .directory, let found = try Self.withoutWeights(ModelDirectory(path)) {
      self = found
    } else {
      self.init(try openModel(at: path))
    }
  }

  /// Nil where there are weights, or no configuration.
  private static func withoutWeights(_ directory: ModelDirectory) throws(ModelFormatError) -> ModelDescription? {
    guard directory.has(HuggingFaceConfig.name), !directory.names.contains(where: { $0.hasSuffix(".safetensors") })
    else { return nil }
    return try configuration(HuggingFaceConfig.name, in: directory)
  }

  private static func configuration(
    _ name: String, in directory: ModelDirectory
  ) throws(ModelFormatError) -> ModelDescription {
    let path = directory.path(of: name)
    guard let object = try directory.json(name) else {
      throw .system(SystemCallError("open the configuration", path, number: ENOENT))
    }
    let config = HuggingFaceConfig(path: path, object: object)
    let configuration = try config.configuration(
      of: config.family(), modelID: ModelConfiguration.modelID(fromPath: directory.path))
    try configuration.check(path: path)
    return ModelDescription(configuration, storedAs: try config.storedType())
  }
}

extension HuggingFaceConfig {
  /// What the weights beside it are stored as, in the spelling of transformers 5 or the older one; F32 where it does not
  /// say, as transformers takes it.
  fileprivate func storedType() throws(ModelFormatError) -> ElementType {
    for key in ["dtype", "torch_dtype"] {
      guard let found = optional(key) else { continue }
      switch found.stringValue {
      case "float32": return .f32
      case "bfloat16": return .bf16
      case "float16": return .f16
      default: throw unsupported(key, "\"float32\", \"bfloat16\", \"float16\"")
      }
    }
    return .f32
  }
}

/// A way to store all matrices of a model, by a type or by a mixture of types that llama.cpp makes.
package enum StoredForm: String, Sendable, CaseIterable {
  case f32 = "F32"
  case bf16 = "BF16"
  case q8_0 = "Q8_0"
  case q4_K_M = "Q4_K_M"

  /// The types of a model's tensors, as llama.cpp's quantizer chooses them: where rows are not whole blocks of a type, one
  /// with shorter blocks.
  package func types(of model: ModelConfiguration) -> (String) -> ElementType {
    let columns = Dictionary(model.requiredTensors.map { ($0.name, $0.shape.last ?? 0) }) { first, _ in first }
    return { name in
      let wanted = type(of: name, in: model)
      let choices: [ElementType] =
        switch wanted {
        case .q4_K: [.q4_K, .q5_0, .f16]
        case .q6_K: [.q6_K, .q8_0, .f16]
        case .q8_0: [.q8_0, .f16]
        default: [wanted]
        }
      return choices.first { (columns[name] ?? 0) % $0.blockLength == 0 } ?? wanted
    }
  }

  private func type(of tensor: String, in model: ModelConfiguration) -> ElementType {
    switch self {
    case .f32: .f32
    case .bf16: .bf16
    case .q8_0: .q8_0
    case .q4_K_M: Self.mixed(tensor, model)
    }
  }

  /// More bits for the head, and in the first and last eighth of the layers and every third between for the values and
  /// what leads back into the stream.
  private static func mixed(_ tensor: String, _ model: ModelConfiguration) -> ElementType {
    let isHead =
      tensor == ModelConfiguration.headName || model.tiedEmbeddings && tensor == ModelConfiguration.embeddingName
    let parts = tensor.split(separator: ".")
    let layer = parts.count > 2 ? Int(parts[2]) ?? 0 : 0
    let eighth = model.layers / 8
    let isFavoured = layer < eighth || layer >= 7 * model.layers / 8 || (layer - eighth) % 3 == 2
    let isCostly = tensor.contains(".v_proj.") || tensor.contains(".down_proj.")
    return isHead || isCostly && isFavoured ? .q6_K : .q4_K
  }
}
