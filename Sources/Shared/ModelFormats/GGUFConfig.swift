/// What the metadata of a GGUF file say of its model, under the architecture's name.
///
/// As `HuggingFaceConfig` it remembers what a family asked for, and refuses of the keys that change what some model
/// computes those that this family does not have. Used by one thread.
final class GGUFConfig {
  let metadata: GGUFMetadata
  let family: ModelFamily
  /// Under the checkpoint's names.
  private let tensors: [String: GGUFHeader.Tensor]
  /// The values of `rope_freqs.weight`.
  private let divisors: [Float]?
  private var asked: Set<String> = []
  private var isAskedForDivisors = false

  static let divisorsName = "rope_freqs.weight"

  init(
    _ metadata: GGUFMetadata, family: ModelFamily, tensors: [String: GGUFHeader.Tensor], divisors: [Float]?
  ) {
    self.metadata = metadata
    self.family = family
    self.tensors = tensors
    self.divisors = divisors
  }

  /// Unchecked as to its bounds.
  func configuration(modelID: String) throws(ModelFormatError) -> ModelConfiguration {
    let hidden = try integer("embedding_length")
    let heads = try integer("attention.head_count")
    guard heads > 0, hidden > 0 else {
      throw .malformed(
        path: metadata.path, place: "metadata", problem: "\(heads) attention heads of \(hidden) channels")
    }
    guard let embedding = tensors[ModelConfiguration.embeddingName], embedding.dimensions.count == 2 else {
      throw .missing(path: metadata.path, what: "matrix 'token_embd.weight'")
    }
    guard let epsilon = try optionalNumber("attention.layer_norm_rms_epsilon") else {
      throw .missing(path: metadata.path, what: "metadata '\(key("attention.layer_norm_rms_epsilon"))'")
    }
    var model = ModelConfiguration(
      modelID: modelID, layers: try integer("block_count"), hidden: hidden,
      intermediate: try integer("feed_forward_length"), heads: heads,
      kvHeads: try optionalInteger("attention.head_count_kv") ?? heads,
      headDim: try optionalInteger("attention.key_length") ?? hidden / heads, vocabulary: embedding.dimensions[1],
      // Each family sets its rotations.
      contextLength: try integer("context_length"), ropeTheta: 1, rmsEpsilon: Float(epsilon),
      tiedEmbeddings: tensors[ModelConfiguration.headName] == nil,
      bosID: try metadata.optionalInteger("tokenizer.ggml.bos_token_id"), eosIDs: try metadata.endIDs())
    model.architecture = family.architecture
    try refuseOtherLengths(than: model.headDim)
    family.describe(&model)
    try family.configureGGUF(&model, self)
    try refuseWhatWasNotAskedFor()
    return model
  }

  func hasTensor(_ name: String) -> Bool { tensors[name] != nil }

  // MARK: Rotation

  /// The rotation of the layers that see everything. `scalings` are those that the family has beside none.
  func rotation(scalings: [RotaryScaling] = []) throws(ModelFormatError) -> Rotation {
    var rotation = Rotation(theta: try optionalNumber("rope.freq_base") ?? 10000)
    // llama.cpp takes a factor without a type for a linear scaling.
    var factor = try optionalNumber("rope.scaling.factor")
    if factor == nil { factor = try optionalNumber("rope.scale_linear") }
    let type = try optionalString("rope.scaling.type") ?? (factor == nil ? "none" : "linear")
    if type == "linear", let factor, factor != 1 {
      guard scalings.contains(.linear) else { throw unsupportedScaling(type, scalings) }
      rotation.scaling = .linear(factor: factor)
    } else if type != "none", type != "linear" {
      throw unsupportedScaling(type, scalings)
    }
    if scalings.contains(.llama3), let divisors {
      isAskedForDivisors = true
      rotation.scaling = .divided(divisors)
    }
    return rotation
  }

  private func unsupportedScaling(_ type: String, _ scalings: [RotaryScaling]) -> ModelFormatError {
    .unsupported(
      path: metadata.path, what: "the rotary scaling ('\(key("rope.scaling.type"))')", found: "\"\(type.excerpt)\"",
      supported: scalings.contains(.linear) ? "\"linear\" or \"none\"" : "\"none\"")
  }

  /// Heads are turned as a whole, and those of values are as long.
  private func refuseOtherLengths(than headDim: Int) throws(ModelFormatError) {
    let lengths = [
      "attention.value_length", "rope.dimension_count", "attention.key_length_swa", "attention.value_length_swa",
      "rope.dimension_count_swa",
    ]
    for name in lengths {
      if let found = try optionalInteger(name), found != headDim {
        throw unsupported(name, "\(found)", "the head size, which is \(headDim)")
      }
    }
  }

  // MARK: Windows

  /// Which layers slide: every how many one does not, or a list of all; `period` where the file does not say.
  func slidingLayers(of layers: Int, ifMissing period: Int) throws(ModelFormatError) -> [Bool] {
    let name = "attention.sliding_window_pattern"
    var period = period
    switch value(name) {
    case nil: break
    case .bools(let slides)? where slides.count == layers: return slides
    case .integer(let number)? where (0...4096).contains(number): period = Int(number)
    case let other?:
      throw unsupported(name, other.shown, "a number of layers, or a list of \(layers) booleans, one for each layer")
    }
    return (0..<max(0, min(layers, 4096))).map { period == 0 || ($0 + 1) % period != 0 }
  }

  // MARK: Refusals

  private enum Neutral: String {
    /// Also false.
    case zero = "0"
    case one = "1"
    case yes = "true"

    func has(_ value: GGUFValue) -> Bool {
      switch self {
      case .zero: value.number == 0 || value == .bool(false)
      case .one: value.number == 1
      case .yes: value == .bool(true)
      }
    }
  }

  /// Keys by which llama.cpp computes something else in some architecture, with the values that change nothing. A family
  /// that has one asks for it.
  private static let changing: [(names: [String], neutral: Neutral)] = [
    (["expert_count", "expert_shared_count", "attention.shared_kv_layers"], .zero),
    (["attention.sliding_window", "attention.sliding_window_pattern", "attention.chunk_size"], .zero),
    (["attention.clamp_kqv", "attention.max_alibi_bias", "attention.scale", "attention.temperature_scale"], .zero),
    (["attn_logit_softcapping", "final_logit_softcapping", "use_parallel_residual"], .zero),
    (["embedding_scale", "residual_scale", "logit_scale", "rope.scaling.attn_factor"], .one),
    (["attention.causal"], .yes), (["rope.dimension_sections"], .zero),
  ]

  private func refuseWhatWasNotAskedFor() throws(ModelFormatError) {
    let known = asked
    for (names, neutral) in Self.changing {
      for name in names where !known.contains(name) {
        guard let found = value(name), !neutral.has(found) else { continue }
        throw unsupported(name, found.shown, "\(neutral.rawValue) in \(family.name) models")
      }
    }
    guard divisors == nil || isAskedForDivisors else {
      throw .unsupported(
        path: metadata.path, what: "a tensor", found: "'\(Self.divisorsName)'",
        supported: "no such scaling of the rotation in \(family.name) models")
    }
  }

  // MARK: Values

  private func key(_ name: String) -> String { "\(family.ggufArchitecture ?? "").\(name)" }

  private func value(_ name: String) -> GGUFValue? {
    asked.insert(name)
    return metadata.values[key(name)]
  }

  private func unsupported(_ name: String, _ found: String, _ supported: String) -> ModelFormatError {
    .unsupported(path: metadata.path, what: "'\(key(name))'", found: found, supported: supported)
  }

  /// One number, or one for each layer where they are alike.
  func optionalInteger(_ name: String) throws(ModelFormatError) -> Int? {
    guard case .integers(let numbers)? = value(name), let first = numbers.first else {
      return try metadata.optionalInteger(key(name))
    }
    guard numbers.allSatisfy({ $0 == first }) else {
      throw unsupported(name, "a list of \(numbers.count) numbers that differ", "the same number for all layers")
    }
    guard first >= 0 else { throw unsupported(name, "\(first) for all layers", "a count") }
    return Int(first)
  }

  func integer(_ name: String) throws(ModelFormatError) -> Int {
    guard let number = try optionalInteger(name) else {
      throw .missing(path: metadata.path, what: "metadata '\(key(name))'")
    }
    return number
  }

  func optionalNumber(_ name: String) throws(ModelFormatError) -> Double? {
    asked.insert(name)
    return try metadata.optionalNumber(key(name))
  }

  private func optionalString(_ name: String) throws(ModelFormatError) -> String? {
    asked.insert(name)
    return try metadata.optionalString(key(name))
  }
}

extension GGUFMetadata {
  func family() throws(ModelFormatError) -> ModelFamily {
    let architecture = try string("general.architecture")
    guard let family = ModelFamily.named(inGGUF: architecture) else {
      throw .unsupported(
        path: path, what: "the architecture", found: "\"\(architecture.excerpt)\"",
        supported: ModelFamily.all.compactMap(\.ggufArchitecture).map { "\"\($0)\"" }.joined(separator: ", "))
    }
    return family
  }

  /// Where generation ends by the metadata. Many files name the end of a text only, which no answer in a conversation
  /// reaches: the tokenizer adds the tokens whose text says so.
  fileprivate func endIDs() throws(ModelFormatError) -> [Int] {
    var ids: [Int] = []
    for name in ["eos", "eot", "eom"] {
      if let id = try optionalInteger("tokenizer.ggml.\(name)_token_id"), !ids.contains(id) { ids.append(id) }
    }
    return ids
  }
}
