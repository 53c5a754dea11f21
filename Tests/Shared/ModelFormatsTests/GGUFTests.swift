import ModelFormats
import SystemSupport
import TestSupport
import Testing

@Suite struct GGUFTests {
  private func open(_ bytes: [UInt8]) throws -> OpenModel {
    try withTemporaryDirectory { directory in
      try writeFile(directory + "/Tiny-1M.Q4_1.gguf", bytes)
      return try openModel(at: directory + "/Tiny-1M.Q4_1.gguf")
    }
  }

  private func problem(_ bytes: [UInt8]) -> ModelFormatError? {
    do { _ = try open(bytes) } catch { return error as? ModelFormatError }
    return nil
  }

  private func problem(_ file: SyntheticGGUF) -> ModelFormatError? { problem(file.build()) }

  @Test(arguments: [2, 3] as [UInt32])
  func aLlamaIsReadUnderTheNamesOfItsCheckpoint(version: UInt32) throws {
    var file = SyntheticGGUF.tinyLlama()
    file.version = version
    let model = try open(file.build())
    let configuration = model.configuration
    #expect(configuration.modelID == "Tiny-1M")
    #expect(configuration.architecture == "LlamaForCausalLM")
    #expect([configuration.layers, configuration.hidden, configuration.intermediate] == [1, 8, 12])
    #expect([configuration.heads, configuration.kvHeads, configuration.headDim] == [2, 1, 4])
    #expect([configuration.vocabulary, configuration.contextLength] == [16, 64])
    #expect(configuration.rotations == [Rotation(theta: 5000)])
    #expect(configuration.rmsEpsilon == 1e-5)
    #expect(configuration.tiedEmbeddings)
    #expect(configuration.eosIDs == [2])
    #expect(configuration.quantization == "F32")
    #expect(model.shape(of: "model.layers.0.mlp.down_proj.weight") == [8, 12])
    #expect(try model.floats("model.layers.0.mlp.down_proj.weight") == (9000..<9096).map { Float($0) })
    #expect(try model.floats("model.norm.weight") == (10000..<10008).map { Float($0) })
    #expect(
      model.targets.map { "\($0.name.split(separator: ".")[4]) \($0.rows)x\($0.columns)" }
        == ["q_proj 8x8", "k_proj 4x8", "v_proj 4x8", "o_proj 8x8", "gate_proj 12x8", "up_proj 12x8", "down_proj 8x12"])
    #expect(model.parameterCount == 16 * 8 + 3 * 8 + 2 * 64 + 2 * 32 + 3 * 96)
  }

  /// The converter's rows of a head of 4 are 0, 2, 1, 3 of the checkpoint: pairs (j, half).
  @Test func rowsOfQueriesAndKeysAreBroughtBackIntoTheirOrder() throws {
    let model = try open(SyntheticGGUF.tinyLlama().build())
    let q = try model.floats("model.layers.0.self_attn.q_proj.weight")
    #expect(stride(from: 0, to: 64, by: 8).map { (Int(q[$0]) - 3000) / 8 } == [0, 2, 1, 3, 4, 6, 5, 7])
    let k = try model.floats("model.layers.0.self_attn.k_proj.weight")
    #expect(stride(from: 0, to: 32, by: 8).map { (Int(k[$0]) - 4000) / 8 } == [0, 2, 1, 3])
    let v = try model.floats("model.layers.0.self_attn.v_proj.weight")
    #expect(v == (5000..<5032).map { Float($0) })
  }

  @Test func someRowsAreThoseOfTheWhole() throws {
    let model = try open(SyntheticGGUF.tinyLlama().build())
    for name in model.tensorNames {
      let whole = try model.floats(name)
      let rows = try #require(model.shape(of: name)?.first)
      let length = whole.count / rows
      var part = [Float](repeating: 0, count: 2 * length)
      try unsafe part.withUnsafeMutableBufferPointer { try unsafe model.readRows(name, 1..<3, into: $0) }
      #expect(part == Array(whole[length..<3 * length]), "\(name)")
    }
  }

  @Test func theTokenizerIsHandedOnAsItIsWritten() throws {
    let description = try #require(try open(SyntheticGGUF.tinyLlama().build()).tokenizerDescription)
    #expect(description.chatTemplate == "{{ messages }}")
    guard case .gguf(let file) = description.kind else {
      Issue.record("\(description.kind)")
      return
    }
    #expect(file.model == "gpt2" && file.pre == "smollm" && file.tokens.count == 16 && file.types.count == 16)
    #expect(file.merges == ["t 1"] && file.addBOS != true && file.bos == nil && file.eos == 2)
  }

  @Test func aSeparateHeadIsSeen() throws {
    var file = SyntheticGGUF.tinyLlama()
    file.add("output.weight", [8, 16], floats: [Float](repeating: 1, count: 128))
    let model = try open(file.build())
    #expect(!model.configuration.tiedEmbeddings)
    #expect(model.shape(of: "lm_head.weight") == [16, 8])
  }

  /// ggml's block formats, computed by hand; the scales 2 and -0.5 and the minimum 1 are exact halves.
  @Test func blocksAreWidenedAsGgmlDoes() throws {
    let nibbles = (0..<16).map { UInt8($0) | UInt8(15 - $0) << 4 }
    let q4_0: [UInt8] = [0x00, 0x40] + nibbles
    let q4_1: [UInt8] = [0x00, 0xB8, 0x00, 0x3C] + nibbles
    let q8_0: [UInt8] = [0x00, 0x40] + (0..<32).map { UInt8(bitPattern: Int8($0 * 8 - 128)) }
    let low = (0..<16).map { Float($0) }
    let high = (0..<16).map { Float(15 - $0) }
    let expected: [(type: UInt32, name: String, block: [UInt8], values: [Float])] = [
      (2, "Q4_0", q4_0, (low + high).map { ($0 - 8) * 2 }),
      (3, "Q4_1", q4_1, (low + high).map { $0 * -0.5 + 1 }),
      (8, "Q8_0", q8_0, (0..<32).map { Float($0 * 8 - 128) * 2 }),
      (1, "F16", (0..<32).flatMap { SyntheticGGUF.bytes(Float16($0).bitPattern) }, (0..<32).map { Float($0) }),
      (
        30, "BF16", (0..<32).flatMap { SyntheticGGUF.bytes(UInt16(Float($0).bitPattern >> 16)) },
        (0..<32).map { Float($0) }
      ),
    ]
    for (type, name, block, values) in expected {
      var file = SyntheticGGUF.tinyLlama()
      file.remove("llama.feed_forward_length")
      file.set("llama.feed_forward_length", UInt32(32))
      for (index, tensor) in file.tensors.enumerated()
      where tensor.name.contains(".ffn_") && tensor.dimensions.count == 2 {
        let isDown = tensor.name.contains("down")
        file.tensors[index].dimensions = isDown ? [32, 8] : [8, 32]
        file.tensors[index].data = [UInt8](repeating: 0, count: 32 * 8 * 4)
        if isDown {
          file.tensors[index].type = type
          file.tensors[index].data = (0..<8).flatMap { _ in block }
        }
      }
      let model = try open(file.build())
      let tensor = "model.layers.0.mlp.down_proj.weight"
      #expect(model.storedType(of: tensor) == name)
      #expect(try model.floats(tensor) == (0..<8).flatMap { _ in values }, "\(name)")
    }
  }

  // MARK: Hostile files

  @Test func aFileThatIsCutOffAnywhereIsAnErrorThatSaysSo() {
    let bytes = SyntheticGGUF.tinyLlama().build()
    var messages: Set<String> = []
    // The last tensor ends its padding before the end of the file.
    for count in Array(1..<400) + Array(stride(from: 400, to: bytes.count - 32, by: 7)) {
      let error = problem(Array(bytes[..<count]))
      switch error {
      case .truncated, .malformed: messages.insert("\(error?.description.prefix(20) ?? "")")
      default: Issue.record("\(count) bytes: \(String(describing: error))")
      }
    }
    #expect(problem(Array(bytes[..<3]))?.description.contains("cut off in its first bytes") == true)
    #expect(problem([])?.description.contains("is an empty file; copy or download it again") == true)
  }

  @Test func wrongMagicAndVersionsAreNamed() {
    var file = SyntheticGGUF.tinyLlama()
    file.magic = Array("GGML".utf8)
    #expect(problem(file)?.description.contains("not a GGUF file") == true)
    file.magic = Array("GGUF".utf8)
    for (version, text) in [(1, "version is 1"), (4, "version is 4"), (0x0300_0000, "big-endian")] as [(UInt32, String)]
    {
      file.version = version
      #expect(problem(file)?.description.contains(text) == true)
    }
  }

  @Test(arguments: [1 << 62, .max, 1 << 40, 100_000] as [UInt64])
  func hugeCountsAreRefusedBeforeAnythingIsAllocated(count: UInt64) {
    var file = SyntheticGGUF.tinyLlama()
    file.tensorCount = count
    #expect(problem(file)?.description.contains("\(count) tensors, more than") == true)
    file.tensorCount = nil
    file.metadataCount = count
    #expect(problem(file)?.description.contains("\(count) metadata entries, more than") == true)
    file.metadataCount = nil
    file.metadata.append(
      ("list", SyntheticGGUF.bytes(UInt32(9)) + SyntheticGGUF.bytes(UInt32(8)) + SyntheticGGUF.bytes(count)))
    #expect(problem(file)?.description.contains("\(count) values, more than") == true)
    file.metadata.removeLast()
    file.metadata.append(("text", SyntheticGGUF.bytes(UInt32(8)) + SyntheticGGUF.bytes(count)))
    #expect(problem(file)?.description.contains("cut off in metadata 'text'") == true)
  }

  @Test func dimensionsThatOverflowAreRefused() {
    for dimensions in [[1 << 33, 1 << 33], [.max, 1], [0, 8], [1, 1, 1, 1, 1], []] as [[UInt64]] {
      var file = SyntheticGGUF.tinyLlama()
      file.tensors[3].dimensions = dimensions
      guard case .malformed(_, let place, _)? = problem(file) else {
        Issue.record("\(dimensions) was not refused")
        continue
      }
      #expect(place.contains("blk.0.attn_q.weight"))
    }
  }

  @Test func offsetsOutsideUnalignedAndOverlappingAreRefused() {
    let cases: [(UInt64, String)] = [
      (.max - 31, "overflows"), (1 << 40, "cut off in tensor"), (17, "not a multiple of the alignment 32"),
      (0, "overlaps"),
    ]
    for (offset, text) in cases {
      var file = SyntheticGGUF.tinyLlama()
      file.offsets["blk.0.attn_q.weight"] = offset
      #expect(problem(file)?.description.contains(text) == true, "\(offset): \(String(describing: problem(file)))")
    }
  }

  @Test func alignmentIsAPowerOfTwo() throws {
    for alignment in [0, 3, 1 << 31] as [UInt32] {
      var file = SyntheticGGUF.tinyLlama()
      file.set("general.alignment", alignment)
      #expect(problem(file)?.description.contains("must be a power of two") == true)
    }
    var file = SyntheticGGUF.tinyLlama()
    file.set("general.alignment", UInt32(64))
    file.alignment = 64
    #expect(try open(file.build()).floats("model.norm.weight")[1] == 10001)
  }

  @Test func twiceTheSameNameIsRefused() {
    var file = SyntheticGGUF.tinyLlama()
    file.set("llama.block_count", UInt32(1))
    #expect(problem(file)?.description.contains("'llama.block_count': the key appears twice") == true)
    file = SyntheticGGUF.tinyLlama()
    file.add("output_norm.weight", [8], floats: [Float](repeating: 0, count: 8))
    #expect(problem(file)?.description.contains("'output_norm.weight': the name appears twice") == true)
  }

  @Test func aSecondNameOfATensorAndAnUnusedLayerAreRefused() {
    var file = SyntheticGGUF.tinyLlama()
    file.add("blk.00.attn_norm.weight", [8], floats: [Float](repeating: 1, count: 8))
    #expect(problem(file)?.description.contains("tensor 'blk.00.attn_norm.weight': it is there twice") == true)
    file = SyntheticGGUF.tinyLlama()
    file.add("blk.1.attn_norm.weight", [8], floats: [Float](repeating: 1, count: 8))
    #expect(
      problem(file)?.description.contains("'blk.1.attn_norm.weight'; supported: those of Llama models with 1 layers")
        == true)
  }

  @Test func unsupportedTypesAreNamedWithTheirTensor() {
    for (type, name) in [(16, "IQ2_XXS"), (9, "Q8_1"), (77, "number 77")] as [(UInt32, String)] {
      var file = SyntheticGGUF.tinyLlama()
      file.tensors[7].type = type
      let text = problem(file)?.description
      #expect(text?.contains("tensor 'blk.0.ffn_gate.weight' is of type \(name)") == true)
      #expect(text?.contains("supported: F32, F16, BF16, Q8_0, Q4_0, Q4_1") == true)
    }
  }

  @Test func whatWouldBeComputedWronglyIsRefused() {
    var file = SyntheticGGUF.tinyLlama()
    file.remove("general.architecture")
    file.set("general.architecture", "gemma")
    #expect(problem(file)?.description.contains("the architecture is \"gemma\"; supported: \"llama\", ") == true)
    file = SyntheticGGUF.tinyLlama()
    file.set("llama.rope.scaling.type", "yarn")
    #expect(problem(file)?.description.contains("'llama.rope.scaling.type') is \"yarn\"") == true)
    file = SyntheticGGUF.tinyLlama()
    file.add("blk.0.attn_q_norm.weight", [4], floats: [Float](repeating: 0, count: 4))
    #expect(problem(file)?.description.contains("'blk.0.attn_q_norm.weight'; supported: those of Llama models") == true)
    file = SyntheticGGUF.tinyLlama()
    file.add("blk.0.attn_qkv.weight", [8, 16], floats: [Float](repeating: 0, count: 128))
    #expect(
      problem(file)?.description.contains(
        "'blk.0.attn_qkv.weight', which has queries, keys and values in one; supported: those of Llama models with 1 layers, "
          + "where they are attn_q, attn_k and attn_v; convert the model without --fuse-qkv") == true)
    // The key says more than the tensor that comes with it.
    file = SyntheticGGUF.tiny("phi3")
    file.set("phi3.rope.scaling.type", "longrope")
    file.add("rope_factors_long.weight", [2], floats: [1, 1])
    #expect(
      problem(file)?.description.contains("('phi3.rope.scaling.type') is \"longrope\"; supported: \"none\"") == true)
    file.remove("phi3.rope.scaling.type")
    #expect(
      problem(file)?.description.contains("a tensor is 'rope_factors_long.weight'; supported: those of Phi-3") == true)
    file = SyntheticGGUF.tinyLlama()
    file.set("tokenizer.ggml.add_eos_token", true)
    #expect(
      problem(file)?.description.contains("metadata 'tokenizer.ggml.add_eos_token' is true; supported: false") == true)
    for key in ["llama.attention.sliding_window", "llama.expert_count", "llama.logit_scale"] {
      file = SyntheticGGUF.tinyLlama()
      file.set(key, UInt32(8))
      #expect(problem(file)?.description.contains("'\(key)' is 8; supported: ") == true, "\(key)")
    }
  }

  /// Scalings, heads and experts of other models, by key, value and what is supported.
  @Test(arguments: ["llama", "qwen2", "qwen3", "phi3", "smollm3"])
  func keysOfOtherModelsAreRefusedInEveryArchitecture(architecture: String) {
    let names: [(key: String, set: (inout SyntheticGGUF, String) -> Void, text: String)] = [
      ("rope.scaling.type", { $0.set($1, "yarn") }, "is \"yarn\"; supported: \"none\""),
      ("rope.scaling.type", { $0.set($1, "longrope") }, "is \"longrope\"; supported: \"none\""),
      ("rope.scaling.factor", { $0.set($1, Float(4)) }, "rope.scaling.type') is \"linear\"; supported: \"none\""),
      ("rope.dimension_count", { $0.set($1, UInt32(2)) }, "is 2; supported: the head size, which is 4"),
      ("attention.value_length", { $0.set($1, UInt32(8)) }, "is 8; supported: the head size, which is 4"),
      ("attention.key_length", { $0.set($1, UInt32(3)) }, "the head size is 3; supported: even sizes"),
      ("attention.scale", { $0.set($1, Float(0.5)) }, "is 0.5; supported: 0 in "),
      ("attention.clamp_kqv", { $0.set($1, Float(8)) }, "is 8.0; supported: 0 in "),
      ("attention.causal", { $0.set($1, false) }, "is false; supported: true in "),
      ("attn_logit_softcapping", { $0.set($1, Float(50)) }, "is 50.0; supported: 0 in "),
      ("final_logit_softcapping", { $0.set($1, Float(30)) }, "is 30.0; supported: 0 in "),
      ("expert_count", { $0.set($1, UInt32(8)) }, "is 8; supported: 0 in "),
      ("residual_scale", { $0.set($1, Float(0.2)) }, "is 0.2"),
      ("embedding_scale", { $0.set($1, Float(12)) }, "is 12.0"),
      ("attention.layer_norm_rms_epsilon", { $0.set($1, Float.nan) }, "the norm's epsilon is nan"),
      ("rope.freq_base", { $0.set($1, Float.infinity) }, "rope theta is inf"),
    ]
    for (key, set, text) in names {
      var file = SyntheticGGUF.tiny(architecture)
      file.remove("\(architecture).\(key)")
      set(&file, "\(architecture).\(key)")
      let found = problem(file)?.description ?? "no error"
      #expect(found.contains(text), "\(key): \(found)")
    }
  }

  /// As Llama 3.1 has them, in place of keys.
  @Test func divisorsOfTheFrequenciesAreTheScaling() throws {
    var file = SyntheticGGUF.tinyLlama()
    file.add("rope_freqs.weight", [2], floats: [1, 8])
    #expect(try open(file.build()).configuration.rotations == [Rotation(theta: 5000, scaling: .divided([1, 8]))])
    for (divisors, text) in [
      ([1, 8, 8], "divisors is 3; supported: half the head size, 2"), ([1, 0], "is 0.0"),
      ([1, .nan], "is nan"),
    ] as [([Float], String)] {
      file.tensors.removeLast()
      file.add("rope_freqs.weight", [divisors.count], floats: divisors)
      #expect(problem(file)?.description.contains(text) == true, "\(divisors)")
    }
  }

  /// The converter's order within a head of 4 is 0, 2, 1, 3, for biases as for rows.
  @Test func biasesOfALlamaAreThoseThatAreThere() throws {
    var file = SyntheticGGUF.tinyLlama()
    file.add("blk.0.attn_q.bias", [8], floats: (0..<8).map { Float($0) })
    file.add("blk.0.ffn_down.bias", [8], floats: (0..<8).map { Float($0) })
    let model = try open(file.build())
    #expect(model.configuration.biases == [.query, .down])
    #expect(try model.floats("model.layers.0.self_attn.q_proj.bias") == [0, 2, 1, 3, 4, 6, 5, 7])
    #expect(try model.floats("model.layers.0.mlp.down_proj.bias") == [0, 1, 2, 3, 4, 5, 6, 7])
  }

  @Test func everyEndThatTheMetadataNameIsOne() throws {
    var file = SyntheticGGUF.tinyLlama()
    for (key, id) in [("eot", 11), ("eom", 2)] { file.set("tokenizer.ggml.\(key)_token_id", UInt32(id)) }
    #expect(try open(file.build()).configuration.eosIDs == [2, 11])
  }

  /// A number that no type has stays one, whatever its lower bits are.
  @Test func aTypeOfTokenBeyond32BitsIsNoType() throws {
    var file = SyntheticGGUF.tinyLlama()
    file.remove("tokenizer.ggml.token_type")
    let types = (0..<16).flatMap { _ in SyntheticGGUF.bytes(Int64(1 << 32 + 1)) }
    let (list, int64) = (SyntheticGGUF.bytes(UInt32(9)), SyntheticGGUF.bytes(UInt32(11)))
    file.metadata.append(("tokenizer.ggml.token_type", list + int64 + SyntheticGGUF.bytes(UInt64(16)) + types))
    guard case .gguf(let lists)? = try open(file.build()).tokenizerDescription?.kind else {
      Issue.record("no tokenizer")
      return
    }
    #expect(lists.types.allSatisfy { $0 == .max })
  }

  @Test func missingThingsAndWrongShapesAreNamed() {
    var file = SyntheticGGUF.tinyLlama()
    file.remove("llama.block_count")
    #expect(problem(file)?.description.hasSuffix("has no metadata 'llama.block_count'") == true)
    file = SyntheticGGUF.tinyLlama()
    file.tensors.removeLast()
    #expect(problem(file)?.description.hasSuffix("has no tensor 'model.norm.weight'") == true)
    file = SyntheticGGUF.tinyLlama()
    file.remove("llama.feed_forward_length")
    file.set("llama.feed_forward_length", UInt32(16))
    #expect(
      problem(file)?.description.contains(
        "'model.layers.0.mlp.gate_proj.weight' has shape 12x8, its configuration asks for 16x8") == true)
    file = SyntheticGGUF.tinyLlama()
    file.remove("llama.block_count")
    file.set("llama.block_count", UInt32.max)
    #expect(problem(file)?.description.contains("number of layers is 4294967295; supported: 1 to 4096") == true)
    file = SyntheticGGUF.tinyLlama()
    file.remove("llama.attention.head_count_kv")
    file.set("llama.attention.head_count_kv", UInt32(0))
    #expect(problem(file)?.description.contains("key/value heads is 0") == true)
    for (numbers, said) in [
      ([-1, -1], "is -1 for all layers; supported: a count"), ([1, 2], "2 numbers that differ"),
    ] {
      file.remove("llama.attention.head_count_kv")
      file.set("llama.attention.head_count_kv", numbers.map { Int32($0) })
      #expect(problem(file)?.description.contains("'llama.attention.head_count_kv' is ") == true)
      #expect(problem(file)?.description.contains(said) == true, "\(numbers)")
    }
  }
}
