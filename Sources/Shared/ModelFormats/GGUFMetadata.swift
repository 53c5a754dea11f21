import StrictJSON

/// Typed access to the metadata of a GGUF file, whatever it is.
struct GGUFMetadata {
  let path: String
  let values: [String: GGUFValue]

  // MARK: The tokenizer

  func tokenizer(vocabulary: Int) throws(ModelFormatError) -> TokenizerDescription? {
    guard let model = try optionalString("tokenizer.ggml.model") else { return nil }
    let template = try optionalString("tokenizer.chat_template")
    guard model == "gpt2" || model == "llama" else {
      return TokenizerDescription(kind: .ggufOther(model: model), chatTemplate: template)
    }
    guard case .strings(let tokens)? = values["tokenizer.ggml.tokens"] else {
      throw .missing(path: path, what: "list of strings 'tokenizer.ggml.tokens'")
    }
    guard tokens.count <= vocabulary else {
      throw .malformed(
        path: path, place: "metadata 'tokenizer.ggml.tokens'",
        problem: "\(tokens.count) tokens, but the embedding has \(vocabulary) rows")
    }
    var types: [Int32] = []
    if case .integers(let found)? = values["tokenizer.ggml.token_type"] {
      guard found.count == tokens.count else {
        throw .malformed(
          path: path, place: "metadata 'tokenizer.ggml.token_type'",
          problem: "\(found.count) types for \(tokens.count) tokens")
      }
      types = found.map { Int32(clamping: $0) }
    } else {
      types = [Int32](repeating: 1, count: tokens.count)  // LLAMA_TOKEN_TYPE_NORMAL
    }
    var tokenizer = GGUFTokenizer(
      model: model, pre: try optionalString("tokenizer.ggml.pre") ?? "default", tokens: tokens, types: types)
    if model == "gpt2" {
      guard case .strings(let merges)? = values["tokenizer.ggml.merges"] else {
        throw .missing(path: path, what: "list of strings 'tokenizer.ggml.merges'")
      }
      tokenizer.merges = merges
    } else {
      tokenizer.scores = try scores(of: tokens.count)
      let family = try optionalString("general.architecture").flatMap(ModelFamily.named(inGGUF:))
      tokenizer.marksTakeBlanks = family?.marksTakeBlanksInGGUF ?? false
    }
    let addsEnd = "tokenizer.ggml.add_eos_token"
    if try optionalBool(addsEnd) == true {
      // Behind a prompt it would end the answer before it begins.
      throw .unsupported(path: path, what: "metadata '\(addsEnd)'", found: "true", supported: "false")
    }
    tokenizer.addBOS = try optionalBool("tokenizer.ggml.add_bos_token")
    tokenizer.addSpacePrefix = try optionalBool("tokenizer.ggml.add_space_prefix")
    tokenizer.bos = try optionalInteger("tokenizer.ggml.bos_token_id")
    tokenizer.eos = try optionalInteger("tokenizer.ggml.eos_token_id")
    tokenizer.unknown = try optionalInteger("tokenizer.ggml.unknown_token_id")
    return TokenizerDescription(kind: .gguf(tokenizer), chatTemplate: template)
  }

  private func scores(of tokens: Int) throws(ModelFormatError) -> [Double] {
    guard case .numbers(let scores)? = values["tokenizer.ggml.scores"] else {
      throw .missing(path: path, what: "list of numbers 'tokenizer.ggml.scores'")
    }
    guard scores.count == tokens else {
      throw .malformed(
        path: path, place: "metadata 'tokenizer.ggml.scores'", problem: "\(scores.count) scores for \(tokens) tokens")
    }
    return scores
  }

  // MARK: Values

  func wrongKind(_ key: String, _ value: GGUFValue, _ expected: String) -> ModelFormatError {
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

  func optionalNumber(_ key: String) throws(ModelFormatError) -> Double? {
    guard let value = values[key] else { return nil }
    guard let number = value.number else { throw wrongKind(key, value, "a number") }
    return number
  }

  func optionalBool(_ key: String) throws(ModelFormatError) -> Bool? {
    guard let value = values[key] else { return nil }
    guard case .bool(let bool) = value else { throw wrongKind(key, value, "a boolean") }
    return bool
  }

  func optionalString(_ key: String) throws(ModelFormatError) -> String? {
    guard let value = values[key] else { return nil }
    guard case .string(let string) = value else { throw wrongKind(key, value, "a text") }
    return string
  }

  func string(_ key: String) throws(ModelFormatError) -> String {
    guard let value = try optionalString(key) else { throw .missing(path: path, what: "metadata '\(key)'") }
    return value
  }
}
