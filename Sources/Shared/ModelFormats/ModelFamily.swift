/// A family of models: what its files say, how they say it, and what all of its models compute.
///
/// A family is one value in a file of its own below `Families`, and one line of ``all``. The rest of the program computes
/// what a ``ModelConfiguration`` says and knows no family.
struct ModelFamily: Sendable {
  /// For people.
  let name: String
  /// The class of transformers, by which `architectures` of config.json and expert files name it.
  let architecture: String
  /// `model_type` of config.json.
  let modelType: String
  /// `general.architecture` of GGUF files; nil where they are those of another family.
  var ggufArchitecture: String?
  /// In GGUF the rows of queries and keys lie as llama.cpp's plain rotation wants them, which turns neighbours.
  var isPermutedInGGUF = false
  /// GGUF's names within a layer that mean another module than in most families.
  var ggufModules: [String: String] = [:]
  /// See ``GGUFTokenizer/marksTakeBlanks``.
  var marksTakeBlanksInGGUF = false
  var defaults = Defaults()
  /// The name of the activation in config.json; others are refused.
  var activation = "silu"
  /// What a norm multiplies by is the weight in safetensors plus this. GGUF has the sum.
  var normOffset: Float = 0
  /// Sets what all models of the family compute in another way than a plain Llama, whatever their file.
  var describe: @Sendable (_ model: inout ModelConfiguration) -> Void = { _ in }
  /// Sets what config.json says and not every family has.
  let configure:
    @Sendable (_ model: inout ModelConfiguration, _ config: HuggingFaceConfig) throws(ModelFormatError) -> Void
  /// The same of GGUF's metadata.
  var configureGGUF:
    @Sendable (_ model: inout ModelConfiguration, _ config: GGUFConfig) throws(ModelFormatError) -> Void = {
      model, config throws(ModelFormatError) in model.rotations = [try config.rotation()]
    }

  /// What transformers takes where config.json lacks a key.
  struct Defaults: Sendable {
    var contextLength = 2048
    var epsilon = 1e-6
    /// Heads of keys and values; nil: as many as of queries, which is also what null means.
    var kvHeads: Int?
    /// Nil: the hidden size over the heads.
    var headDim: Int?
    var tiedEmbeddings = false
  }

  static let all: [ModelFamily] = [llama, mistral, qwen2, qwen3, gemma3, phi3, smolLM3]

  /// The family that computes a class of transformers.
  static func named(_ architecture: String) -> ModelFamily? { all.first { $0.architecture == architecture } }

  /// The family that GGUF files of an architecture are of.
  static func named(inGGUF architecture: String) -> ModelFamily? { all.first { $0.ggufArchitecture == architecture } }

  /// The checkpoint's name of a tensor of llama.cpp's converter; nil where the family has none such.
  func huggingFaceName(ofGGUF name: String) -> String? {
    switch name {
    case "token_embd.weight": return ModelConfiguration.embeddingName
    case "output_norm.weight": return ModelConfiguration.finalNormName
    case "output.weight": return ModelConfiguration.headName
    default: break
    }
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0] == "blk", let layer = UInt16(parts[1]), ["weight", "bias"].contains(parts[3]),
      let module = ggufModules[String(parts[2])] ?? Self.commonModules[String(parts[2])]
    else { return nil }
    return "model.layers.\(layer).\(module).\(parts[3])"
  }

  private static let commonModules = [
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
  ]
}

/// Scalings of a rotation that not every family has, by their names in config.json.
enum RotaryScaling: String {
  case linear
  /// GGUF has no key for it but its result, a divisor for each frequency.
  case llama3
}
