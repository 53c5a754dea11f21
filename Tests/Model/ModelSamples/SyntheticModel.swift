import Digests
import ModelFormats
package import Multipliers
import StrictJSON
import SystemSupport
package import WorkerProtocol

/// A random Llama of two layers in Hugging Face's layout, with a tokenizer of single bytes: small enough that whole jobs
/// run in a debug build within a second.
package struct SyntheticModel {
  package static let (layers, hidden, intermediate, heads, keyValueHeads, headDimension) = (2, 24, 40, 4, 2, 6)
  package static let vocabulary = 256

  package let directory: String

  package var path: String { directory + "/model" }
  package var reference: ModelReference {
    reference(factoring: [])
  }
  package func reference(factoring modules: [String]) -> ModelReference {
    ModelReference(path: path, digest: "", cacheDirectory: directory + "/cache", modules: modules)
  }

  package init(in directory: String, seed: UInt64 = 1) throws {
    self.directory = directory
    try FileSystem.createDirectories(directory + "/model")
    try FileSystem.createDirectories(directory + "/cache")
    var random = Random(seed: seed)
    var tensors: [SafetensorsTensor] = []
    func add(_ name: String, _ shape: [Int], around center: Float = 0, spread: Float) {
      let count = shape.reduce(1, *)
      tensors.append(
        SafetensorsTensor(
          name: name, shape: shape, values: (0..<count).map { _ in center + spread * random.next() }))
    }
    add("model.embed_tokens.weight", [Self.vocabulary, Self.hidden], spread: 1)
    for matrix in Self.targets { add(matrix.name, [matrix.rows, matrix.columns], spread: 0.5) }
    for layer in 0..<Self.layers {
      add("model.layers.\(layer).input_layernorm.weight", [Self.hidden], around: 1, spread: 0.1)
      add("model.layers.\(layer).post_attention_layernorm.weight", [Self.hidden], around: 1, spread: 0.1)
    }
    add("model.norm.weight", [Self.hidden], around: 1, spread: 0.1)
    try writeSafetensors(to: path + "/model.safetensors", tensors: tensors, metadata: [])
    try write("config.json", Self.configuration)
    try write("tokenizer.json", Self.tokenizer)
  }

  private func write(_ name: String, _ value: JSONValue) throws {
    try FileSystem.writeAtomically(path + "/" + name, value.serialized())
  }

  package static var targets: [TargetMatrix] {
    (0..<layers).flatMap { layer -> [TargetMatrix] in
      let prefix = "model.layers.\(layer)."
      let (q, kv) = (heads * headDimension, keyValueHeads * headDimension)
      return [
        ("self_attn.q_proj", q, hidden), ("self_attn.k_proj", kv, hidden), ("self_attn.v_proj", kv, hidden),
        ("self_attn.o_proj", hidden, q), ("mlp.gate_proj", intermediate, hidden),
        ("mlp.up_proj", intermediate, hidden), ("mlp.down_proj", hidden, intermediate),
      ].map { TargetMatrix(name: prefix + $0.0 + ".weight", rows: $0.1, columns: $0.2, layer: layer) }
    }
  }

  private static var configuration: JSONValue {
    [
      "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": JSONValue(vocabulary),
      "hidden_size": JSONValue(hidden), "intermediate_size": JSONValue(intermediate),
      "num_hidden_layers": JSONValue(layers), "num_attention_heads": JSONValue(heads),
      "num_key_value_heads": JSONValue(keyValueHeads), "head_dim": JSONValue(headDimension),
      "max_position_embeddings": 256, "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
      "hidden_act": "silu", "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2,
    ]
  }

  /// GPT-2's letters for bytes, and no merges: a token is a byte.
  private static var tokenizer: JSONValue {
    let byteLevel: JSONValue = [
      "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    ]
    var vocabulary = JSONObject()
    var next: UInt32 = 256
    for byte in UInt32(0)..<256 {
      let isPrinted = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
      let scalar = isPrinted ? byte : next
      if !isPrinted { next += 1 }
      if let letter = Unicode.Scalar(scalar) { vocabulary[String(Character(letter))] = JSONValue(Int(byte)) }
    }
    return [
      "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": [], "normalizer": nil,
      "pre_tokenizer": byteLevel, "post_processor": nil, "decoder": byteLevel,
      "model": [
        "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
        "fuse_unk": false, "byte_fallback": false, "vocab": .object(vocabulary), "merges": [],
      ],
    ]
  }

  /// An expert with random multipliers around 1.
  /// - Parameter part: in the names of its matrices; all have an empty one.
  package func expert(
    _ name: String, seed: UInt64, rescale: String = "none", drop: Int = 0, part: String = ""
  ) throws -> ExpertReference {
    var random = Random(seed: seed)
    let tensors = Self.targets.filter { part.isEmpty || $0.name.contains(part) }.map { target in
      let rank = target.rank - drop
      return SafetensorsTensor(
        name: target.name, shape: [rank], values: (0..<rank).map { _ in 1 + 0.4 * random.next() })
    }
    let path = directory + "/\(name).safetensors"
    try writeSafetensors(
      to: path, tensors: tensors,
      metadata: [
        ("t2.format", "t2-expert"), ("t2.version", "1"), ("t2.name", name), ("t2.param_space", "multiplier"),
        ("t2.max_mult", "1"), ("t2.rescale", rescale), ("t2.base.model_id", "model"),
        ("t2.base.arch", "LlamaForCausalLM"),
      ])
    return ExpertReference(
      name: name, version: 1, digest: "sha256:" + String(repeating: "0", count: 63) + "\(seed % 10)", path: path,
      blob: SHA256.digest(try FileSystem.readAll(path, maximumBytes: 1 << 20)).hex)
  }

  /// A task of questions with choices, few-shot rows and eval rows.
  package func task(_ name: String = "letters", shots: Int, eval: Int) throws -> TaskReference {
    let path = directory + "/" + name
    try FileSystem.createDirectories(path)
    var random = Random(seed: 99)
    func rows(_ count: Int, _ mark: String) -> [UInt8] {
      (0..<count).flatMap { index -> [UInt8] in
        let answer = ["A", "B", "C"][Int(abs(random.next()) * 1000) % 3]
        let row: JSONValue = [
          "id": .string("\(mark)\(index)"), "question": .string("\(mark) number \(index)?"),
          "choices": ["text": ["one \(index)", "four", "it is \(mark)"], "label": ["A", "B", "C"]],
          "answerKey": .string(answer),
        ]
        return row.workerLine
      }
    }
    try FileSystem.writeAtomically(path + "/fewshot.jsonl", rows(shots, "shot"))
    if eval > 0 { try FileSystem.writeAtomically(path + "/eval.jsonl", rows(eval, "row")) }
    return TaskReference(name: name, path: path, digest: "")
  }
}

extension SyntheticModel {
  /// A task whose answers are generated, at most `tokens` long.
  package func generatedTask(shots: Int, tokens: Int) throws -> TaskReference {
    let path = directory + "/generated"
    try FileSystem.createDirectories(path)
    let rows = (0..<shots).flatMap { index -> [UInt8] in
      (["question": .string("What is \(index)?"), "answer": .string("#### \(index)")] as JSONValue).workerLine
    }
    try FileSystem.writeAtomically(path + "/fewshot.jsonl", rows)
    let settings: JSONValue = ["max_tokens": JSONValue(tokens), "chat": false]
    try FileSystem.writeAtomically(path + "/task.json5", settings.serialized())
    return TaskReference(name: "generated", path: path, digest: "")
  }
}

/// Numbers in -1...1 that a seed decides (a linear congruential generator: tests need no better).
package struct Random {
  private var state: UInt64
  package init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }
  package mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
  }
}
