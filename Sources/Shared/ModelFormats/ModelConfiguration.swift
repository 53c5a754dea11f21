package import Multipliers

/// The facts of a model that its engine needs, from `config.json` or from GGUF metadata.
package struct ModelConfiguration: Sendable, Equatable {
  /// Hugging Face's class name, see ``ModelFamily``. A GGUF file does not tell Mistral from Llama.
  package var architecture = "LlamaForCausalLM"
  /// The name that people and expert files use: "SmolLM2-135M-Instruct". From the path, since files name themselves badly.
  package var modelID: String
  package var layers: Int
  package var hidden: Int
  package var intermediate: Int
  package var heads: Int
  /// Heads of keys and values; each serves `heads / kvHeads` query heads.
  package var kvHeads: Int
  package var headDim: Int
  package var vocabulary: Int
  package var contextLength: Int
  package var rmsEpsilon: Float
  /// The output head is the embedding.
  package var tiedEmbeddings: Bool
  package var bosID: Int?
  /// Generation ends at any of these.
  package var eosIDs: [Int]
  /// The stored type of the target matrices, where they differ the most common one: "Q4_1", "BF16".
  package var quantization: String

  /// How queries and keys may be turned by their positions; layers name theirs by its index.
  package var rotations: [Rotation]
  /// By layer.
  package var attention: [LayerAttention]
  /// What the products of queries and keys are multiplied by.
  package var attentionScale: Float
  /// Queries, keys and values are one matrix of the checkpoint, and gate and up another.
  package var isFused = false
  /// Those of which singular values are wanted, and which experts can change; nil: all.
  package private(set) var factored: Set<Projection>?
  /// Matrices with a bias, which experts leave as it is.
  package var biases: Set<Projection> = []
  package var norms = Norms.before
  /// Queries and keys are normed head by head before they are turned.
  package var hasHeadNorms = false
  package var activation = Activation.silu
  /// What embeddings are multiplied by where they enter the first layer; the head has them as they are stored.
  package var embeddingScale: Float = 1
  /// c: logits are c tanh(z / c).
  package var logitCap: Float?

  /// A plain Llama, but for what is set afterwards.
  package init(
    modelID: String, layers: Int, hidden: Int, intermediate: Int, heads: Int, kvHeads: Int, headDim: Int,
    vocabulary: Int, contextLength: Int, ropeTheta: Double, rmsEpsilon: Float, tiedEmbeddings: Bool, bosID: Int? = nil,
    eosIDs: [Int] = [], quantization: String = ""
  ) {
    self.modelID = modelID
    self.layers = layers
    self.hidden = hidden
    self.intermediate = intermediate
    self.heads = heads
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.vocabulary = vocabulary
    self.contextLength = contextLength
    rotations = [Rotation(theta: ropeTheta)]
    // What is out of bounds is refused by `check`.
    attention = Array(repeating: LayerAttention(), count: min(max(layers, 0), 4096))
    attentionScale = 1 / Float(headDim).squareRoot()
    self.rmsEpsilon = rmsEpsilon
    self.tiedEmbeddings = tiedEmbeddings
    self.bosID = bosID
    self.eosIDs = eosIDs
    self.quantization = quantization
  }

  /// Names and shapes (outputs, inputs) of all tensors that the model must have.
  package var requiredTensors: [(name: String, shape: [Int])] {
    var tensors: [(name: String, shape: [Int])] = [(Self.embeddingName, [vocabulary, hidden])]
    for layer in 0..<layers {
      let prefix = "model.layers.\(layer)."
      for norm in norms.tensorNames { tensors.append((prefix + norm, [hidden])) }
      if hasHeadNorms {
        for norm in Self.headNormNames { tensors.append((prefix + norm, [headDim])) }
      }
      for projection in projections {
        let target = target(projection, layer: layer)
        tensors.append((target.name, [target.rows, target.columns]))
        if biases.contains(projection) { tensors.append((prefix + projection.biasName, [target.rows])) }
      }
    }
    tensors.append((Self.finalNormName, [hidden]))
    if !tiedEmbeddings { tensors.append((Self.headName, [vocabulary, hidden])) }
    return tensors
  }

  /// Values of all of them.
  package var parameterCount: Int { requiredTensors.reduce(0) { $0 + $1.shape.reduce(1, *) } }

  package static let embeddingName = "model.embed_tokens.weight"
  package static let headName = "lm_head.weight"
  package static let finalNormName = "model.norm.weight"

  /// Of queries and of keys, within a layer.
  package static let headNormNames = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"]

  /// The matrices that experts may rescale, layer by layer in the order of ``projections``.
  package var targets: [TargetMatrix] {
    (0..<layers).flatMap { layer in projections.map { target($0, layer: layer) } }
  }

  /// The target matrices of a layer, in the order in which layouts count them: those whose outputs follow each other in
  /// one stage of the pass stand side by side.
  package var projections: [Projection] {
    isFused
      ? [.queryKeyValue, .output, .gateUp, .down] : [.query, .key, .value, .output, .gate, .up, .down]
  }

  /// Outputs of a target matrix.
  package func rows(_ projection: Projection) -> Int {
    switch projection {
    case .query: heads * headDim
    case .key, .value: kvHeads * headDim
    case .queryKeyValue: (heads + 2 * kvHeads) * headDim
    case .output, .down: hidden
    case .gate, .up: intermediate
    case .gateUp: 2 * intermediate
    }
  }

  /// Inputs of a target matrix.
  package func columns(_ projection: Projection) -> Int {
    switch projection {
    case .query, .key, .value, .queryKeyValue, .gate, .up, .gateUp: hidden
    case .output: heads * headDim
    case .down: intermediate
    }
  }

  private func target(_ projection: Projection, layer: Int) -> TargetMatrix {
    TargetMatrix(
      name: "model.layers.\(layer)." + projection.tensorName, rows: rows(projection), columns: columns(projection),
      layer: layer, isFactored: isFactored(projection))
  }

  package func isFactored(_ projection: Projection) -> Bool { factored?.contains(projection) ?? true }

  /// The same model, of whose target matrices only those of some modules are factored; all where there are none. See
  /// ``MultiplierLayout/matrices(ofModules:)``.
  package func factoring(_ modules: [String]) throws(UnknownModule) -> ModelConfiguration {
    let chosen = try MultiplierLayout(targets).matrices(ofModules: modules).map { projections[$0 % projections.count] }
    var copy = self
    copy.factored = chosen.count == layers * projections.count ? nil : Set(chosen)
    return copy
  }
}

extension ModelConfiguration {
  /// The last part of a path, without `.gguf`, without the number of a part and without the name of a quantisation.
  static func modelID(fromPath path: String) -> String {
    var name = path.split(separator: "/").last.map(String.init) ?? path
    guard name.hasSuffix(".gguf") else { return name }
    if let part = GGUFPartName(name) { name = part.stem } else { name.removeLast(5) }
    if let separator = name.lastIndex(where: { $0 == "." || $0 == "-" }) {
      let suffix = name[name.index(after: separator)...].uppercased()
      let isQuantisation =
        ["F32", "F16", "BF16", "FP16", "FP32"].contains(suffix)
        || suffix.wholeMatch(of: /I?Q[0-9]_[0-9A-Z_]+/) != nil
      if isQuantisation, separator > name.startIndex { name = String(name[..<separator]) }
    }
    return name
  }

  private static let maximumParameters = 1 << 42

  /// Bounds what a configuration may say before anything is computed from it.
  func check(path: String) throws(ModelFormatError) {
    let bounds: [(String, Int, ClosedRange<Int>)] = [
      ("layers", layers, 1...4096), ("hidden size", hidden, 1...1 << 20),
      ("intermediate size", intermediate, 1...1 << 22), ("attention heads", heads, 1...1 << 16),
      ("key/value heads", kvHeads, 1...1 << 16), ("head size", headDim, 2...1 << 16),
      ("vocabulary", vocabulary, 1...1 << 24), ("context length", contextLength, 1...1 << 30),
    ]
    for (what, value, range) in bounds where !range.contains(value) {
      throw .unsupported(
        path: path, what: "the number of \(what)", found: "\(value)",
        supported: "\(range.lowerBound) to \(range.upperBound)")
    }
    guard heads % kvHeads == 0 else {
      throw .unsupported(
        path: path, what: "the number of attention heads", found: "\(heads) with \(kvHeads) key/value heads",
        supported: "a multiple of the key/value heads")
    }
    guard headDim % 2 == 0 else {
      throw .unsupported(path: path, what: "the head size", found: "\(headDim)", supported: "even sizes")
    }
    // What is computed from the shapes, Σ r³ over all matrices above all, must stay below 2^63.
    let parameters = requiredTensors.reduce(0.0) { $0 + $1.shape.reduce(1.0) { $0 * Double($1) } }
    guard parameters <= Double(Self.maximumParameters) else {
      throw .unsupported(
        path: path, what: "the number of parameters", found: "\(Int(parameters / 1e9)) billion",
        supported: "up to \(Self.maximumParameters / 1_000_000_000) billion")
    }
    try checkPass(path: path)
  }

  /// Of what changes no shape.
  private func checkPass(path: String) throws(ModelFormatError) {
    func check(_ what: String, _ values: [Double], _ supported: String, _ isRight: (Double) -> Bool)
      throws(ModelFormatError)
    {
      for value in values where !value.isFinite || !isRight(value) {
        throw .unsupported(path: path, what: what, found: "\(value)", supported: supported)
      }
    }
    try check("rope theta", rotations.map(\.theta), "numbers above 0") { $0 > 0 }
    try check("the norm's epsilon", [Double(rmsEpsilon)], "0 or more") { $0 >= 0 }
    try check("the scale of attention", [Double(attentionScale)], "numbers above 0") { $0 > 0 }
    try check("the bound of the logits", logitCap.map { [Double($0)] } ?? [], "numbers above 0") { $0 > 0 }
    try check("the sliding window", attention.compactMap { $0.window.map(Double.init) }, "1 or more") { $0 >= 1 }
    for rotation in rotations {
      switch rotation.scaling {
      case .none: break
      case .linear(let factor): try check("the factor of the rotary scaling", [factor], "numbers above 0") { $0 > 0 }
      case .llama3(let factor, let low, let high, let context):
        try check("the factor of the rotary scaling", [factor, low, high], "numbers above 0") { $0 > 0 }
        try check("the high frequency of the rotary scaling", [high], "more than the low one, \(low)") { $0 > low }
        try check("the original context of the rotary scaling", [Double(context)], "1 or more") { $0 >= 1 }
      case .divided(let divisors):
        guard divisors.count == headDim / 2 else {
          throw .unsupported(
            path: path, what: "the number of rotary divisors", found: "\(divisors.count)",
            supported: "half the head size, \(headDim / 2)")
        }
        try check("a divisor of the rotary frequencies", divisors.map(Double.init), "numbers above 0") { $0 > 0 }
      }
    }
  }
}

extension ModelConfiguration {
  /// The (checked) configuration with the most common stored type of its target matrices as `quantization`.
  func withQuantization(_ storedType: (String) -> String?) -> ModelConfiguration {
    var counts: [String: Int] = [:]
    for target in targets {
      if let type = storedType(target.name) { counts[type, default: 0] += 1 }
    }
    var copy = self
    copy.quantization = counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? "unknown"
    return copy
  }
}
