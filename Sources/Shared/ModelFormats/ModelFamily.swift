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
  var defaults = Defaults()
  /// The name of the activation in config.json; others are refused.
  var activation = "silu"
  /// What a norm multiplies by is the weight in safetensors plus this. GGUF has the sum.
  var normOffset: Float = 0
  /// Sets what all models of the family compute in another way than a plain Llama, whatever their file.
  var describe: @Sendable (_ model: inout ModelConfiguration) -> Void = { _ in }
  /// Sets what config.json says and not every family has. What is asked for by no family's function is not read.
  let configure:
    @Sendable (_ model: inout ModelConfiguration, _ config: HuggingFaceConfig) throws(ModelFormatError) -> Void

  /// What transformers takes where config.json lacks a key.
  struct Defaults: Sendable {
    var contextLength = 2048
    var epsilon = 1e-6
    /// Nil: the hidden size over the heads.
    var headDim: Int?
    var tiedEmbeddings = false
  }

  static let all: [ModelFamily] = [llama, mistral, qwen2, qwen3, gemma3]

  /// The family that computes a class of transformers.
  static func named(_ architecture: String) -> ModelFamily? { all.first { $0.architecture == architecture } }
}
