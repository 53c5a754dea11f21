import StrictJSON

/// Typed access to the metadata of a GGUF file of the Llama architecture.
struct GGUFMetadata {
  let path: String
  let values: [String: GGUFValue]

  // MARK: What the model is

  /// Things that another engine would compute and this one does not. Ignoring them would give wrong numbers silently.
  func refuseWhatIsNotComputed() throws(ModelFormatError) {
    let architecture = try string("general.architecture")
    guard architecture == "llama" else {
      throw .unsupported(
        path: path, what: "the architecture", found: "\"\(architecture.excerpt)\"", supported: "\"llama\"")
    }
    if let scaling = try optionalString("llama.rope.scaling.type"), scaling != "none" {
      throw .unsupported(path: path, what: "the rotary scaling", found: "\"\(scaling.excerpt)\"", supported: "none")
    }
    if let experts = try optionalInteger("llama.expert_count"), experts > 0 {
      throw .unsupported(
        path: path, what: "the feed-forward network", found: "a mixture of \(experts) networks",
        supported: "one network")
    }
    if let window = try optionalInteger("llama.attention.sliding_window"), window > 0 {
      throw .unsupported(
        path: path, what: "attention", found: "a sliding window of \(window)", supported: "full attention")
    }
  }

  func configuration(_ tensors: [String: GGUFHeader.Tensor]) throws(ModelFormatError) -> ModelConfiguration {
    let hidden = try integer("llama.embedding_length")
    let heads = try integer("llama.attention.head_count")
    guard heads > 0, hidden > 0 else {
      throw .malformed(path: path, place: "metadata", problem: "\(heads) attention heads of \(hidden) channels")
    }
    let headDim = try optionalInteger("llama.attention.key_length") ?? hidden / heads
    for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
      if let found = try optionalInteger(key), found != headDim {
        throw .unsupported(
          path: path, what: "'\(key)'", found: "\(found)", supported: "the head size, which is \(headDim)")
      }
    }
    guard let embedding = tensors["model.embed_tokens.weight"], embedding.dimensions.count == 2 else {
      throw .missing(path: path, what: "matrix 'token_embd.weight'")
    }
    return ModelConfiguration(
      modelID: ModelConfiguration.modelID(fromPath: path), layers: try integer("llama.block_count"), hidden: hidden,
      intermediate: try integer("llama.feed_forward_length"), heads: heads,
      kvHeads: try optionalInteger("llama.attention.head_count_kv") ?? heads, headDim: headDim,
      vocabulary: embedding.dimensions[1], contextLength: try integer("llama.context_length"),
      ropeTheta: try optionalNumber("llama.rope.freq_base") ?? 10000,
      rmsEpsilon: Float(try number("llama.attention.layer_norm_rms_epsilon")),
      tiedEmbeddings: tensors["lm_head.weight"] == nil, bosID: try optionalInteger("tokenizer.ggml.bos_token_id"),
      eosIDs: try endIDs(), quantization: "")
  }

  private func endIDs() throws(ModelFormatError) -> [Int] {
    var ids: [Int] = []
    for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"] {
      if let id = try optionalInteger(key), !ids.contains(id) { ids.append(id) }
    }
    return ids
  }

  // MARK: The tokenizer

  func tokenizer(vocabulary: Int) throws(ModelFormatError) -> TokenizerDescription? {
    guard let model = try optionalString("tokenizer.ggml.model") else { return nil }
    let template = try optionalString("tokenizer.chat_template")
    guard model == "gpt2" else { return TokenizerDescription(kind: .ggufOther(model: model), chatTemplate: template) }
    guard case .strings(let tokens)? = values["tokenizer.ggml.tokens"] else {
      throw .missing(path: path, what: "list of strings 'tokenizer.ggml.tokens'")
    }
    guard tokens.count <= vocabulary else {
      throw .malformed(
        path: path, place: "metadata 'tokenizer.ggml.tokens'",
        problem: "\(tokens.count) tokens, but the embedding has \(vocabulary) rows")
    }
    guard case .strings(let merges)? = values["tokenizer.ggml.merges"] else {
      throw .missing(path: path, what: "list of strings 'tokenizer.ggml.merges'")
    }
    var types: [Int32] = []
    if case .integers(let found)? = values["tokenizer.ggml.token_type"] {
      guard found.count == tokens.count else {
        throw .malformed(
          path: path, place: "metadata 'tokenizer.ggml.token_type'",
          problem: "\(found.count) types for \(tokens.count) tokens")
      }
      types = found.map { Int32(truncatingIfNeeded: $0) }
    } else {
      types = [Int32](repeating: 1, count: tokens.count)  // LLAMA_TOKEN_TYPE_NORMAL
    }
    return TokenizerDescription(
      kind: .ggufBPE(
        pre: try optionalString("tokenizer.ggml.pre") ?? "default", tokens: tokens, types: types, merges: merges,
        addBOS: try optionalBool("tokenizer.ggml.add_bos_token") ?? false,
        bos: try optionalInteger("tokenizer.ggml.bos_token_id"),
        eos: try optionalInteger("tokenizer.ggml.eos_token_id"),
        unknown: try optionalInteger("tokenizer.ggml.unknown_token_id"),
        padding: try optionalInteger("tokenizer.ggml.padding_token_id")),
      chatTemplate: template)
  }

  // MARK: Values

  private func wrongKind(_ key: String, _ value: GGUFValue, _ expected: String) -> ModelFormatError {
    .malformed(path: path, place: "metadata '\(key)'", problem: "must be \(expected), found \(value.shown)")
  }

  func optionalInteger(_ key: String) throws(ModelFormatError) -> Int? {
    guard let value = values[key] else { return nil }
    guard let number = value.integer, number >= 0 else { throw wrongKind(key, value, "a count") }
    return number
  }

  func integer(_ key: String) throws(ModelFormatError) -> Int {
    guard let value = try optionalInteger(key) else { throw .missing(path: path, what: "metadata '\(key)'") }
    return value
  }

  private func optionalNumber(_ key: String) throws(ModelFormatError) -> Double? {
    guard let value = values[key] else { return nil }
    guard let number = value.number else { throw wrongKind(key, value, "a number") }
    return number
  }

  private func number(_ key: String) throws(ModelFormatError) -> Double {
    guard let value = try optionalNumber(key) else { throw .missing(path: path, what: "metadata '\(key)'") }
    return value
  }

  private func optionalBool(_ key: String) throws(ModelFormatError) -> Bool? {
    guard let value = values[key] else { return nil }
    guard case .bool(let bool) = value else { throw wrongKind(key, value, "a boolean") }
    return bool
  }

  func optionalString(_ key: String) throws(ModelFormatError) -> String? {
    guard let value = values[key] else { return nil }
    guard case .string(let string) = value else { throw wrongKind(key, value, "a text") }
    return string
  }

  private func string(_ key: String) throws(ModelFormatError) -> String {
    guard let value = try optionalString(key) else { throw .missing(path: path, what: "metadata '\(key)'") }
    return value
  }
}
