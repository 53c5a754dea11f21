/// Builds GGUF files by hand, good ones and bad ones.
package struct SyntheticGGUF {
  package var magic = Array("GGUF".utf8)
  package var version: UInt32 = 3
  package var tensorCount: UInt64?
  package var metadataCount: UInt64?
  package var metadata: [(key: String, value: [UInt8])] = []
  package var tensors: [(name: String, dimensions: [UInt64], type: UInt32, data: [UInt8])] = []
  /// Replaces the offset of a tensor.
  package var offsets: [String: UInt64] = [:]
  package var alignment = 32

  package init() {}

  package static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  package static func text(_ text: String) -> [UInt8] { bytes(UInt64(text.utf8.count)) + Array(text.utf8) }

  package mutating func set(_ key: String, _ value: UInt32) {
    metadata.append((key, Self.bytes(UInt32(4)) + Self.bytes(value)))
  }
  package mutating func set(_ key: String, _ value: Float) {
    metadata.append((key, Self.bytes(UInt32(6)) + Self.bytes(value.bitPattern)))
  }
  package mutating func set(_ key: String, _ value: Bool) {
    metadata.append((key, Self.bytes(UInt32(7)) + [value ? 1 : 0]))
  }
  package mutating func set(_ key: String, _ value: String) {
    metadata.append((key, Self.bytes(UInt32(8)) + Self.text(value)))
  }
  package mutating func set(_ key: String, _ values: [String]) {
    metadata.append(
      (
        key,
        Self.bytes(UInt32(9)) + Self.bytes(UInt32(8)) + Self.bytes(UInt64(values.count)) + values.flatMap(Self.text)
      ))
  }
  package mutating func set(_ key: String, _ values: [Int32]) {
    metadata.append(
      (
        key,
        Self.bytes(UInt32(9)) + Self.bytes(UInt32(5)) + Self.bytes(UInt64(values.count))
          + values.flatMap { Self.bytes(UInt32(bitPattern: $0)) }
      ))
  }

  package mutating func set(_ key: String, _ values: [Float]) {
    metadata.append(
      (
        key,
        Self.bytes(UInt32(9)) + Self.bytes(UInt32(6)) + Self.bytes(UInt64(values.count))
          + values.flatMap { Self.bytes($0.bitPattern) }
      ))
  }

  package mutating func remove(_ key: String) { metadata.removeAll { $0.key == key } }

  /// A tensor in ggml's order of dimensions.
  package mutating func add(_ name: String, _ dimensions: [Int], floats: [Float]) {
    tensors.append((name, dimensions.map { UInt64($0) }, 0, floats.flatMap { Self.bytes($0.bitPattern) }))
  }

  package func build() -> [UInt8] {
    var bytes = magic + Self.bytes(version)
    bytes += Self.bytes(tensorCount ?? UInt64(tensors.count)) + Self.bytes(metadataCount ?? UInt64(metadata.count))
    for (key, value) in metadata { bytes += Self.text(key) + value }
    var data: [UInt8] = []
    for tensor in tensors {
      bytes += Self.text(tensor.name) + Self.bytes(UInt32(tensor.dimensions.count))
      bytes += tensor.dimensions.flatMap { Self.bytes($0) } + Self.bytes(tensor.type)
      bytes += Self.bytes(offsets[tensor.name] ?? UInt64(data.count))
      data += tensor.data
      data += [UInt8](repeating: 0, count: (alignment - data.count % alignment) % alignment)
    }
    bytes += [UInt8](repeating: 0, count: (alignment - bytes.count % alignment) % alignment)
    return bytes + data
  }

  /// A Llama of 1 layer, 8 channels, 2 heads of 4 and 1 key/value head, 16 tokens. Every value of matrix number i is
  /// i * 1000 + its position in the file.
  package static func tinyLlama() -> SyntheticGGUF {
    var file = SyntheticGGUF()
    file.set("general.architecture", "llama")
    file.set("llama.block_count", UInt32(1))
    file.set("llama.context_length", UInt32(64))
    file.set("llama.embedding_length", UInt32(8))
    file.set("llama.feed_forward_length", UInt32(12))
    file.set("llama.attention.head_count", UInt32(2))
    file.set("llama.attention.head_count_kv", UInt32(1))
    file.set("llama.rope.freq_base", Float(5000))
    file.set("llama.attention.layer_norm_rms_epsilon", Float(1e-5))
    file.set("tokenizer.ggml.model", "gpt2")
    file.set("tokenizer.ggml.pre", "smollm")
    file.set("tokenizer.ggml.tokens", ["t", "1", "t1"] + (3..<16).map { "t\($0)" })
    file.set("tokenizer.ggml.token_type", [Int32](repeating: 1, count: 16))
    file.set("tokenizer.ggml.merges", ["t 1"])
    file.set("tokenizer.ggml.eos_token_id", UInt32(2))
    file.set("tokenizer.chat_template", "{{ messages }}")
    let shapes: [(String, [Int])] = [
      ("token_embd.weight", [8, 16]), ("blk.0.attn_norm.weight", [8]), ("blk.0.ffn_norm.weight", [8]),
      ("blk.0.attn_q.weight", [8, 8]), ("blk.0.attn_k.weight", [8, 4]), ("blk.0.attn_v.weight", [8, 4]),
      ("blk.0.attn_output.weight", [8, 8]), ("blk.0.ffn_gate.weight", [8, 12]), ("blk.0.ffn_up.weight", [8, 12]),
      ("blk.0.ffn_down.weight", [12, 8]), ("output_norm.weight", [8]),
    ]
    for (index, (name, dimensions)) in shapes.enumerated() {
      file.add(name, dimensions, floats: (0..<dimensions.reduce(1, *)).map { Float(index * 1000 + $0) })
    }
    return file
  }

  /// The tiny Llama as a model of another architecture, with what such models have besides.
  package static func tiny(_ architecture: String) -> SyntheticGGUF {
    var file = tinyLlama()
    file.metadata = file.metadata.map { key, value in
      (key.hasPrefix("llama.") ? architecture + key.dropFirst("llama".count) : key, value)
    }
    file.remove("general.architecture")
    file.set("general.architecture", architecture)
    func add(_ name: String, _ dimensions: [Int]) {
      file.add("blk.0.\(name)", dimensions, floats: [Float](repeating: 1, count: dimensions.reduce(1, *)))
    }
    switch architecture {
    case "qwen2": for (name, count) in [("attn_q", 8), ("attn_k", 4), ("attn_v", 4)] { add(name + ".bias", [count]) }
    case "qwen3": for name in ["attn_q_norm", "attn_k_norm"] { add(name + ".weight", [4]) }
    case "phi3":
      let parts = ["attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"].map { "blk.0.\($0).weight" }
      file.tensors.removeAll { parts.contains($0.name) }
      add("attn_qkv.weight", [8, 16])
      add("ffn_up.weight", [8, 24])
      file.set("phi3.attention.sliding_window", UInt32(5))
    default: break
    }
    return file
  }

  /// The tiny Llama with a tokenizer of SentencePiece, by scores.
  package static func tinySentencePiece() -> SyntheticGGUF {
    var file = tinyLlama()
    for name in ["model", "pre", "tokens", "token_type", "merges"] { file.remove("tokenizer.ggml." + name) }
    file.set("tokenizer.ggml.model", "llama")
    file.set(
      "tokenizer.ggml.tokens",
      ["<unk>", "<s>", "</s>", "<0x0A>", "<0xC3>", "<w>", "\u{2581}", "a", "b", "1", "ab", "\u{2581}a", "\u{2581}ab"])
    file.set("tokenizer.ggml.token_type", [2, 3, 3, 6, 6, 4, 1, 1, 1, 1, 1, 1, 1] as [Int32])
    file.set("tokenizer.ggml.scores", (0..<13).map { -Float($0) })
    file.set("tokenizer.ggml.bos_token_id", UInt32(1))
    file.set("tokenizer.ggml.add_space_prefix", true)
    return file
  }

  /// A Gemma 3 of 2 layers, 256 channels, one head of 2 and 16 tokens, with a matrix of each type that is read. Its values
  /// are zero.
  package static func tinyGemma() -> SyntheticGGUF {
    var file = SyntheticGGUF()
    file.set("general.architecture", "gemma3")
    let counts: [(String, UInt32)] = [
      ("block_count", 2), ("context_length", 64), ("embedding_length", 256), ("feed_forward_length", 2),
      ("attention.head_count", 1), ("attention.head_count_kv", 1), ("attention.key_length", 2),
      ("attention.value_length", 2), ("attention.sliding_window", 4),
    ]
    for (key, count) in counts { file.set("gemma3." + key, count) }
    file.set("gemma3.attention.layer_norm_rms_epsilon", Float(1e-6))
    file.set("gemma3.rope.scaling.type", "linear")
    file.set("gemma3.rope.scaling.factor", Float(8))
    file.set("gemma3.final_logit_softcapping", Float(30))
    file.metadata.append(
      ("gemma3.attention.sliding_window_pattern", bytes(UInt32(9)) + bytes(UInt32(7)) + bytes(UInt64(2)) + [1, 0]))
    // Type, values and bytes of a block.
    let types: [(type: UInt32, length: Int, size: Int)] = [
      (12, 256, 144), (13, 256, 176), (11, 256, 110), (10, 256, 84), (23, 256, 136),
      (8, 32, 34), (2, 32, 18), (3, 32, 20), (6, 32, 22), (7, 32, 24),
      (14, 256, 210), (20, 32, 18), (1, 1, 2), (30, 1, 2), (28, 1, 8), (0, 1, 4),
    ]
    func add(_ name: String, _ dimensions: [Int], _ type: Int?) {
      let count = dimensions.reduce(1, *)
      let (code, length, size) = type.map { types[$0] } ?? (0, 1, 4)
      file.tensors.append(
        (name, dimensions.map { UInt64($0) }, code, [UInt8](repeating: 0, count: count / length * size)))
    }
    add("token_embd.weight", [256, 16], 10)
    add("output.weight", [256, 16], 11)
    for layer in 0..<2 {
      for norm in ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"] {
        add("blk.\(layer).\(norm).weight", [256], nil)
      }
      for norm in ["attn_q_norm", "attn_k_norm"] { add("blk.\(layer).\(norm).weight", [2], nil) }
      for (index, matrix) in ["attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"].enumerated() {
        add("blk.\(layer).\(matrix).weight", [256, 2], 5 * layer + index)
      }
      for (index, matrix) in ["attn_output", "ffn_down"].enumerated() {
        add("blk.\(layer).\(matrix).weight", [2, 256], 12 + 2 * layer + index)
      }
    }
    add("output_norm.weight", [256], nil)
    return file
  }

  /// Two parts of the tiny Llama, of which the first has no tensors.
  package static func tinyParts() -> [SyntheticGGUF] {
    let whole = tinyLlama()
    var parts = [SyntheticGGUF(), SyntheticGGUF()]
    parts[0].metadata = whole.metadata
    parts[1].tensors = whole.tensors
    for number in 0..<2 {
      parts[number].set("split.no", UInt32(number))
      parts[number].set("split.count", UInt32(2))
      parts[number].set("split.tensors.count", UInt32(whole.tensors.count))
    }
    return parts
  }

  /// The file without its values, of which any are as good as others, and how many bytes those are.
  package func header() -> (bytes: [UInt8], valueBytes: Int) {
    var file = self
    for index in file.tensors.indices { file.tensors[index].data = file.tensors[index].data.map { _ in 0 } }
    let whole = file.build()
    let end = (whole.lastIndex { $0 != 0 } ?? 0) + 1
    return (Array(whole[..<end]), whole.count - end)
  }
}
