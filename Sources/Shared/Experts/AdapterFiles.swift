package import Digests
import ModelFormats
package import Multipliers
package import StrictJSON

/// The two files of a directory as PEFT lays it out, and as servers of LoRA adapters load it.
package enum AdapterFiles {
  package static let configuration = "adapter_config.json"
  package static let weights = "adapter_model.safetensors"

  /// How the numbers of the weights are meant.
  package enum Kind: String, Sendable, CaseIterable {
    /// A container: rank 1, and what is in it is s. It means something to an engine that has t2d's extension; without it
    /// the other factor, which is zero, makes it the base.
    case slot = "svf-slot"
    /// A LoRA: W + B A.
    case lora = "svf-lora"
  }

  /// `adapter_config.json`.
  /// - Parameter facts: further members of `t2`.
  package static func configuration(
    _ kind: Kind, rank: Int, digest: Digest, model: ModelSignature, facts: JSONObject = [:]
  ) -> JSONObject {
    var t2: JSONObject = ["kind": .string(kind.rawValue), "digest": .string(digest.description)]
    // s − 1 would round multipliers below 1/2, and the digest could not be formed again.
    if kind == .slot { t2["numbers"] = "multipliers" }
    t2["base_digest"] = .string(model.digest.description)
    for (key, value) in facts.members { t2[key] = value }
    var modules: [String] = []
    for matrix in model.layout.matrices {
      let module = module(of: matrix)
      if !modules.contains(module) { modules.append(module) }
    }
    return [
      "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": .string(model.modelID),
      "r": JSONValue(rank), "lora_alpha": JSONValue(rank), "lora_dropout": 0.0, "bias": "none",
      "fan_in_fan_out": false, "inference_mode": true,
      "target_modules": .array(modules.map { .string($0) }), "t2": .object(t2),
    ]
  }

  /// `q_proj` of `model.layers.0.self_attn.q_proj.weight`.
  private static func module(of matrix: TargetMatrix) -> String {
    modulePath(of: matrix).split(separator: ".").last.map { String($0) } ?? matrix.name
  }

  private static func modulePath(of matrix: TargetMatrix) -> Substring {
    matrix.name.hasSuffix(".weight") ? matrix.name.dropLast(".weight".count) : matrix.name[...]
  }

  /// What PEFT calls the factors of a matrix: A (rank, columns) and B (rows, rank).
  package static func factorNames(of matrix: TargetMatrix) -> (a: String, b: String) {
    let path = "base_model.model.\(modulePath(of: matrix))"
    return ("\(path).lora_A.weight", "\(path).lora_B.weight")
  }

  /// The bytes of the weights that hold a mixture as a container of s.
  ///
  /// Tensor parallelism cuts the columns of matrices whose inputs are shared out, and lora_A with them, while lora_B stays
  /// whole; of all others it cuts the rows and lora_B. So s rides in that factor which is never cut.
  package static func slot(_ vector: MultiplierVector, layout: MultiplierLayout) -> [UInt8] {
    var tensors: [SafetensorsTensor] = []
    for (index, matrix) in layout.matrices.enumerated() {
      let multipliers = vector.multipliers(of: index, in: layout)
      let isCutByColumns = ["o_proj", "down_proj"].contains(module(of: matrix))
      let names = factorNames(of: matrix)
      let (none, carried): (Int, Int) =
        isCutByColumns ? (matrix.columns, matrix.rows) : (matrix.rows, matrix.columns)
      let zeros = [Float](repeating: 0, count: none)
      let padded = multipliers + [Float](repeating: 0, count: carried - multipliers.count)
      tensors.append(
        SafetensorsTensor(name: names.a, shape: [1, matrix.columns], values: isCutByColumns ? zeros : padded))
      tensors.append(
        SafetensorsTensor(name: names.b, shape: [matrix.rows, 1], values: isCutByColumns ? padded : zeros))
    }
    return safetensorsBytes(tensors: tensors, metadata: [])
  }
}
